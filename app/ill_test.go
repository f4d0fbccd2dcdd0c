package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// illness makes every insert and update of a few tables fail with an SQLSTATE.
const illness = `
	create table ill (code text);
	create function ill() returns trigger language plpgsql as $$
		declare c text := (select code from ill);
		begin
			if c is not null then raise exception 'the database is ill' using errcode = c; end if;
			return coalesce(new, old);
		end $$;
	create trigger ill before insert or update or delete on orders for each row execute function ill();
	create trigger ill before insert or update or delete on users for each row execute function ill();
	create trigger ill before insert or update or delete on sessions for each row execute function ill();
	create trigger ill before insert or update or delete on tickets for each row execute function ill();
	create trigger ill before insert or update or delete on products for each row execute function ill();
	create trigger ill before insert or update or delete on webhooks for each row execute function ill();`

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	execute(t, conn, "set default_transaction_read_only = off")
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// write is a request that needs a database that takes writes.
type write struct{ name, method, path, body string }

func writes(n int) []write {
	return []write{
		{"place", "POST", "/v1/orders", `{"items":[{"sku":"KETTLE","quantity":1}]}`},
		{"bulk", "POST", "/v1/orders/bulk", `{"orders":[{"items":[{"sku":"KETTLE","quantity":1}]},{"items":[{"sku":"KETTLE","quantity":2}]}]}`},
		{"register", "POST", "/v1/auth/register", fmt.Sprintf(`{"email":"new-%d@example.com","password":%q}`, n, userPassword)},
		{"log in", "POST", "/v1/auth/login", fmt.Sprintf(`{"email":"ann@example.com","password":%q}`, userPassword)},
		{"ticket", "POST", "/v1/events/tickets", ""},
		{"webhook", "POST", "/v1/webhooks", `{"url":"https://127.0.0.1/hook","types":["order.created"]}`},
		{"product", "PATCH", "/v1/products/KETTLE", fmt.Sprintf(`{"name":"Kettle %d"}`, n)},
	}
}

func (w write) by(c *client, key string) (answer, error) {
	var headers []string
	if key != "" && w.method == "POST" && !strings.HasPrefix(w.path, "/v1/auth") && w.name != "ticket" {
		headers = []string{"Idempotency-Key: " + key}
	}
	return c.try(w.method, w.path, w.body, headers...)
}

// F4: for every fault of a database that still responds, a write gets a 503 with Retry-After, and
// no response is stored under its key: after the fault, the repeated request is executed.
func TestIllDatabase(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Roles = []string{"api"}
	s := serveTest(t, cfg)
	root := s.admin()
	root.product("KETTLE", 1_000_000)
	s.user("ann")
	conn := connect(t, cfg.DatabaseURL.Reveal())
	execute(t, conn, illness)

	for i, code := range []string{"08006", "25006", "25P03", "53000", "53100", "53200", "53300", "55000", "57P01", "57P03", "58000", "58030", "58P01", "XX000", "XX001", "XX002"} {
		execute(t, conn, "insert into ill values ($1)", code)
		key := "key-" + code
		for _, w := range writes(i) {
			a, err := w.by(root, key)
			if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.text("code") != "unavailable" {
				t.Errorf("%s: %s is %v, Retry-After %q, %v", code, w.name, a, a.header.Get("Retry-After"), err)
			}
		}
		execute(t, conn, "delete from ill")
		for _, w := range writes(i) {
			a, err := w.by(root, key)
			if err != nil || a.status/100 != 2 || a.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("after %s: %s is %v, %v", code, w.name, a, err)
			}
		}
	}
}

