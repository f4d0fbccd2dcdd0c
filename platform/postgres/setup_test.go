package postgres_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

// open makes a pool on a fresh database. All connections must have been released when the
// test ends.
func open(t *testing.T, size int, params ...string) *postgres.Pool {
	t.Helper()
	return openAt(t, pgtest.URL(t), size, params...)
}

func openAt(t *testing.T, address string, size int, params ...string) *postgres.Pool {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	u.RawQuery = q.Encode()
	pool, err := postgres.Open(context.Background(), u.String(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A connection that was given up is taken apart in the background.
		// Close would wait for one that was kept for ever.
		testwait.Until(t, "no connection is kept", func() bool { return pool.Stat().AcquiredConns() == 0 })
		pool.Close()
	})
	return pool
}

func exec(t *testing.T, q postgres.Querier, sql string, args ...any) {
	t.Helper()
	if _, err := q.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](t *testing.T, q postgres.Querier, sql string, args ...any) (v T) {
	t.Helper()
	if err := q.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}
