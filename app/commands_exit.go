package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// exit is an exit code with its meaning, for all commands or for one.
type exit struct {
	command string // "" for all
	code    int
	meaning string
}

// exits are what the help and the README say about exit codes. A meaning of one command comes before
// that of all commands with the same code.
var exits = []exit{
	{"", 0, "the command has done what it is for"},
	{"", 1, "the command failed; the error is on stderr"},
	{"", 2, "the command line is wrong, and nothing was done: an unknown command or flag, an invalid value, a surplus argument"},
	{"serve", 0, "the server was asked to stop (SIGINT, SIGTERM) and everything has stopped"},
	{"verify", 0, "all invariants hold"},
	{"verify", 1, "an invariant is violated"},
	{"verify", 2, "the check could not be completed, so nothing is known; or the command line is wrong"},
	{"config", 1, "a setting is invalid, or the command failed"},
	{"config check", 0, "the settings are valid"},
	{"config check", 1, "a setting is invalid, or an option of the program"},
	{"psql", 0, "psql ended normally"},
	{"psql", 1, "psql was not started; or psql ended with 1, an error of its own"},
	{"psql", 2, "the command line is wrong; or psql ended with 2, the connection was lost"},
	{"psql", 3, "psql ended with 3, an error in a script with ON_ERROR_STOP"},
	{"listen", 0, "it was asked to stop (Ctrl-C)"},
	{"events tail", 0, "it was asked to stop (Ctrl-C)"},
	{"healthcheck", 0, "the server is ready"},
	{"healthcheck", 1, "the server is not ready, or does not answer"},
}

// exitsOf returns the exit codes of a command, in their order.
func exitsOf(command string) (list []exit) {
	for _, general := range exits {
		if general.command != "" {
			continue
		}
		for _, e := range exits {
			if e.command == command && e.code == general.code {
				general = e
			}
		}
		list = append(list, general)
	}
	for _, e := range exits {
		if e.command == command && e.code > 2 {
			list = append(list, e)
		}
	}
	return list
}

// helpWithExitCodes appends the exit codes of a command to its help.
func helpWithExitCodes(help func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
		if name == "" {
			name = "serve"
		}
		out := cmd.OutOrStdout()
		_, _ = fmt.Fprintln(out, "\nExit codes:")
		for _, e := range exitsOf(name) {
			_, _ = fmt.Fprintf(out, "  %d  %s\n", e.code, e.meaning)
		}
	}
}

// childError is the exit code of a program that a command has run in its place. The program has reported
// what was wrong.
type childError struct{ code int }

func (e *childError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func isReported(err error) bool {
	_, ok := errors.AsType[*childError](err)
	return ok
}

// exitCode returns the exit code of the process for the error of a command.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if child, ok := errors.AsType[*childError](err); ok {
		return child.code
	}
	_, wrong := errors.AsType[*usageError](err)
	_, unknown := errors.AsType[*notVerified](err)
	if wrong || unknown {
		return 2
	}
	return 1
}
