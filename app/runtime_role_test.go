package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
)

// asRuntimeRole creates a role with the privileges of a server and returns the settings of a node that
// uses it, and the connection of the owner.
func asRuntimeRole(t *testing.T, cfg config.Config) (config.Config, *pgx.Conn) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(context.WithoutCancel(t.Context())) })
	address := must(url.Parse(cfg.DatabaseURL.Reveal()))
	role := "runtime_" + strings.ToLower(strings.NewReplacer("/", "", "-", "_").Replace(address.Path))
	run := func(ctx context.Context, sql string) {
		if _, err := owner.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	run(t.Context(), fmt.Sprintf("create role %s login password '%s'", role, userPasswordOfRole))
	t.Cleanup(func() {
		run(context.WithoutCancel(t.Context()), fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role))
	})
	if err := migrations.UpAndGrant(t.Context(), cfg.DatabaseURL.Reveal(), role); err != nil {
		t.Fatal(err)
	}
	seen := watchOf(cfg.DatabaseURL.Reveal())
	address.User = url.UserPassword(role, userPasswordOfRole)
	cfg.DatabaseURL = config.Secret(address.String())
	watched.Store(cfg.DatabaseURL.Reveal(), seen)
	return cfg, owner
}

const userPasswordOfRole = "Vx5-uT8r_mC1e"

// SPEC F12, ASVS 5.0 13.2.2: a server that owns nothing does all that the product does, and cannot change what the
// logs hold.
func TestRuntimeRole(t *testing.T) {
	t.Parallel()
	var log syncbuf.Buffer
	cfg, owner := asRuntimeRole(t, settings(t))
	cfg.Env, cfg.Pages = config.Production, new(config.Switch(true)) // the responses are compared with /openapi.json
	s := serveLogging(t, cfg, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	admin, ann := s.admin(), s.user("ann")
	if a := admin.want(403, "GET", "/v1/users", ""); a.text("code") != "password-change-required" { // A12: a setting knows the password
		t.Errorf("%s", a)
	}
	admin.want(200, "POST", "/v1/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, adminPassword, userPassword))
	admin = s.logIn(adminEmail, userPassword)

	hook := admin.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":"https://127.0.0.1:%d/hook"}`, closedPort(t))).text("id")
	admin.product("LAMP", 10)
	admin.want(201, "POST", "/v1/products/LAMP/adjustments", `{"delta":5,"reason":"delivery"}`)
	processed, cancelled, refunded := ann.order("LAMP", 1), ann.order("LAMP", 1), ann.order("LAMP", 1)
	for _, id := range []string{processed, cancelled, refunded} {
		ann.becomes(id, "PROCESSING")
	}
	admin.want(200, "POST", "/v1/orders/"+cancelled+"/cancel", `{"reason":"changed my mind"}`)
	for _, id := range []string{processed, refunded} {
		admin.want(200, "PATCH", "/v1/orders/"+id+"/status", `{"status":"SHIPPED"}`)
		admin.want(200, "PATCH", "/v1/orders/"+id+"/status", `{"status":"COMPLETED"}`)
	}
	testwait.Until(t, "the capture", func() bool {
		return strings.Contains(string(ann.send("GET", "/v1/orders/"+refunded+"/ledger", "").raw), "capture")
	})
	admin.want(201, "POST", "/v1/orders/"+refunded+"/refunds", `{"amount":{"amount":250,"currency":"EUR"},"reason":"broken"}`)
	testwait.Until(t, "an attempt to deliver", func() bool {
		tries := admin.send("GET", "/v1/webhooks/"+hook+"/deliveries", "").at("data.0.tries")
		return tries != nil && fmt.Sprint(tries) != "0"
	})
	if export, err := ann.try("GET", "/v1/orders/export?format=csv", ""); err != nil || export.status != 200 || !strings.Contains(string(export.raw), processed) {
		t.Errorf("export: %v, %s", err, export)
	}
	admin.want(204, "DELETE", "/v1/orders/"+cancelled, "")
	ann.want(200, "GET", "/v1/events", "")
	admin.want(204, "DELETE", "/v1/users/"+ann.want(200, "GET", "/v1/users/me", "").text("id"), "")

	var verdict strings.Builder
	program := must(newProgram(&cfg, extensions{}))
	if err := runCommand(t, program, &verdict, "verify"); err != nil {
		t.Errorf("verify: %v\n%s", err, verdict.String())
	}

	runtime, err := pgx.Connect(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.Close(context.WithoutCancel(t.Context()))
	for _, sql := range forbiddenToServers {
		_, err := runtime.Exec(t.Context(), sql)
		_, _ = runtime.Exec(t.Context(), "rollback") // of the one statement that begins a transaction
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient_privilege", sql, err)
		}
	}
	var rows int
	if err := owner.QueryRow(t.Context(), "select count(*) from events").Scan(&rows); err != nil || rows < 10 {
		t.Errorf("%d events are left, %v", rows, err)
	}
	if said := log.String(); strings.Contains(said, "permission denied") || strings.Contains(said, "42501") || strings.Contains(said, "more privileges") {
		t.Errorf("it logs:\n%s", said)
	}
}

// forbiddenToServers are refused by privileges; the triggers of the logs come only after those.
var forbiddenToServers = []string{
	"update events set data = '{}'", "delete from events", "truncate events",
	"update ledger set amount = 1", "delete from ledger", "truncate ledger",
	"update audit_entries set changes = '[]'", "truncate audit_entries cascade", "update audit_blocks set hash = ''",
	"update movements set delta = 1", "delete from movements", "truncate movements",
	"drop trigger events_append_only on events", "drop trigger ledger_append_only on ledger",
	"alter table events disable trigger all", "alter table ledger disable trigger all",
	"drop table events", "alter table events add column x int",
	"begin; set local orderflow.adopt_log = on; update events set data = '{}'; commit",
	"delete from goose_db_version", "update river_migration set version = 0",
	"create or replace function events_append_only() returns trigger language plpgsql as $$ begin return new; end $$",
	"copy events to program 'true'",
}

// SPEC F12: production warns of a database role that can do more than it has to, and migrate refuses to
// take one for the runtime role.
func TestPrivilegedRoleIsReported(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	address := must(url.Parse(cfg.DatabaseURL.Reveal()))
	cfg.Env = config.Production
	var log syncbuf.Buffer
	if err := migrations.Up(t.Context(), cfg.DatabaseURL.Reveal()); err != nil {
		t.Fatal(err)
	}

	serveLogging(t, cfg, slog.New(slog.NewTextHandler(&log, nil)))

	if !strings.Contains(log.String(), "more privileges than a server needs") {
		t.Errorf("it logs:\n%s", log.String())
	}
	for _, role := range []string{address.User.Username(), "nowhere_to_be_found", `x"; drop table events; --`, "pg_Monitor"} {
		if err := migrations.UpAndGrant(t.Context(), cfg.DatabaseURL.Reveal(), role); !errors.Is(err, migrations.ErrNotARole) {
			t.Errorf("%q: %v", role, err)
		}
	}
}

// closedPort is a port that refuses connections.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
