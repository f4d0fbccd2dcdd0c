package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/orderflow-dev/orderflow/platform/events"
)

// Module is a part of the program that brings a schema of its own.
type Module struct {
	// Name is in lower case. It names the version table, so it never changes.
	Name string
	// Files holds goose migrations at its top level, such as 1_coupons.sql; nil: none.
	Files fs.FS
	// Consumes gives the module a position in the event log: at its present end, once.
	Consumes bool
}

// VersionTable is where goose keeps which migrations of the module have been applied.
// Each module counts by itself, so that neither waits for a number of the product's.
func (m Module) VersionTable() string { return "goose_module_" + m.Name }

func (m Module) up(ctx context.Context, db *sql.DB, conn *pgx.Conn) error {
	if m.Files != nil {
		p, err := goose.NewProvider(goose.DialectPostgres, db, m.Files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(m.VersionTable()))
		if err != nil {
			return fmt.Errorf("read the migrations of module %s: %w", m.Name, err)
		}
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrate module %s: %w", m.Name, err)
		}
	}
	if m.Consumes {
		if err := events.AddConsumer(ctx, conn, m.Name); err != nil {
			return fmt.Errorf("module %s: %w", m.Name, err)
		}
	}
	return nil
}

var creates = regexp.MustCompile(`(?im)^\s*create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?"?(\w+)`)

// Tables names the tables that migrations create, by the file that creates them. An
// error means that the files cannot be read.
func Tables(migrations fs.FS) (tables map[string]string, err error) {
	tables = map[string]string{}
	names, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		raw, err := fs.ReadFile(migrations, name)
		if err != nil {
			return nil, err
		}
		for _, m := range creates.FindAllStringSubmatch(string(raw), -1) {
			tables[m[1]] = name
		}
	}
	return tables, nil
}

// Files are the product's own migrations.
func Files() fs.FS { return files }
