package users

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asChild {
		if err := Hash(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Main(m, migrations.Up)
}

const goodPassword = "canary otter teapot"

type bundle struct {
	*Module
	t        testing.TB
	ctx      context.Context
	pool     *postgres.Pool
	sessions *fakeSessions
	app      *fiber.App
	log      *syncbuf.Buffer
}

// setup serves the routes of the module. In every test, no response and no log line may contain
// a password or a hash (SPEC A1).
func setup(t testing.TB, change ...func(*Deps)) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*testwait.Limit)
	t.Cleanup(cancel)
	pool, err := postgres.Open(ctx, pgtest.URL(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log := &syncbuf.Buffer{}
	t.Cleanup(func() { noSecrets(t, "log", log.String()) })

	b := &bundle{t: t, ctx: ctx, pool: pool, sessions: &fakeSessions{}, log: log}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d := Deps{Pool: pool, Sessions: b.sessions, DisableWebhooks: b.sessions.disableWebhooks, Cost: 4, HashWait: testwait.Limit, InFlight: &idempotency.InFlight{}, Log: logger}
	for _, do := range change {
		do(&d)
	}
	b.Module = New(d)
	b.app = fiber.New(web.Config(web.Options{Log: logger}))
	b.app.Use(web.Recover(logger), web.RequestID(), web.Access(logger, nil, nil), web.JSONOnly(), asCaller)
	b.Routes(web.New(b.app, web.Options{Log: logger}))
	return b
}

// asCaller lets a test say who asks: "user:<id>" or "admin:<id>".
func asCaller(c *fiber.Ctx) error {
	if role, id, found := strings.Cut(c.Get("X-Caller"), ":"); found {
		caller := identity.Caller{UserID: uuid.MustParse(id), Role: identity.Role(role)}
		c.SetUserContext(identity.NewContext(c.UserContext(), caller))
	}
	return c.Next()
}

type answered struct {
	status int
	header http.Header
	body   string
}

func (a answered) member(name string) string {
	var m map[string]any
	_ = json.Unmarshal([]byte(a.body), &m)
	s, _ := m[name].(string)
	return s
}

func (a answered) codes() string {
	var p struct {
		Errors []struct{ Pointer, Code string }
	}
	_ = json.Unmarshal([]byte(a.body), &p)
	var list []string
	for _, e := range p.Errors {
		list = append(list, e.Pointer+" "+e.Code)
	}
	return strings.Join(list, ", ")
}

func (b *bundle) do(method, path, who, body string, headers ...string) answered {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		r.Header.Set("X-Caller", who)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := b.app.Test(r, -1)
	if err != nil {
		b.t.Error(err)
		return answered{}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Error(err)
	}
	noSecrets(b.t, method+" "+path, string(raw))
	return answered{res.StatusCode, res.Header, string(raw)}
}

func noSecrets(t testing.TB, where, text string) {
	t.Helper()
	for _, secret := range []string{"$2a$", "canary", "password_hash", "passwordHash"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds %q: %s", where, secret, text)
		}
	}
}

// account makes one without the API.
func (b *bundle) account(email string, role identity.Role) *ent.User {
	b.t.Helper()
	d, err := b.prepare(b.ctx, email, goodPassword, "", role)
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := d.insert(b.ctx, b.pool)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// waiters is how many wait for the lock of the standings.
func (b *bundle) waiters() int {
	return b.count(`
		select count(*) from pg_locks where locktype = 'advisory' and not granted
		and database = (select oid from pg_database where datname = current_database())`)
}

func as(u *ent.User) string { return u.Role + ":" + u.ID.String() }

// fakeSessions records its calls in order.
type fakeSessions struct {
	mu    sync.Mutex
	calls []string
	fail  error

	during func() // called within the transaction, when set
}

func (f *fakeSessions) note(call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	return f.fail
}

func (f *fakeSessions) taken() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := strings.Join(f.calls, ", ")
	f.calls = nil
	return calls
}

func (f *fakeSessions) EndAll(_ context.Context, _ pgx.Tx, _ uuid.UUID, reason string) error {
	return f.note("end " + reason)
}

func (f *fakeSessions) RevokeKeys(_ context.Context, _ pgx.Tx, _ uuid.UUID, reason string) error {
	return f.note("revoke " + reason)
}

func (f *fakeSessions) DeleteFactor(context.Context, pgx.Tx, uuid.UUID) error {
	return f.note("delete factor")
}

func (f *fakeSessions) disableWebhooks(_ context.Context, _ pgx.Tx, _ uuid.UUID, role identity.Role) error {
	return f.note("webhooks of " + string(role))
}

func (f *fakeSessions) Announce(context.Context, pgx.Tx, uuid.UUID) error {
	if f.during != nil {
		f.during()
	}
	return f.note("announce")
}

func (f *fakeSessions) Committed(context.Context, uuid.UUID) { _ = f.note("committed") }
