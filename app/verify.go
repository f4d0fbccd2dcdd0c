package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// errBroken means that verify found a violation: exit code 1. An error that prevented the
// verification is a *notVerified: exit code 2.
var errBroken = errors.New("the database breaks laws of its own; see above")

// notVerified says that nothing is known about the laws.
type notVerified struct{ cause error }

func (e *notVerified) Error() string { return "could not verify: " + e.cause.Error() }

// Unwrap gives the reason.
func (e *notVerified) Unwrap() error { return e.cause }

// verifyDatabase checks the database of the settings and prints the report.
func (p *program) verifyDatabase(ctx context.Context, v verifyRequest, out io.Writer) error {
	data, err := openDatabase(ctx, p.cfg)
	if err != nil {
		return err
	}
	defer data.close()

	conn, err := connectToVerify(ctx, data.databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := tellRetention(ctx, conn, p.cfg); err != nil {
		return err
	}
	keys, err := audit.ParseKeys(p.cfg.AuditKeys.Reveal())
	if err != nil {
		return err
	}
	shown := newProgress(v.terminal)
	report, err := verify(ctx, conn, keys, v.settled, v.limit, shown, p.invariants...)
	shown.end()
	if err != nil {
		return err
	}
	if err := report.print(out, v.json); err != nil {
		return err
	}
	if report.Broken > 0 {
		return errBroken
	}
	return nil
}

// connectToVerify opens a connection without the bounds of the pool: whole tables
// are read, which takes as long as it takes, and hash tables may be larger.
func connectToVerify(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", postgres.RedactURL(err))
	}
	maps.Copy(cfg.RuntimeParams, map[string]string{
		"application_name": "orderflow verify", "timezone": "UTC", "work_mem": "64MB", "jit": "off",
		"enable_nestloop":   "off", // whole tables are joined; on tables without statistics the planner would take them for small and need hours
		"statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
	})
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", postgres.RedactURL(err))
	}
	return conn, nil
}

// verify asks every law in one snapshot, so that what is under way meanwhile is
// seen either whole or not at all. It takes no lock and no transaction id: writers
// and the event stream go on; only vacuum waits.
func verify(ctx context.Context, conn *pgx.Conn, keys audit.Keys, settled bool, limit int, shown *progress, more ...Invariant) (*report, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))

	return checkAll(ctx, tx, keys, settled, limit, shown, more...)
}
