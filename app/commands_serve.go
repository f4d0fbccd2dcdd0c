package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (c commandLine) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server; the default command",
		Long: `Run the server: the API, the workers, or both in one process.

In development it migrates the database first, and without DATABASE_URL and REDIS_URL it starts a
private PostgreSQL and Redis, which stop with it. In production run migrate before.`,
		Example: c.examples(
			"serve                # everything in one process",
			"serve --roles=worker # process jobs only; serve no API"),
		Args: noArguments,
	}
	roles := cmd.Flags().StringSlice("roles", nil, "`ROLES` of this process: api, worker or api,worker (default: ROLES, or api,worker)")
	_ = cmd.RegisterFlagCompletionFunc("roles", cobra.FixedCompletions([]string{"api", "worker", "api,worker"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, r := range *roles {
			if r != "api" && r != "worker" {
				return usageErrorf(cmd, "--roles: there is no role %q; give api, worker or api,worker", r)
			}
		}
		if cmd.Flags().Changed("roles") && len(*roles) == 0 {
			return usageErrorf(cmd, "--roles: the value is missing")
		}
		p, err := c.program()
		if err != nil {
			return err
		}
		if len(*roles) > 0 {
			p.cfg.Roles = *roles
		}
		err = p.serve(cmd.Context(), cmd.OutOrStdout())
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return nil //nolint:nilerr // asked to stop while starting, which is no failure
		}
		return err
	}
	return cmd
}

// examples returns the lines of a help text's examples, which are arguments of this program.
func (c commandLine) examples(arguments ...string) string {
	var lines []string
	for _, a := range arguments {
		lines = append(lines, "  "+c.name+" "+a)
	}
	return strings.Join(lines, "\n")
}

func (c commandLine) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionOf())
			return err
		},
	}
}
