package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/config"
)

func (c commandLine) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective settings",
		Long: `Print every setting with its effective value, its origin (default, environment, .env or the file of a
secret), its unit and its default. Secrets are masked. It connects to nothing.`,
		Example: c.examples("config", "config --json", "config check # only validate"),
		Args:    onlySubcommands,
	}
	asJSON := cmd.Flags().Bool("json", false, "print one JSON document")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		report := c.report()
		if *asJSON {
			return errors.Join(printReport(cmd.OutOrStdout(), report), report.Err())
		}
		if err := printSettings(cmd.OutOrStdout(), report.Settings); err != nil {
			return err
		}
		warn(cmd.ErrOrStderr(), report)
		return report.Err()
	}
	cmd.AddCommand(c.configCheckCommand())
	return cmd
}

func (c commandLine) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Validate the settings and start nothing",
		Long: `Validate the settings as serve does, and connect to nothing. All problems are printed on stderr, and
warnings about settings that are not safe in production and about variables that are not settings.`,
		Example: c.examples("config check"),
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := c.report()
			if err := report.Err(); err != nil {
				return errors.Join(err, c.check())
			}
			warn(cmd.ErrOrStderr(), report)
			if _, err := newProgram(report.Config, c.extensions); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "The settings are valid.")
			return err
		},
	}
}

// report reads the settings.
func (c commandLine) report() *config.Report {
	if c.fixed != nil {
		return &config.Report{Config: c.fixed.cfg}
	}
	return config.Read(c.providerNames()...)
}

// warn prints what a server would log as warnings. The error of a report has the unknown variables
// itself.
func warn(out io.Writer, report *config.Report) {
	if report.Config == nil {
		return
	}
	for _, warning := range append(report.Config.Warnings(), report.Unknown...) {
		_, _ = fmt.Fprintln(out, "warning:", warning)
	}
}

func printSettings(out io.Writer, settings []config.Value) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VARIABLE\tVALUE\tORIGIN\tUNIT\tDEFAULT")
	for _, s := range settings {
		value := s.Value
		if s.Invalid {
			value = "(invalid)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", s.Name, value, s.Origin, s.Unit, s.Default)
	}
	return table.Flush()
}

// printReport prints the document of --json. Its members are only added to, never changed.
func printReport(out io.Writer, report *config.Report) error {
	type setting struct {
		Name    string        `json:"name"`
		Value   string        `json:"value"`
		Origin  config.Origin `json:"origin"`
		Unit    string        `json:"unit"`
		Default string        `json:"default"`
		Secret  bool          `json:"secret"`
		Invalid bool          `json:"invalid"`
		Meaning string        `json:"meaning"`
	}
	document := struct {
		Settings []setting `json:"settings"`
		Problems []string  `json:"problems"`
		Warnings []string  `json:"warnings"`
	}{[]setting{}, append([]string{}, report.Problems...), append([]string{}, report.Unknown...)}
	for _, s := range report.Settings {
		document.Settings = append(document.Settings, setting{s.Name, s.Value, s.Origin, s.Unit, s.Default, s.Secret, s.Invalid, s.Means})
	}
	if report.Config != nil {
		document.Warnings = append(document.Warnings, report.Config.Warnings()...)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}