// F3, F4: read-only, the node is not ready and says why, reads go on, and it is well
// again by itself, with and without writes.
func TestReadOnlyNode(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	root := s.admin()
	root.product("KETTLE", 1_000_000)
	s.user("ann")
	conn := connect(t, cfg.DatabaseURL.Reveal())
	var name string
	if err := conn.QueryRow(t.Context(), "select current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	alter := "alter database " + pgx.Identifier{name}.Sanitize()
	execute(t, conn, alter+" set default_transaction_read_only = on")
	execute(t, conn, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")

	testwait.Until(t, "the node to be not ready", func() bool { return readiness(s) == "503 the database is read-only\n" })
	for _, w := range writes(0) {
		if a, err := w.by(root, "read-only"); err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s is %v, %v", w.name, a, err)
		}
	}
	if a, err := root.try("GET", "/v1/orders", ""); err != nil || a.status != http.StatusOK {
		t.Errorf("a read is %v, %v", a, err)
	}
	health, err := s.anonymous().try("GET", "/health", "")
	if err != nil || health.status != http.StatusServiceUnavailable || health.text("parts.database.detail") != "the database is read-only" {
		t.Errorf("health: %v, %v", health, err)
	}

	execute(t, conn, alter+" reset default_transaction_read_only")
	testwait.Until(t, "the node to be ready", func() bool { return readiness(s) == "200 ok\n" })
	for _, w := range writes(0) {
		if a, err := w.by(root, "read-only"); err != nil || a.status/100 != 2 || a.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("afterwards %s is %v, %v", w.name, a, err)
		}
	}
	root.becomes(root.order("KETTLE", 1), "PROCESSING")
}

// F3: a write that found no room makes the node not ready until one finds room again.
func TestFullDiskNode(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Roles = []string{"api"}
	s := serveTest(t, cfg)
	root := s.admin()
	root.product("KETTLE", 1_000_000)
	conn := connect(t, cfg.DatabaseURL.Reveal())
	execute(t, conn, illness+"; insert into ill values ('53100')")

	a, err := writes(0)[0].by(root, "full")

	if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Fatalf("a write is %v, %v", a, err)
	}
	if got := readiness(s); got != "503 the disk of the database is full\n" {
		t.Errorf("readyz is %s", got)
	}
	execute(t, conn, "delete from ill")
	testwait.Until(t, "the node to be ready", func() bool { return readiness(s) == "200 ok\n" })
	if a, err := writes(0)[0].by(root, "full"); err != nil || a.status != http.StatusCreated {
		t.Errorf("afterwards: %v, %v", a, err)
	}
}

func readiness(s *server) string {
	a, err := s.anonymous().try("GET", "/readyz", "")
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(a.status, " ", string(a.raw))
}

// D4: a job that fails since the database is ill counts no attempt, however long that
// lasts, and the order is processed once it is well.
func TestIllDatabaseCountsNoAttempts(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	root := s.admin()
	root.product("KETTLE", 1_000_000)
	conn := connect(t, cfg.DatabaseURL.Reveal())
	execute(t, conn, `create table ill (code text); insert into ill values ('53100');
		create function ill() returns trigger language plpgsql as $$
			declare c text := (select code from ill);
			begin
				if c is not null then raise exception 'the database is ill' using errcode = c; end if;
				return new;
			end $$;
		create trigger ill before update on orders for each row execute function ill()`)

	id := root.order("KETTLE", 1)

	job := func() (state string, attempts, failures int) {
		err := conn.QueryRow(t.Context(), "select state, attempt, coalesce(cardinality(errors), 0) from river_job where args->>'orderId' = $1", id).Scan(&state, &attempts, &failures)
		if err != nil {
			t.Fatal(err)
		}
		return state, attempts, failures
	}
	testwait.Until(t, "the job to be snoozed", func() bool { state, _, _ := job(); return state == "scheduled" || state == "retryable" })
	if state, attempts, failures := job(); state != "scheduled" || attempts != 0 || failures != 0 {
		t.Errorf("the job is %s after %d attempts and %d errors", state, attempts, failures)
	}
	execute(t, conn, "delete from ill")
	execute(t, conn, "update river_job set scheduled_at = now() where args->>'orderId' = $1 and state = 'scheduled'", id)
	root.becomes(id, "PROCESSING")
}
