package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const attempts = 4

// InTx runs do in one transaction and commits it when do returns nil. On a
// serialization failure or a dead-lock (40001, 40P01) it starts afresh, up to
// four times, so do must not keep anything from a run that failed.
//
// An error after COMMIT was sent leaves the outcome unknown; it is then a
// *CommitError.
func InTx(ctx context.Context, pool *Pool, do func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := once(ctx, pool, do)
		if err == nil || try == attempts || !again(err) {
			return err
		}

		pause := time.Duration(rand.Int64N(int64(try*10))+1) * time.Millisecond //nolint:gosec // jitter, not a secret
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func once(ctx context.Context, pool *Pool, do func(tx pgx.Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()

	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	// After a commit this does nothing. The caller's context may be over by
	// now, and a rollback that is not sent costs the connection.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(ctx)
	}()

	if err := do(tx); err != nil {
		return err
	}
	// A commit that is not sent because the context is over would close the connection.
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return &CommitError{err}
	}
	return nil
}

// CommitError is an error of COMMIT itself: unless the server refused, nobody
// knows whether the transaction took effect.
type CommitError struct{ cause error }

func (e *CommitError) Error() string { return "commit: " + e.cause.Error() }

// Unwrap gives the driver's error.
func (e *CommitError) Unwrap() error { return e.cause }

// Unknown is true when the server never said what became of the commit.
func (e *CommitError) Unknown() bool {
	if said, ok := errors.AsType[*pgconn.PgError](e.cause); ok {
		// An ERROR is a refusal. FATAL and PANIC end the connection, perhaps
		// between the commit and its confirmation.
		return said.SeverityUnlocalized != "ERROR"
	}
	return !errors.Is(e.cause, pgx.ErrTxCommitRollback) && !errors.Is(e.cause, pgx.ErrTxClosed) && !pgconn.SafeToRetry(e.cause)
}

func again(err error) bool {
	code := Code(err)
	return code == "40001" || code == "40P01"
}

// Code returns the SQLSTATE in an error chain, or "".
func Code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Violates tells whether err is a breach of the named constraint or unique index.
func Violates(err error, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.ConstraintName == constraint
}
