package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that is wrong. Nothing has been done. Its exit code is 2.
type usageError struct {
	command string // whose help explains it
	text    string
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s\nRun '%s --help' for usage.", e.text, e.command)
}

func usageErrorf(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd.CommandPath(), fmt.Sprintf(format, args...)}
}

// flagError replaces the errors of package pflag, which quote those of strconv.
func flagError(cmd *cobra.Command, err error) error {
	if given := cmd.Flags().Args(); cmd.HasSubCommands() && len(given) > 0 {
		return onlySubcommands(cmd, given) // the flag belongs to the command that was misspelt
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := invalid.GetFlag()
		return usageErrorf(cmd, "--%s: %q %s", f.Name, invalid.GetValue(), invalidFor(f.Value.Type(), invalid.Unwrap()))
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usageErrorf(cmd, "--%s: the value is missing", missing.GetFlag().Name)
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, unknown)
	}
	return usageErrorf(cmd, "%v", err)
}

// invalidFor says what is wrong with a value for a flag of a type.
func invalidFor(kind string, err error) string {
	switch kind {
	case "int":
		return "is not a whole number"
	case "bool":
		return "is neither true nor false"
	}
	return err.Error() // of a type of this package
}

func unknownFlag(cmd *cobra.Command, err *pflag.NotExistError) error {
	short := err.GetSpecifiedShortnames()
	if short == "" {
		return usageErrorf(cmd, "%s has no flag --%s", cmd.CommandPath(), err.GetSpecifiedName())
	}
	if name, _, _ := strings.Cut(short, "="); cmd.Flags().Lookup(name) != nil {
		return usageErrorf(cmd, "%s has no flag -%s; write --%s", cmd.CommandPath(), name, name)
	}
	return usageErrorf(cmd, "%s has no flag -%s", cmd.CommandPath(), err.GetSpecifiedName())
}

// noArguments is for commands that take flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf(cmd, "%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// onlySubcommands reports an unknown command, with the names that are similar to it.
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		text += "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usageErrorf(cmd, "%s", text)
}

// commandGroup returns a command that has subcommands and does nothing by itself.
func commandGroup(name, short string, sub ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Args: onlySubcommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var names []string
			for _, c := range sub {
				names = append(names, c.Name())
			}
			return usageErrorf(cmd, "%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	cmd.AddCommand(sub...)
	return cmd
}

// helpCommand is cobra's, but fails when there is no such command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Print the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about := cmd.Root()
			for _, name := range args {
				var next *cobra.Command
				for _, c := range about.Commands() {
					if c.Name() == name {
						next = c
					}
				}
				if next == nil {
					return onlySubcommands(about, []string{name})
				}
				about = next
			}
			about.InitDefaultHelpFlag() // which cobra adds only to a command that runs
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}
