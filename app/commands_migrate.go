package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/migrations"
)

func (c commandLine) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Migrate the database to this version",
		Long: `Apply the migrations of this version to the database, then exit. Production does not migrate by
itself; development does at every start. Servers of the previous version can go on meanwhile.

A database that was restored into another PostgreSQL cluster gets its event log adopted.`,
		Example: c.examples("migrate", "migrate --grant=orderflow_runtime"),
		Args:    noArguments,
	}
	role := cmd.Flags().String("grant", "", "database `ROLE` of the servers, which gets the privileges that they need (default: DATABASE_RUNTIME_ROLE)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := c.program()
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("grant") {
			*role = p.cfg.RuntimeRole
		}
		return p.migrateAndGrant(cmd.Context(), *role, cmd.OutOrStdout(), newProgress(cmd.ErrOrStderr()))
	}
	return cmd
}

func (p *program) migrateAndGrant(ctx context.Context, role string, out io.Writer, shown *progress) error {
	shown.now("Connecting to the database")
	defer shown.end()
	data, err := openDatabase(ctx, p.cfg)
	if err != nil {
		return err
	}
	defer data.close()

	shown.now("Migrating the database")
	err = migrations.UpAndGrant(ctx, data.databaseURL, role, p.schemas...)
	shown.end()
	if errors.Is(err, migrations.ErrNotARole) {
		return fmt.Errorf("--grant, DATABASE_RUNTIME_ROLE: %w", migrations.ErrNotARole)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "The database is up to date.")
	return err
}
