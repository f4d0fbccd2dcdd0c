package postgres_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestInTx(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	exec(t, pool, "create table notes (n int)")
	write := func(n int, end func() error) error {
		return postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "insert into notes values ($1)", n); err != nil {
				return err
			}
			return end()
		})
	}
	mine := errors.New("mine")

	if err := write(1, func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := write(2, func() error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	func() {
		defer func() {
			if p := recover(); p != "oh" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = write(3, func() error { panic("oh") })
	}()
	swallowed := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, _ = tx.Exec(ctx, "insert into notes values (4)")
		_, _ = tx.Exec(ctx, "selec")
		return nil
	})

	var commit *postgres.CommitError
	if !errors.As(swallowed, &commit) || commit.Unknown() {
		t.Errorf("a commit that the server made a rollback: %v", swallowed)
	}
	if n := one[int](t, pool, "select sum(n) from notes"); n != 1 {
		t.Errorf("sum %d, want only the first", n)
	}
}

func TestRetriesAreCounted(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	for _, row := range []struct {
		code        string
		heals, runs int // heals is the run that goes well
	}{
		{"40001", 2, 2}, {"40P01", 4, 4}, {"40001", 9, 4}, {"23505", 2, 1}, {"55P03", 2, 1}, {"57014", 2, 1},
	} {
		runs := 0
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			if runs++; runs == row.heals {
				return nil
			}
			_, err := tx.Exec(ctx, "do $$ begin raise 'as told' using errcode = '"+row.code+"'; end $$")
			return err
		})
		if runs != row.runs || (err == nil) != (row.heals <= row.runs) || err != nil && postgres.Code(err) != row.code {
			t.Errorf("%s: %d runs, %v", row.code, runs, err)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	runs := 0
	err := postgres.InTx(ctx, pool, func(pgx.Tx) error {
		runs++
		cancel()
		return &pgconn.PgError{Code: "40001"}
	})
	if runs != 1 || postgres.Code(err) != "40001" {
		t.Errorf("after the caller's context ended: %d runs, %v", runs, err)
	}
}

// Two transactions that lock two rows crosswise both succeed.
func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 4), t.Context()
	exec(t, pool, "create table pairs (id int primary key, n int); insert into pairs values (1, 0), (2, 0)")
	var met sync.WaitGroup // both hold their first row
	met.Add(2)
	var runs atomic.Int32
	add := func(first, second int) error {
		arrived := sync.OnceFunc(func() { met.Done(); met.Wait() })
		return postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			runs.Add(1)
			if _, err := tx.Exec(ctx, "update pairs set n = n + 1 where id = $1", first); err != nil {
				return err
			}
			arrived()
			_, err := tx.Exec(ctx, "update pairs set n = n + 1 where id = $1", second)
			return err
		})
	}

	other := make(chan error, 1)
	go func() { other <- add(2, 1) }()
	err := add(1, 2)

	if err := errors.Join(err, <-other); err != nil {
		t.Error(err)
	}
	if n := one[int](t, pool, "select sum(n) from pairs"); n != 4 {
		t.Errorf("sum %d", n)
	}
	if n := runs.Load(); n < 3 {
		t.Errorf("%d runs: they never met", n)
	}
}

// What an error of COMMIT means (SPEC C2): only silence is unknown.
func TestCommitErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, body, code string
		unknown          bool
		runs             int
	}{
		{name: "terminated", body: "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(600)", unknown: true, runs: 1},
		{name: "refused", body: "raise 'no' using errcode = '23514'", code: "23514", runs: 1},
		{name: "not serializable", body: "raise 'no' using errcode = '40001'", code: "40001", runs: 4},
		{name: "cancelled", body: "perform pg_cancel_backend(pg_backend_pid()); perform pg_sleep(600)", code: "57014", runs: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			pool, ctx := open(t, 1), t.Context()
			exec(t, pool, `create table notes (n int);
				create function at_commit() returns trigger language plpgsql as $$ begin `+row.body+`; return null; end $$;
				create constraint trigger at_commit after insert on notes deferrable initially deferred for each row execute function at_commit()`)

			runs := 0
			err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
				runs++
				_, err := tx.Exec(ctx, "insert into notes values (1)")
				return err
			})

			var commit *postgres.CommitError
			if !errors.As(err, &commit) || commit.Unknown() != row.unknown {
				t.Fatalf("got %v", err)
			}
			if row.code != "" && postgres.Code(err) != row.code || runs != row.runs {
				t.Errorf("code %s after %d runs", postgres.Code(err), runs)
			}
			if n := one[int](t, pool, "select count(*) from notes"); n != 0 {
				t.Errorf("%d notes", n) // also: the pool works on
			}
		})
	}
}

func TestUnknownIsOnlySilence(t *testing.T) {
	t.Parallel()
	pool, ctx := openAt(t, pgtest.URLWithProductTimeouts(t), 3, "lock_timeout", "0", "statement_timeout", "0"), t.Context()
	hold, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hold.Release)
	exec(t, hold, "select pg_advisory_lock(7)")

	// The caller goes while the server commits, and the server does not stop for it:
	// nor for a second time, since the postmaster signals a backend and then its
	// process group, and a slow machine lets both arrive.
	exec(t, pool, `create table notes (n int);
		create function at_commit() returns trigger language plpgsql as $$ begin
			loop
				begin perform pg_advisory_xact_lock(7); exit; exception when query_canceled then null; end;
			end loop;
			return null; end $$;
		create constraint trigger at_commit after insert on notes deferrable initially deferred for each row execute function at_commit()`)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into notes values (1)")
			return err
		})
	}()
	testwait.Until(t, "the commit to begin", func() bool {
		return one[bool](t, pool, "select exists (select from pg_stat_activity where datname = current_database() and query = 'commit' and wait_event = 'advisory')")
	})
	cancel()

	err = testwait.For(t, "the end of the commit", done)
	exec(t, hold, "select pg_advisory_unlock(7)")
	var commit *postgres.CommitError
	if !errors.As(err, &commit) || !commit.Unknown() {
		t.Errorf("got %v", err)
	}
}

func TestViolates(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	exec(t, pool, "create table notes (n int constraint notes_key unique)")
	exec(t, pool, "insert into notes values (1)")

	_, err := pool.Exec(ctx, "insert into notes values (1)")

	if !postgres.Violates(err, "notes_key") || postgres.Violates(err, "other") || postgres.Violates(nil, "notes_key") {
		t.Errorf("got %v", err)
	}
	if postgres.Code(err) != "23505" || postgres.Code(nil) != "" || postgres.Code(context.Canceled) != "" {
		t.Errorf("code %q", postgres.Code(err))
	}
}
