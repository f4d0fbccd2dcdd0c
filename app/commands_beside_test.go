package app

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

// SPEC F16: migrate, admin, verify and psql work beside a running server with a private PostgreSQL, which goes on.
func TestCommandsBesideAServer_F16(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := launch(t, dir, testport.For(t).Number, nil)
	server.ready()
	run := func(env []string, args ...string) (string, string, int) {
		t.Helper()
		p := launch(t, dir, testport.For(t).Number, env, args...)
		err := p.wait()
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			return p.out.String(), p.log.String(), ended.ExitCode()
		}
		return p.out.String(), p.log.String(), 0
	}

	for line, want := range map[string]string{"migrate": "up to date", "verify": "all hold", "psql --print": "postgres://orderflow:"} {
		if out, log, code := run(nil, strings.Fields(line)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, %s%s", line, code, out, log)
		}
	}
	if embedded.FindClient("psql") != "" {
		out, log, code := run(nil, "psql", "--", "-Atc", "select count(*) from users")
		if code != 0 || out != "1\n" {
			t.Errorf("psql: exit code %d, %s%s", code, out, log)
		}
		if _, log, code := run(nil, "psql", "--", "-v", "ON_ERROR_STOP=1", "-f", filepath.Join(dir, "absent")); code == 0 || strings.Contains(log, "orderflow: exit code") {
			t.Errorf("psql with an error: exit code %d, %s", code, log)
		}
	}
	// F15: the password of an administrator whose address is a flag.
	if out, log, code := run([]string{"ADMIN_PASSWORD=" + userPassword}, "admin", "create", "--email=eve@example.com"); code != 0 || strings.Contains(out, "password") {
		t.Errorf("admin create: exit code %d, %s%s", code, out, log)
	}
	if a := server.logIn("eve@example.com", userPassword).want(200, "GET", "/v1/users/me", ""); a.text("role") != "admin" {
		t.Errorf("she is %s", a)
	}
	if out, log, code := run(nil, "admin", "create", "--email=nope"); code != 2 || !strings.Contains(log, `--email: "nope": `) {
		t.Errorf("admin create: exit code %d, %s%s", code, out, log)
	}
	server.signal(os.Interrupt)
	if err := server.wait(); err != nil {
		t.Errorf("the server: %v", err)
	}
	if out, log, code := run(nil, "psql", "--print"); code != 1 || out != "" || !strings.Contains(log, "not running") {
		t.Errorf("psql --print without a server: exit code %d, %s%s", code, out, log)
	}
}

// SPEC F16: psql gets a URL without what libpq refuses and without the password.
func TestSplitPassword_F16(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"postgres://app:a%2Fb%25@db:5432/of?sslmode=require&pool_max_conns=5": {"postgres://app@db:5432/of?sslmode=require", "a/b%"},
		"postgres://app@db/of?password=se%20cret&sslmode=disable":             {"postgres://app@db/of?sslmode=disable", "se cret"},
		"postgres:///of?host=%2Frun%2Fpg":                                     {"postgres:///of?host=%2Frun%2Fpg", ""},
	} {
		if without, password, err := splitPassword(in); err != nil || without != want[0] || password != want[1] {
			t.Errorf("%s: %s, %s, %v", in, without, password, err)
		}
	}
}

// SPEC F15: the advice to migrate follows only what migrating cures.
func TestHintAtMigrate_F15(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	conn, err := pgx.Connect(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for sql, want := range map[string]bool{"select * from coupons_of_tomorrow": true, "select tomorrow from users": true, "select 1/0": false, "selec": false} {
		_, err := conn.Exec(t.Context(), sql)
		if got := hintAtMigrate(err); !errors.Is(got, err) || strings.Contains(got.Error(), "run orderflow migrate first") != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
	if hintAtMigrate(nil) != nil || hintAtMigrate(io.EOF) != io.EOF { //nolint:errorlint // unchanged
		t.Error("other errors are changed")
	}
	if _, err := conn.Exec(t.Context(), "alter table users rename to users_of_tomorrow"); err != nil {
		t.Fatal(err)
	}
	p, err := newProgram(&cfg, extensions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := runCommand(t, p, &out, "admin", "create", "--email=eve@example.com"); err == nil || !strings.Contains(err.Error(), "run orderflow migrate first") {
		t.Errorf("without a table: %v", err)
	}
	if _, err := conn.Exec(t.Context(), "alter table users_of_tomorrow rename to users"); err != nil { // for the checks after the test
		t.Fatal(err)
	}
}

// SPEC F16: no invariant joins whole tables with nested loops that group or scan the inner side again for each
// row of the outer one: on tables without statistics that took minutes.
func TestPlansOfVerify_F16(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	conn, err := connectToVerify(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var nested string
	if err := conn.QueryRow(t.Context(), "show enable_nestloop").Scan(&nested); err != nil || nested != "off" {
		t.Fatalf("enable_nestloop is %s, %v", nested, err)
	}
	if _, err := conn.Exec(t.Context(), "set enable_nestloop = on"); err != nil {
		t.Fatal(err)
	}
	for _, l := range ordersLaws {
		rows, err := conn.Query(t.Context(), "explain "+l.Query, l.Args...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		if l.Name == "no-next-step" && strings.Contains(plan, "GroupAggregate") {
			t.Errorf("%s groups all payments:\n%s", l.Name, plan)
		}
	}
}
