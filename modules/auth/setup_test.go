package auth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

const (
	email        = "ada@example.com"
	goodPassword = "canary otter teapot"
	keyText      = "now=0123456789abcdef0123456789abcdef,before=fedcba9876543210fedcba9876543210"
)

// bundle is one node: a module behind its routes, and two probes that say who the
// caller is taken for.
type bundle struct {
	*Module
	t        *testing.T
	ctx      context.Context
	pool     *postgres.Pool
	accounts *fakeAccounts
	attempts *fakeAttempts
	app      *fiber.App
	log      *syncbuf.Buffer
	woken    chan struct{}
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return node(t, pgtest.URL(t), newAccounts())
}

// node is another process on the same database.
func node(t *testing.T, url string, accounts *fakeAccounts) *bundle {
	t.Helper()
	return nodeWith(t, url, accounts, keyText)
}

func nodeWith(t *testing.T, url string, accounts *fakeAccounts, keyText string) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*testwait.Limit)
	t.Cleanup(cancel)
	pool, err := postgres.Open(ctx, url, 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	keys, err := ParseKeys(keyText)
	if err != nil {
		t.Fatal(err)
	}

	b := &bundle{
		t: t, ctx: ctx, pool: pool, accounts: accounts, attempts: &fakeAttempts{},
		log: &syncbuf.Buffer{}, woken: make(chan struct{}, 1000),
	}
	t.Cleanup(func() { noSecrets(t, "log", b.log.String()) })
	log := slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.Module = New(Deps{
		Pool: pool, Sessions: NewSessions(pool, log), Accounts: accounts,
		Keys: keys, Issuer: "orderflow", Audience: "orderflow-api", FailedLookupLimit: redis.Limit{Count: 50, Period: time.Second}, Log: log,
		Wake: func() { b.woken <- struct{}{} }, TOTP: TOTP{Keys: keys},
	})
	b.begin = b.attempts.begin
	b.app = fiber.New(web.Config(web.Options{Log: log}))
	b.app.Use(web.Recover(log), web.TrustTraces(true), web.RequestID(), web.ClientAddress(nil), web.Access(log, nil, nil), web.JSONOnly(), b.Credentials())
	scopes := []identity.Scope{identity.EventsRead, identity.OrdersRead, identity.OrdersWrite, identity.ProductsRead, identity.WebhooksWrite}
	api := web.New(b.app, web.Options{Log: log, Scopes: scopes})
	b.Routes(api)
	who := func(ctx context.Context, _ *struct{}) (*struct{ Body string }, error) {
		c, _ := identity.FromContext(ctx)
		return &struct{ Body string }{string(c.Role)}, nil
	}
	web.Handle(api, web.Route{Method: "GET", Path: "/v1/who", Name: "who", Role: identity.User, Scope: identity.OrdersRead}, who)
	web.Handle(api, web.Route{Method: "GET", Path: "/v1/anyone", Name: "anyone", Role: identity.Anyone, Scope: identity.ProductsRead}, who)
	web.Handle(api, web.Route{Method: "GET", Path: "/v1/root", Name: "root", Role: identity.Admin, Scope: identity.OrdersRead}, who)
	web.Handle(api, web.Route{Method: "GET", Path: "/v1/unsaid", Name: "unsaid", Role: identity.User}, who)
	return b
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

func (b *bundle) do(method, path, token, body string, headers ...string) answered {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
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

func object(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	raw, _ := json.Marshal(m)
	return string(raw)
}

// logsIn opens a session and returns what the client holds.
func (b *bundle) logsIn(headers ...string) pair {
	b.t.Helper()
	got := b.do("POST", "/v1/auth/login", "", object("email", email, "password", goodPassword), headers...)
	if got.status != 200 {
		b.t.Fatalf("log in: %d %s", got.status, got.body)
	}
	return pair{got.member("accessToken"), got.member("refreshToken")}
}

func (b *bundle) refreshes(token string) answered {
	b.t.Helper()
	return b.do("POST", "/v1/auth/refresh", "", object("refreshToken", token))
}

func (b *bundle) who(token string) answered {
	b.t.Helper()
	return b.do("GET", "/v1/who", token, "")
}

// waitsFor runs do while tx is open, which it commits once do waits for a lock, or has ended. It reports
// whether do had to wait.
func (b *bundle) waitsFor(tx pgx.Tx, do func()) (waited bool) {
	b.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	b.until(func() bool {
		select {
		case <-ended:
			return true
		default:
			waited = b.count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) > 0
			return waited
		}
	})
	if err := tx.Commit(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	<-ended
	return waited
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.ctx, sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.ctx, sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// caller is who an access token belongs to.
func (b *bundle) caller(token string) identity.Caller {
	b.t.Helper()
	c, err := b.CurrentCaller(b.ctx, sidOf(b.t, token))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// runs starts Run and waits until it has looked once, so that its memory counts.
func (b *bundle) runs() {
	b.t.Helper()
	ctx, stop := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	b.until(func() bool { return b.sessions.memory.fresh(time.Now()) })
}

func (m *memory) fresh(now time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return now.Sub(m.looked) < maxAge
}

func (b *bundle) until(good func() bool) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !good() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.t.Fatal("never came true")
		}
	}
}

func noSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{"canary", "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds %q: %s", where, secret, text)
		}
	}
	if where == "log" && (strings.Contains(text, "@example") || strings.Contains(text, "eyJ") || strings.Contains(text, keyPrefix)) {
		t.Errorf("the log is personal: %s", text)
	}
}

