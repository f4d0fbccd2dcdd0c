package postgres_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func TestBoundsOnTheServer(t *testing.T) {
	t.Parallel()
	address := pgtest.URLWithProductTimeouts(t)
	pool := openAt(t, address, 1)
	own := openAt(t, address, 1, "lock_timeout", "123", "application_name", "mine", "orderflow.acquire_timeout", "60000")

	for _, row := range []struct {
		pool       *postgres.Pool
		name, want string
	}{
		{pool, "statement_timeout", "4s"},
		{pool, "lock_timeout", "3s"},
		{pool, "idle_in_transaction_session_timeout", "10s"},
		{pool, "application_name", "orderflow"},
		{pool, "TimeZone", "UTC"},
		{own, "lock_timeout", "123ms"},
		{own, "statement_timeout", "4s"},
		{own, "application_name", "mine"},
	} {
		if got := one[string](t, row.pool, "select current_setting($1)", row.name); got != row.want {
			t.Errorf("%s = %s, want %s", row.name, got, row.want)
		}
	}
	if sent := one[*string](t, own, "select current_setting('orderflow.acquire_timeout', true)"); sent != nil {
		t.Errorf("the server was told %s, which is the pool's own", *sent)
	}
	for _, wrong := range []string{"1s", "0", "-1"} {
		if _, err := postgres.Open(t.Context(), "postgres://localhost/x?orderflow.acquire_timeout="+wrong, 1); err == nil {
			t.Errorf("took %s for a number of milliseconds", wrong)
		}
	}
}

func TestQueryRow(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context() // one connection: the next caller waits until it is released
	var n int

	if err := pool.QueryRow(ctx, "select 1 where false").Scan(&n); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no rows: %v", err)
	}
	if err := pool.QueryRow(ctx, "select generate_series(7, 9)").Scan(&n); err != nil || n != 7 {
		t.Errorf("several rows: %d, %v", n, err)
	}
	if err := pool.QueryRow(ctx, "select 'x'").Scan(&n); err == nil {
		t.Error("a text was read as a number")
	}
	if err := pool.QueryRow(ctx, "selec").Scan(&n); postgres.Code(err) != "42601" {
		t.Errorf("bad syntax: %v", err)
	}
	if err := pool.QueryRow(ctx, "select 1/(x-x) from generate_series(1, 2) x").Scan(&n); postgres.Code(err) != "22012" {
		t.Errorf("an error while running: %v", err)
	}
	if n := one[int](t, pool, "select 5"); n != 5 {
		t.Errorf("afterwards: %d", n)
	}
}

func TestQueryGivesItsConnectionBack(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	query := func() pgx.Rows {
		t.Helper()
		rows, err := pool.Query(ctx, "select generate_series(1, 10)")
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}

	read := query()
	for read.Next() {
		_ = read.RawValues()
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Error("rows read to the end keep their connection")
	}
	read.Close() // twice is fine

	half := query()
	half.Next()
	half.Close()
	half.Close()
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Error("closed rows keep their connection")
	}

	numbers, err := pgx.CollectRows(query(), pgx.RowTo[int])
	if err != nil || len(numbers) != 10 {
		t.Errorf("collected %v, %v", numbers, err)
	}
	if _, err := pgx.CollectRows(query(), pgx.RowTo[time.Time]); err == nil {
		t.Error("numbers were read as times")
	}
}

