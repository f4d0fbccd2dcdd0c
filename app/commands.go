package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// commandLine constructs the commands of a program. The functions that read settings are called
// only when a command runs, so that help, completion and errors in the arguments need no valid settings.
type commandLine struct {
	name string
	extensions

	// For tests: the program and the variables, in place of those of the environment.
	fixed       *program
	environment func(name string) string
	questions   func(question string) (string, error)
}

// commands returns the commands in the order in which the help lists them. Each has its own file.
func (c commandLine) commands() []*cobra.Command {
	return []*cobra.Command{
		c.serveCommand(),
		c.migrateCommand(),
		c.configCommand(),
		c.adminCommand(),
		c.verifyCommand(),
		c.psqlCommand(),
		c.eventsCommand(),
		c.listenCommand(),
		c.healthCommand(),
		c.versionCommand(),
	}
}

const about = `Orderflow accepts orders over REST, processes them durably and announces every change over
webhooks, WebSockets and Server-Sent Events.

Without a command, it serves. Settings are read from the environment and from the file .env in the
working directory; .env.example explains them.`

// root returns the command tree.
func (c commandLine) root(out io.Writer) *cobra.Command {
	root := c.serveCommand() // a program without a command serves, and takes the flags of serve
	root.Use = c.name
	root.Short, root.Long = "Order processing API", about
	root.Args = onlySubcommands
	root.Version = versionOf()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(out)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(helpWithExitCodes(root.HelpFunc()))
	root.AddCommand(c.commands()...)
	root.SetHelpCommand(helpCommand())
	return root
}

// addTo adds the commands of the options. It returns an error if one has no name or a name that is taken.
func (e extensions) addTo(root *cobra.Command) error {
	for _, constructor := range e.commands {
		var cmd *cobra.Command
		if constructor != nil {
			cmd = constructor()
		}
		if cmd == nil || cmd.Name() == "" {
			return errors.New("a command of an option has no name")
		}
		taken := func(c *cobra.Command) bool { return c.Name() == cmd.Name() || c.HasAlias(cmd.Name()) }
		if cmd.Name() == "hash" || slices.ContainsFunc(root.Commands(), taken) {
			return fmt.Errorf("command %q: there are two of that name", cmd.Name())
		}
		root.AddCommand(cmd)
	}
	return nil
}

// execute runs the command that args name.
func (c commandLine) execute(ctx context.Context, args []string, out io.Writer) error {
	root := c.root(out)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if err := c.addTo(root); err != nil {
		return err
	}
	if args == nil {
		args = []string{} // cobra would read those of the process
	}
	root.SetArgs(args)
	return hintAtMigrate(root.ExecuteContext(ctx))
}

// hintAtMigrate says what to do if a table, a column or a function is missing.
func hintAtMigrate(err error) error {
	if slices.Contains([]string{"42P01", "42703", "42883"}, postgres.Code(err)) {
		return fmt.Errorf("the database is not migrated to this version; run orderflow migrate first: %w", err)
	}
	return err
}

// settings reads the settings alone. A container asks for its health every few seconds, and
// constructing all modules each time would cost more than the question.
func (c commandLine) settings() (*config.Config, error) {
	if c.fixed != nil {
		return c.fixed.cfg, nil
	}
	return load(c.extensions)
}

// program reads the settings and constructs the outline of all modules.
func (c commandLine) program() (*program, error) {
	if c.fixed != nil {
		return c.fixed, nil
	}
	report := c.report()
	if err := report.Err(); err != nil {
		return nil, errors.Join(err, c.check())
	}
	for _, unknown := range report.Unknown {
		logger(report.Config).Warn("a variable is not a setting", "variable", unknown)
	}
	return newProgram(report.Config, c.extensions)
}

// variable returns a variable of the environment that is no setting of the server.
func (c commandLine) variable(name string) string {
	if c.environment != nil {
		return c.environment(name)
	}
	return os.Getenv(name)
}

// prompt returns the function that asks the user for a secret, or nil without a terminal.
func (c commandLine) prompt() func(question string) (string, error) {
	if c.questions != nil {
		return c.questions
	}
	return terminalPrompt()
}
