package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// A transaction in another database of the cluster holds the horizon as well. Older transactions of
// other tests end sooner or later.
func TestOldestWriter(t *testing.T) {
	t.Parallel()
	pool, elsewhere := open(t, 2), open(t, 1, "application_name", "index-build")
	tx, err := elsewhere.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	exec(t, tx, "create table held ()")
	pid, database := one[int](t, tx, "select pg_backend_pid()"), one[string](t, tx, "select current_database()")

	var h *postgres.Holder
	testwait.Until(t, "the transaction to be the oldest", func() bool {
		h, err = postgres.OldestWriter(t.Context(), pool)
		return err != nil || h != nil && h.PID == pid
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.Database != database || h.Application != "index-build" || h.State != "idle in transaction" || time.Since(h.Since) > testwait.Limit || h.Prepared != "" {
		t.Errorf("%+v", h)
	}
	if s := h.String(); !strings.Contains(s, database) || !strings.Contains(s, "index-build") || !strings.Contains(s, "idle in transaction, since 20") {
		t.Error(s)
	}
}

func TestHolderWithoutPrivileges(t *testing.T) {
	t.Parallel()
	if s := (&postgres.Holder{PID: 7}).String(); s != "process 7" {
		t.Error(s)
	}
	if s := (&postgres.Holder{Prepared: "x", Database: "d"}).String(); s != `the prepared transaction "x" in database d` {
		t.Error(s)
	}
}

func TestOldestSnapshot(t *testing.T) {
	t.Parallel()
	pool := open(t, 3)
	if age, err := postgres.OldestSnapshot(t.Context(), pool); err != nil || age != 0 {
		t.Errorf("%s, %v", age, err)
	}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	exec(t, tx, "set transaction isolation level repeatable read")
	began := one[time.Time](t, tx, "select now()")

	age, err := postgres.OldestSnapshot(t.Context(), pool)
	if now := one[time.Time](t, pool, "select clock_timestamp()"); err != nil || age <= 0 || age > now.Sub(began) {
		t.Errorf("%s, %v", age, err)
	}
}

// Tests and servers share a machine and its clock.
func TestSkew(t *testing.T) {
	t.Parallel()
	pool := open(t, 1)
	began := time.Now()
	ahead, err := pool.MeasureSkew(t.Context())
	if took := time.Since(began); err != nil || ahead.Abs() > took {
		t.Errorf("%s within %s, %v", ahead, took, err)
	}
	for measured, want := range map[time.Duration]time.Duration{
		0: 0, 19 * time.Millisecond: 0, -19 * time.Millisecond: 0, -5 * time.Second: -5020 * time.Millisecond, time.Hour: time.Hour - 20*time.Millisecond,
	} {
		pool.SetSkew(measured)
		if got := pool.Skew(); got != want {
			t.Errorf("%s: %s, want %s", measured, got, want)
		}
	}
}