// fakeAccounts is one account in memory, shared by all nodes of a test.
type fakeAccounts struct {
	busy     error // the error of a check of a password that was not made
	mu       sync.Mutex
	id       uuid.UUID
	role     identity.Role
	active   bool
	password string
	others   []uuid.UUID // accounts that are active too, and never log in

	restriction identity.Restriction
	down        error
	reading     func() // called inside Account, after it has read

	familiar atomic.Bool // whether the last proof came from a network of the account
}

func newAccounts() *fakeAccounts {
	return &fakeAccounts{id: uuid.Must(uuid.NewV7()), role: identity.User, active: true, password: goodPassword}
}

func (f *fakeAccounts) set(change func(f *fakeAccounts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// Room asks as if others waited.
func (f *fakeAccounts) Room(ctx context.Context, isFamiliar func(context.Context) (bool, error)) (context.Context, error) {
	yes, err := isFamiliar(ctx)
	f.familiar.Store(yes)
	return ctx, err
}

func (f *fakeAccounts) Fold(s string) string { return strings.ToLower(s) }

func (f *fakeAccounts) Find(_ context.Context, e string) (uuid.UUID, error) {
	if e != email {
		return uuid.Nil, nil
	}
	return f.id, nil
}

func (f *fakeAccounts) Verify(_ context.Context, e, password string) (
	uuid.UUID, func(context.Context, pgx.Tx) (identity.Role, error), error,
) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wrong := fault.New(fault.KindUnauthenticated, "invalid-credentials", "no")
	if f.busy != nil {
		return uuid.Nil, nil, f.busy
	}
	if e != email || password != f.password || !f.active {
		return uuid.Nil, nil, wrong
	}
	return f.id, func(context.Context, pgx.Tx) (identity.Role, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if password != f.password {
			return "", wrong
		}
		return f.role, nil
	}, nil
}

func (f *fakeAccounts) Account(_ context.Context, id uuid.UUID) (identity.Account, error) {
	f.mu.Lock()
	account := identity.Account{Role: f.role, Active: f.active && id == f.id || slices.Contains(f.others, id), Restriction: f.restriction}
	err, reading := f.down, f.reading
	f.mu.Unlock()
	if reading != nil {
		reading()
	}
	return account, err
}

func (f *fakeAccounts) Address(_ context.Context, id uuid.UUID) (string, error) {
	if id != f.id && !slices.Contains(f.others, id) {
		return "", fault.NotFound("user")
	}
	return email, nil
}

func (f *fakeAccounts) Confirm(_ context.Context, _ uuid.UUID, password string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if password != f.password {
		return fault.New(fault.KindInvalid, "wrong-password", "no")
	}
	return nil
}

func (f *fakeAccounts) Roles(_ context.Context, _ postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	roles := map[uuid.UUID]identity.Role{}
	for _, id := range ids {
		if id == f.id && f.active || slices.Contains(f.others, id) {
			roles[id] = f.role
		}
	}
	return roles, nil
}

func (f *fakeAccounts) Exists(_ context.Context, id uuid.UUID) error {
	if id != f.id && !slices.Contains(f.others, id) {
		return fault.NotFound("user")
	}
	return nil
}

func (f *fakeAccounts) PreparePassword(_ context.Context, _ uuid.UUID, current, next string) (func(context.Context, pgx.Tx) error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if current != f.password {
		return nil, fault.New(fault.KindInvalid, "wrong-password", "no")
	}
	return func(context.Context, pgx.Tx) error {
		f.set(func(f *fakeAccounts) { f.password = next })
		return nil
	}, nil
}

type fakeAttempts struct {
	mu    sync.Mutex
	seen  []string
	known []bool
	ends  []outcome
	fail  error // of the beginning
	late  error // of the end, when wrong
}

func (f *fakeAttempts) begin(ctx context.Context, account string, from netip.Addr, knownNetwork func(context.Context) (bool, error)) (
	func(context.Context, outcome) error, error,
) {
	known, err := knownNetwork(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.known = append(f.seen, account+" "+from.String()), append(f.known, known)
	return f.end, errors.Join(f.fail, err)
}

func (f *fakeAttempts) end(ctx context.Context, what outcome) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err() // what counts could not be told
	}
	f.ends = append(f.ends, what)
	if what == wrong {
		return f.late
	}
	return nil
}
