package pgproxy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/internal/pgproxy"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, func(context.Context, string) error { return nil })
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// A fault fails every statement without executing it, and ends with Heal on the same connection.
func TestFail(t *testing.T) {
	t.Parallel()
	p := pgproxy.Start(t, pgtest.URL(t), nil)
	conn, err := pgx.Connect(t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "create table seen (n int)"); err != nil {
		t.Fatal(err)
	}

	p.Fail(pgproxy.Fault{Code: "53100"})
	_, extended := conn.Exec(t.Context(), "insert into seen values ($1)", 1)
	_, simple := conn.Exec(t.Context(), "insert into seen values (2)", pgx.QueryExecModeSimpleProtocol)
	refused := p.Refused()
	p.Heal()
	_, after := conn.Exec(t.Context(), "insert into seen values ($1)", 3)
	var rows int
	counted := conn.QueryRow(t.Context(), "select count(*) from seen").Scan(&rows)

	if codeOf(extended) != "53100" || codeOf(simple) != "53100" || refused != 2 {
		t.Errorf("during the fault: %v, %v, %d refused", extended, simple, refused)
	}
	if after != nil || counted != nil || rows != 1 {
		t.Errorf("after the fault: %v, %v, %d rows", after, counted, rows)
	}
}

// A fatal fault ends connections and fails new ones.
func TestFailFatally(t *testing.T) {
	t.Parallel()
	p := pgproxy.Start(t, pgtest.URL(t), nil)
	conn, err := pgx.Connect(t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))

	p.Fail(pgproxy.Fault{Code: "57P03", Fatal: true})
	_, open := conn.Exec(t.Context(), "select 1")
	_, connect := pgx.Connect(t.Context(), p.URL)
	p.Heal()
	again, err := pgx.Connect(t.Context(), p.URL)

	if open == nil || codeOf(connect) != "57P03" {
		t.Errorf("an open connection: %v, a new one: %v", open, connect)
	}
	if err != nil {
		t.Fatalf("after the fault: %v", err)
	}
	_ = again.Close(t.Context())
}

// Notices reach the client and the test.
func TestNotices(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	p := pgproxy.Start(t, pgtest.URL(t), func(message string) { heard <- message })
	conn, err := pgx.Connect(t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))

	if _, err := conn.Exec(t.Context(), "do $$ begin raise notice 'a word'; end $$"); err != nil {
		t.Fatal(err)
	}

	if got := <-heard; got != "a word" {
		t.Errorf("heard %q", got)
	}
}
