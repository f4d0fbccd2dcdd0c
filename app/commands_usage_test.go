package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/internal/golden"
)

// usageOf runs a command line whose settings must not be read.
func usageOf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := commandLine{name: productName}.execute(t.Context(), args, &out)
	return out.String(), err
}

// SPEC F15: a wrong command line does nothing, names what is wrong, and exits with 2.
func TestWrongCommandLine_F15(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"verfy":                      `orderflow has no command "verfy"; did you mean verify?`,
		"verfy --json":               `orderflow has no command "verfy"; did you mean verify?`,
		"nonsense":                   `orderflow has no command "nonsense"`,
		"hash":                       `orderflow has no command "hash"`,
		"help verfy":                 `orderflow has no command "verfy"; did you mean verify?`,
		"help admin craete":          `orderflow admin has no command "craete"; did you mean create?`,
		"admin":                      "orderflow admin needs a command: create, reset-totp",
		"admin craete":               `orderflow admin has no command "craete"; did you mean create?`,
		"admin craete --email=a@b.c": `orderflow admin has no command "craete"; did you mean create?`,
		"serve extra":                `orderflow serve takes no arguments, but got "extra"`,
		"version now":                `orderflow version takes no arguments, but got "now"`,
		"migrate down":               `orderflow migrate takes no arguments, but got "down"`,
		"admin create ann":           `orderflow admin create takes no arguments, but got "ann"`,
		"admin reset-totp":           "--email is missing",
		"admin create --email=":      "--email: the value is missing",
		"admin create -email=a@b.c":  "orderflow admin create has no flag -email; write --email",
		"admin create -x":            "orderflow admin create has no flag -x",
		"verify --limit=many":        `--limit: "many" is not a whole number`,
		"verify --limit=-1":          `--limit: "-1" is negative`,
		"verify --limit":             "--limit: the value is missing",
		"verify --json=perhaps":      `--json: "perhaps" is neither true nor false`,
		"verify --quiet":             "orderflow verify has no flag --quiet",
		"serve --roles=api,cook":     `--roles: there is no role "cook"`,
		"--roles=cook":               `--roles: there is no role "cook"`,
		"--roles=":                   "--roles: the value is missing",
		"--port=4000":                "orderflow has no flag --port",
	} {
		out, err := usageOf(t, strings.Fields(line)...)

		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--help' for usage") {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
		if exitCode(err) != 2 || out != "" || strings.Contains(err.Error(), "strconv") {
			t.Errorf("%s: exit code %d, printed %q, error %v", line, exitCode(err), out, err)
		}
	}
}

// SPEC F15: each command has a help text, which needs no valid settings and exits with 0.
func TestEveryCommandHasHelp_F15(t *testing.T) {
	t.Parallel()
	root := commandLine{name: productName}.root(io.Discard)
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.Name() == "help" {
			return
		}
		seen++
		path := strings.Fields(cmd.CommandPath())[1:]
		help, err := usageOf(t, append(path, "--help")...)
		same, errHelp := usageOf(t, append([]string{"help"}, path...)...)
		if err != nil || errHelp != nil || help != same {
			t.Errorf("%v: %v, %v\n%s\n%s", path, err, errHelp, help, same)
		}
		for _, part := range []string{"Usage:", "Exit codes:\n  0  ", "\n  2  ", cmd.Short} {
			if part == cmd.Short && cmd.Long != "" {
				part = cmd.Long
			}
			if !strings.Contains(help, part) {
				t.Errorf("%v: the help has no %q:\n%s", path, part, help)
			}
		}
		if cmd.Runnable() && !cmd.HasSubCommands() && cmd.Name() != "version" && !strings.Contains(help, "Examples:") {
			t.Errorf("%v: the help has no example:\n%s", path, help)
		}
	}
	walk(root)
	if seen < 9 {
		t.Errorf("only %d commands", seen)
	}
}

// SPEC F15: the version is printed by the command and by the flag.
func TestVersion_F15(t *testing.T) {
	t.Parallel()
	byCommand, err := usageOf(t, "version")
	if err != nil || byCommand != versionOf()+"\n" {
		t.Errorf("version prints %q, %v", byCommand, err)
	}
	byFlag, err := usageOf(t, "--version")
	if err != nil || byFlag != "orderflow version "+versionOf()+"\n" {
		t.Errorf("--version prints %q, %v", byFlag, err)
	}
}

// SPEC F15: shells complete commands, flags and the values of flags.
func TestCompletion_F15(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script, err := usageOf(t, "completion", shell); err != nil || !strings.Contains(script, productName) {
			t.Errorf("completion %s: %v, %d bytes", shell, err, len(script))
		}
	}
	for line, want := range map[string]string{"ver": "verify", "admin cr": "create", "verify --se": "--settled", "serve --roles=": "api,worker"} {
		if out, err := usageOf(t, append([]string{"__complete"}, strings.Fields(line)...)...); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s is completed to %q, %v", line, out, err)
		}
	}
}

// SPEC F15: the exit code of an error.
func TestExitCodes_F15(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for want, errs := range map[int][]error{
		0: {nil},
		1: {broken, errBroken, context.Canceled},
		2: {&usageError{"orderflow", "wrong"}, &notVerified{broken}},
		3: {&childError{3}},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("%v: exit code %d, want %d", err, got, want)
			}
		}
	}
}

// SPEC F15: the documentation has the table of exit codes.
func TestExitCodesAreDocumented_F15(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, e := range exits {
		name := "all"
		if e.command != "" {
			name = "`" + e.command + "`"
		}
		lines = append(lines, fmt.Sprintf("| %s | %d | %s |", name, e.code, e.meaning))
	}
	golden.CheckTable(t, "../docs/commands.md", "| command | code | meaning |\n|---|---|---|\n", lines)
}

// SPEC F15: a program adds a command with an option; a name that is taken is an error.
func TestAddedCommand_F15(t *testing.T) {
	t.Parallel()
	named := func(name string) Option {
		return WithCommand(func() *cobra.Command {
			return &cobra.Command{Use: name, Short: "Greet", RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write([]byte("Good morning\n"))
				return err
			}}
		})
	}
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"greet"}, &out, named("greet")); err != nil || out.String() != "Good morning\n" {
		t.Errorf("greet: %v, %q", err, out.String())
	}
	for _, name := range []string{"serve", "help", "completion", "hash", ""} {
		if err := Run(t.Context(), []string{"version"}, io.Discard, named(name)); err == nil {
			t.Errorf("a second command %q is accepted", name)
		}
	}
	if err := Run(t.Context(), []string{"version"}, io.Discard, WithCommand(nil)); err == nil {
		t.Error("a missing constructor is accepted")
	}
}

// A command that is interrupted has not done its work, so it does not report success.
func TestInterrupted_F15(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg := settings(t)
	p := &program{cfg: &cfg}
	for command, code := range map[string]int{"verify": 2, "migrate": 1, "serve": 0} {
		err := commandLine{name: productName, fixed: p}.execute(ctx, []string{command}, io.Discard)
		if exitCode(err) != code {
			t.Errorf("%s: %v, exit code %d, want %d", command, err, exitCode(err), code)
		}
	}
}
