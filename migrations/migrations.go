// Package migrations contains the schema as numbered SQL files. It applies them, and then those of
// River, under one lock, so that any number of nodes may start at once.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib" // goose uses database/sql; only migrations do
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

//go:embed *.sql
var files embed.FS

// lockKey is the key of the advisory lock. It must never change.
const lockKey = 0x6f72646572 // "order"

// Up migrates the database at url to the version of this binary. It waits for another node that is
// migrating. When a table is locked, it gives up after three seconds instead of blocking all later
// transactions behind its own request. It may run any number of times.
func Up(ctx context.Context, url string) error { return UpWith(ctx, url) }

// UpWith does what Up does, and then applies the migrations of modules, under the same lock.
func UpWith(ctx context.Context, url string, modules ...Module) error {
	return locked(ctx, url, func(db *sql.DB, conn *pgx.Conn) error { return apply(ctx, db, conn, modules) })
}

// apply runs all migrations; the caller holds the lock.
func apply(ctx context.Context, db *sql.DB, conn *pgx.Conn, modules []Module) error {
	ours, err := provider(db)
	if err != nil {
		return err
	}
	if _, err := ours.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}

	rivers, err := riverMigrator(db)
	if err != nil {
		return err
	}
	if _, err := rivers.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate river: %w", err)
	}
	if _, err := db.ExecContext(ctx, dropUnusedIndexes); err != nil {
		return fmt.Errorf("drop river's unused indexes: %w", err)
	}
	for _, m := range modules {
		if err := m.up(ctx, db, conn); err != nil {
			return err
		}
	}
	return events.Rebase(ctx, conn)
}

// River has two inverted indexes for searching jobs by arguments and metadata. Neither River nor
// this product uses them: the sweep reads only the live jobs. A job is written three times, and the
// two indexes cost a fifth of the order throughput. River's reindexing skips missing indexes.
const dropUnusedIndexes = "drop index if exists river_job_args_index, river_job_metadata_index"

// Pending reports whether this binary has migrations that the database lacks. It takes no lock and
// is cheap enough for a readiness probe that caches the result.
func Pending(ctx context.Context, url string) (bool, error) {
	db, err := open(url)
	if err != nil {
		return false, err
	}
	defer db.Close()

	ours, err := provider(db)
	if err != nil {
		return false, err
	}
	if pending, err := ours.HasPending(ctx); err != nil || pending {
		return pending, err
	}

	rivers, err := riverMigrator(db)
	if err != nil {
		return false, err
	}
	checked, err := rivers.Validate(ctx, nil)
	if err != nil {
		return false, err
	}
	return !checked.OK, nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

func riverMigrator(db *sql.DB) (*rivermigrate.Migrator[*sql.Tx], error) {
	m, err := rivermigrate.New(riverdatabasesql.New(db), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("read river's migrations: %w", err)
	}
	return m, nil
}

// open connects for migrations: with few connections, and without a statement timeout, because
// building an index may take minutes.
func open(url string) (*sql.DB, error) {
	cfg, err := config(url)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(2)
	return db, nil
}

func config(url string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", postgres.RedactURL(err))
	}
	// A waiting request for a table lock blocks all later ones on that table.
	cfg.RuntimeParams["lock_timeout"] = "3s"
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.AfterConnect = postgres.RequireUTF8
	return cfg, nil
}

func locked(ctx context.Context, url string, do func(*sql.DB, *pgx.Conn) error) error {
	cfg, err := config(url)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect: %w", postgres.RedactURL(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))

	if err := lock(ctx, conn); err != nil {
		return err
	}

	db, err := open(url)
	if err != nil {
		return err
	}
	defer db.Close()

	return do(db, conn)
}

// lock polls for the lock instead of waiting for it. A waiting session holds a snapshot, and the
// event stream waits for transactions with a snapshot.
func lock(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()

	for {
		var got bool
		if err := conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", lockKey).Scan(&got); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if got {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("another node is still migrating"), ctx.Err())
		}
	}
}
