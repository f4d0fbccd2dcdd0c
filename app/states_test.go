package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
)

// lineOf returns the first log line with the message, or nil.
func lineOf(log *syncbuf.Buffer, message string) map[string]any {
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			return fields
		}
	}
	return nil
}

// SPEC F18: a production server logs one line for each of its states, with hosts and versions and
// without secrets.
func TestStatesAreLogged_F18(t *testing.T) {
	t.Parallel()
	database, port, probes := pgtest.URL(t), testport.For(t), testport.For(t)
	if err := migrations.Up(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	secret := strings.ReplaceAll(planted, "7", "-") + "Qx4Zt8Lp2Vn6Rk0S"
	p := launch(t, t.TempDir(), port.Number, []string{
		"APP_ENV=production", "HOST=127.0.0.1", "BCRYPT_COST=10", fmt.Sprintf("INTERNAL_PORT=%d", probes.Number), "DATABASE_URL=" + database, "REDIS_URL=" + pgtest.Redis(t),
		"JWT_KEYS=2026=" + secret, "PAYMENT_PROVIDER=simulated", "ALLOW_SIMULATED_PAYMENTS=on", "DATABASE_ULR=" + planted,
	})
	p.probes = fmt.Sprintf("http://127.0.0.1:%d", probes.Number)
	testwait.Until(t, "the server to be ready or to end", func() bool { return lineOf(p.log, "ready") != nil || len(p.exited) > 0 })
	p.signal(os.Interrupt)
	if err := p.wait(); err != nil {
		t.Errorf("%v: %s", err, p.log)
	}

	host := must(url.Parse(database)).Hostname()
	for message, want := range map[string]map[string]string{
		"starting": {"version": versionOf(), "env": "production", "roles": "api,worker", "address": port.Address(), "probes": probes.Address(), "go": "go1."},
		"ready":    {"database": host, "postgres": "1", "redis": "127.0.0.1"},
		"draining": {"because": "a signal"},
		"stopped":  {"ok": "true"},

		"a variable is not a setting": {"variable": "DATABASE_ULR is not a setting; did you mean DATABASE_URL?"},
	} {
		line := lineOf(p.log, message)
		for name, value := range want {
			if !strings.HasPrefix(fmt.Sprint(line[name]), value) {
				t.Errorf("%s: %s is %v, want %s", message, name, line[name], value)
			}
		}
		if n := strings.Count(p.log.String(), `"msg":"`+message+`"`); n != 1 {
			t.Errorf("%d lines %q in\n%s", n, message, p.log)
		}
	}
	if strings.Contains(p.log.String(), planted) || strings.Contains(p.log.String(), secret) {
		t.Errorf("a secret is in the log:\n%s", p.log)
	}
}

// SPEC F18: a server that waits for its database says so and answers probes meanwhile; it is ready by
// itself.
func TestServerWaitsForItsDatabase_F18(t *testing.T) {
	t.Parallel()
	database := must(url.Parse(pgtest.URL(t)))
	late := testport.For(t)
	reached := *database
	reached.Host = late.Address()
	p := launch(t, t.TempDir(), testport.For(t).Number, []string{"DATABASE_URL=" + reached.String(), "REDIS_URL=" + pgtest.Redis(t)})
	testwait.Until(t, "the server to wait", func() bool { return lineOf(p.log, "waiting for the database") != nil })

	for path, want := range map[string]string{"/livez": "200 ok", "/readyz": "503 starting", "/v1/products": "503 {"} {
		res, err := brief.Get(p.base + path)
		if err != nil {
			t.Fatal(err)
		}
		body := must(io.ReadAll(res.Body))
		res.Body.Close()
		if got := fmt.Sprintf("%d %s", res.StatusCode, body); !strings.HasPrefix(got, want) || (res.StatusCode == http.StatusServiceUnavailable) != (res.Header.Get("Retry-After") == "1") {
			t.Errorf("%s is %s, %v", path, got, res.Header)
		}
	}
	forwardTo(t, late.Address(), database.Host)
	p.ready()

	waited, over := lineOf(p.log, "waiting for the database"), lineOf(p.log, "the database accepts connections")
	if waited["because"] != "connection refused" || waited["since"] == nil || over["waited"] == nil || lineOf(p.log, "ready") == nil {
		t.Errorf("the log is\n%s", p.log)
	}
}

// forwardTo forwards connections at an address to another one until the test ends.
func forwardTo(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}

// A server that is asked to stop while it waits does so without an error.
func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var log syncbuf.Buffer
	ended := make(chan error, 1)
	go func() {
		ended <- await(ctx, "postgres://a:b@"+testport.For(t).Address()+"/x", slog.New(slog.NewTextHandler(&log, nil)))
	}()
	testwait.Until(t, "the wait", func() bool { return strings.Contains(log.String(), "waiting for the database") })

	cancel()

	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

// SPEC F17: the server does not wait for a fault that only a change of the settings can remove. It
// reports the variable, and not the URL.
func TestLastingFaultsOfTheDatabase_F17(t *testing.T) {
	t.Parallel()
	base := must(url.Parse(pgtest.URL(t)))
	for name, row := range map[string]struct{ url, want string }{
		"LATIN1":          {databaseIn(t, base, "LATIN1"), "the database has the encoding LATIN1 and must have UTF8"},
		"SQL_ASCII":       {databaseIn(t, base, "SQL_ASCII"), "the database has the encoding SQL_ASCII and must have UTF8"},
		"client_encoding": {withQuery(base, "client_encoding", "latin1"), "client_encoding is LATIN1 and must be UTF8"},
		"no TLS":          {"postgres://a:" + planted + "@" + withoutTLS(t) + "/x?sslmode=require", "the server does not offer TLS"},
	} {
		var log syncbuf.Buffer

		err := await(t.Context(), row.url, slog.New(slog.NewTextHandler(&log, nil)))

		if err == nil || !strings.HasPrefix(err.Error(), "DATABASE_URL: "+row.want) || strings.Contains(err.Error(), planted) || log.String() != "" {
			t.Errorf("%s: %v, logged %s", name, err, log.String())
		}
	}
}

func withQuery(base *url.URL, name, value string) string {
	u := *base
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// databaseIn creates a database with an encoding, and drops it after the test.
func databaseIn(t *testing.T, base *url.URL, encoding string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), base.String())
	if err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{strings.ToLower("in_" + encoding + "_" + strings.Trim(base.Path, "/"))}.Sanitize()
	if _, err := conn.Exec(t.Context(), "create database "+name+" encoding '"+encoding+"' lc_collate 'C' lc_ctype 'C' template template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "drop database "+name)
		if err := errors.Join(err, conn.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	u := *base
	u.Path = "/" + strings.Trim(name, `"`)
	return u.String()
}

// withoutTLS answers requests for TLS with no (PostgreSQL documentation, section 55.2.11).
func withoutTLS(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.CopyN(io.Discard, conn, 8)
			_, _ = conn.Write([]byte("N"))
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

// SPEC F17: a Redis that refuses the password is reported at the start, in /health and in /readyz.
func TestRedisThatRefusesThePassword_F17(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	mini.RequireAuth("right" + planted)
	cfg := settings(t)
	cfg.RedisURL = config.Secret("redis://:" + planted + "@" + mini.Addr())
	log := &syncbuf.Buffer{}
	s := serveLogging(t, cfg, slog.New(slog.NewJSONHandler(log, nil)))

	health := s.anonymous().want(200, "GET", "/health", "")
	res, err := brief.Get(s.base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	ready := must(io.ReadAll(res.Body))
	res.Body.Close()

	if health.text("status") != "degraded" || health.text("parts.redis.detail") != "refuses the user or the password" {
		t.Errorf("health is %s", health.raw)
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(ready, []byte("redis refuses the user or the password")) {
		t.Errorf("readyz is %d %s", res.StatusCode, ready)
	}
	told := lineOf(log, "REDIS_URL: redis refuses this server; limits are counted on each node")
	if told["level"] != "ERROR" || lineOf(log, "ready")["redis"] != "refuses the user or the password" || strings.Contains(log.String(), planted) {
		t.Errorf("the log is\n%s", log)
	}
}

// SPEC F1: the private PostgreSQL is started again after it was killed, and the server works on.
func TestPrivateDatabaseComesBack_F1(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, dir, testport.For(t).Number, nil)
	p.ready()
	ann := p.user("ann")
	before := ann.order("VOUCHER-TASTING", 1)

	pid := postmaster(t, p)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testwait.Until(t, "the database to be back", func() bool {
		return lineOf(p.log, "the private database exited and was started again") != nil
	})
	p.ready()

	ann.becomes(before, "PROCESSING")
	var after string
	testwait.Until(t, "an order", func() bool {
		a, err := ann.try("POST", "/v1/orders", `{"items":[{"sku":"VOUCHER-TASTING","quantity":1}]}`)
		if err != nil || a.status != http.StatusCreated {
			return false
		}
		after = a.text("id")
		return true
	})
	ann.becomes(after, "PROCESSING")
	p.signal(os.Interrupt)
	if err := p.wait(); err != nil {
		t.Errorf("%v: %s", err, p.log)
	}
	if left, _ := exec.Command("pgrep", "-f", dir).Output(); len(left) > 0 {
		t.Errorf("still running: %s", left)
	}
}

// postmaster returns the process of the private PostgreSQL.
func postmaster(t *testing.T, p *process) int {
	t.Helper()
	_, folder, _ := strings.Cut(p.out.String(), "Data")
	folder, _, _ = strings.Cut(strings.TrimSpace(folder), "\n")
	raw, err := os.ReadFile(filepath.Join(folder, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return must(strconv.Atoi(line))
}