func TestSendBatch(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	b := &pgx.Batch{}
	b.Queue("select 1")
	b.Queue("select 2")

	results := pool.SendBatch(ctx, b)
	var n, sum int
	for range b.Len() {
		if err := results.QueryRow().Scan(&n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	for range 2 {
		if err := results.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if sum != 3 || pool.Stat().AcquiredConns() != 0 {
		t.Errorf("sum %d, %d connections kept", sum, pool.Stat().AcquiredConns())
	}

	bad := &pgx.Batch{}
	bad.Queue("selec")
	if err := pool.SendBatch(ctx, bad).Close(); postgres.Code(err) != "42601" {
		t.Errorf("bad syntax: %v", err)
	}
}

// Acquire from an exhausted pool fails after two seconds, or after the time-out in the URL,
// independently of the caller's deadline, and the client gets a 503.
func TestExhausted(t *testing.T) {
	t.Parallel()
	t.Run("usual", func(t *testing.T) {
		t.Parallel()
		exhausted(t, openAt(t, pgtest.URLWithProductTimeouts(t), 1), 2*time.Second, []string{"exec"})
	})
	t.Run("set", func(t *testing.T) {
		t.Parallel()
		pool := openAt(t, pgtest.URLWithProductTimeouts(t), 1, "orderflow.acquire_timeout", "1000")
		exhausted(t, pool, time.Second, []string{"exec", "query", "queryrow", "batch", "intx"})
	})
}

func exhausted(t *testing.T, pool *postgres.Pool, within time.Duration, tries []string) {
	t.Helper()
	var held *pgxpool.Conn
	testwait.Until(t, "the only connection", func() bool { // to dial may take as long as it waits
		var err error
		held, err = pool.Acquire(t.Context())
		return err == nil
	})
	t.Cleanup(held.Release) // after the subtests, before the pool is checked
	b := &pgx.Batch{}
	b.Queue("select 1")

	all := map[string]func() error{
		"exec": func() error { _, err := pool.Exec(t.Context(), "select 1"); return err },
		"query": func() error {
			rows, err := pool.Query(t.Context(), "select 1")
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		},
		"queryrow": func() error { var n int; return pool.QueryRow(t.Context(), "select 1").Scan(&n) },
		"batch":    func() error { return pool.SendBatch(t.Context(), b).Close() },
		"intx":     func() error { return postgres.InTx(t.Context(), pool, func(pgx.Tx) error { return nil }) },
	}
	for _, name := range tries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, done := time.Now(), make(chan error, 1)

			go func() { done <- all[name]() }()
			err := testwait.For(t, "the answer", done)

			_, none := errors.AsType[*postgres.AcquireError](err)
			if !none || !errors.Is(err, context.DeadlineExceeded) { // no other deadline applies
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took < within {
				t.Errorf("gave up after %v", took)
			}
			wants503(t, err)
		})
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	pool := openAt(t, "postgres://nobody@"+testport.For(t).Address()+"/none?sslmode=disable", 4)

	_, err := pool.Exec(t.Context(), "select 1")

	if _, none := errors.AsType[*postgres.AcquireError](err); !none {
		t.Errorf("got %v", err)
	}
	wants503(t, err)
}

// wants503 checks the response that a client gets for an error.
func wants503(t *testing.T, err error) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	app := fiber.New(web.Config(web.Options{Log: quiet}))
	app.Get("/", func(*fiber.Ctx) error { return err })
	answer, failed := app.Test(httptest.NewRequest(http.MethodGet, "/", http.NoBody), -1)
	if failed != nil {
		t.Fatal(failed)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%v becomes %d %q %s", err, answer.StatusCode, answer.Header.Get("Retry-After"), body)
	}
}

func TestABadURLKeepsItsPassword(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), "postgres://u:hunter2@localhost:bad/x", 1)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// Impatient callers do not cost connections: the statement is cancelled on the
// server and the connection lives on.
func TestCancelKeepsTheConnection(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t)
	pool, other := openAt(t, address, 1, "orderflow.cancel_timeout", "60000"), openAt(t, address, 1)
	pid := one[int](t, pool, "select pg_backend_pid()")
	running := func() {
		t.Helper()
		testwait.Until(t, "the statement to run", func() bool {
			return one[bool](t, other, "select exists (select from pg_stat_activity where pid = $1 and state = 'active' and wait_event = 'PgSleep')", pid)
		})
	}

	for name, call := range map[string]func(context.Context) error{
		"exec": func(ctx context.Context) error { _, err := pool.Exec(ctx, "select pg_sleep(600)"); return err },
		"row":  func(ctx context.Context) error { var v any; return pool.QueryRow(ctx, "select pg_sleep(600)").Scan(&v) },
		"tx": func(ctx context.Context) error {
			return postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "select pg_sleep(600)")
				return err
			})
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		running()
		cancel()

		if err := <-done; err == nil {
			t.Errorf("%s: not cancelled", name)
		}
		if now := one[int](t, pool, "select pg_backend_pid()"); now != pid {
			t.Errorf("%s: connection %d became %d", name, pid, now)
		}
	}

	// A context that was over before COMMIT costs nothing either.
	ctx, cancel := context.WithCancel(t.Context())
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into event_log (only_row, epoch) values (true, 'x') on conflict (only_row) do update set epoch = 'x'")
		cancel()
		return err
	})
	var commit *postgres.CommitError
	if !errors.Is(err, context.Canceled) || errors.As(err, &commit) {
		t.Errorf("over before the commit: %v", err)
	}
	if now := one[int](t, pool, "select pg_backend_pid()"); now != pid {
		t.Errorf("over before the commit: connection %d became %d", pid, now)
	}
	if one[bool](t, pool, "select exists (select from event_log where epoch = 'x')") {
		t.Error("it was committed all the same")
	}
}
