package webhooks

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Tests here mostly wait: a River client takes up to two seconds to start, as its
// subscriptions take turns.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "6")
	pgtest.Main(m, migrations.Up)
}

// patience is far longer than anything here takes.
const patience = testwait.Limit

var types = []string{"order.created", "order.confirmed", "order.shipped", "payment.captured"}

// house is a database with people, and nodes on it.
type bundle struct {
	t                 *testing.T
	ctx               context.Context
	url               string
	pool              *postgres.Pool
	people            *people
	alice, bob, admin identity.Caller
	versions          map[uuid.UUID]int64
	mu                sync.Mutex // of versions
}

// people stand for module users.
type people struct {
	mu    sync.Mutex
	roles map[uuid.UUID]identity.Role
	keys  map[uuid.UUID]identity.ScopeSet
	gone  map[uuid.UUID]bool // accounts that are not active
}

func (p *people) exists(_ context.Context, id uuid.UUID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.roles[id] == "" && !p.gone[id] {
		return fault.NotFound("user")
	}
	return nil
}

// Keys stands for module auth.
func (p *people) Keys(_ context.Context, _ postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.ScopeSet, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.keys), nil
}

// may gives a key scopes; with none it is over.
func (p *people) may(key uuid.UUID, scopes ...identity.Scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[key] = identity.ScopesOf(scopes...)
	if len(scopes) == 0 {
		delete(p.keys, key)
	}
}

// keyOf returns a caller with an API key of the user.
func (h *bundle) keyOf(owner identity.Caller, scopes ...identity.Scope) identity.Caller {
	c := identity.Caller{UserID: owner.UserID, KeyID: uuid.New(), Role: owner.Role, Scopes: identity.ScopesOf(scopes...)}
	h.people.may(c.KeyID, scopes...)
	return c
}

func (p *people) Roles(_ context.Context, _ postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.roles), nil
}

// becomes changes the role of a user; "" deactivates.
func (p *people) becomes(id uuid.UUID, role identity.Role) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roles[id] = role
	if role == "" {
		p.gone[id] = true
		delete(p.roles, id)
	}
}

func setup(t *testing.T) *bundle {
	t.Helper()
	h := &bundle{
		t: t, ctx: context.Background(), url: pgtest.URL(t), versions: map[uuid.UUID]int64{},
		people: &people{roles: map[uuid.UUID]identity.Role{}, keys: map[uuid.UUID]identity.ScopeSet{}, gone: map[uuid.UUID]bool{}},
	}
	h.pool = h.open()
	h.alice, h.bob, h.admin = h.account(identity.User), h.account(identity.User), h.account(identity.Admin)
	t.Cleanup(h.audit)
	return h
}

func (h *bundle) open() *postgres.Pool {
	h.t.Helper()
	pool, err := postgres.Open(h.ctx, h.url, 12)
	h.must(err)
	h.t.Cleanup(pool.Close)
	return pool
}

func (h *bundle) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *bundle) account(role identity.Role) identity.Caller {
	c := identity.Caller{UserID: uuid.New(), SessionID: uuid.New(), Role: role}
	h.people.becomes(c.UserID, role)
	return c
}

func (h *bundle) exec(sql string, args ...any) {
	h.t.Helper()
	_, err := h.pool.Exec(h.ctx, sql, args...)
	h.must(err)
}

func (h *bundle) count(sql string, args ...any) (n int) {
	h.t.Helper()
	h.must(h.pool.QueryRow(h.ctx, sql, args...).Scan(&n))
	return n
}

// audit is what holds at the end of every story.
func (h *bundle) audit() {
	h.t.Helper()
	pool, err := postgres.Open(h.ctx, h.url, 2)
	h.must(err)
	defer pool.Close()
	var holes, twice, lost int
	h.must(pool.QueryRow(h.ctx, `
		select (select count(*) from (select w.id from webhooks w join webhook_deliveries d on d.webhook_id = w.id group by w.id
			having max(d.number) <> w.last_number or count(*) <> max(d.number) - min(d.number) + 1) x),
		       (select count(*) from (select from webhook_deliveries group by webhook_id, order_id, version having count(*) > 1) x),
		       (select count(*) from webhook_deliveries d where d.status = 'pending' and not exists (select from river_job j
			where j.args->>'deliveryId' = d.id::text and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')))`).Scan(&holes, &twice, &lost))
	if holes+twice+lost > 0 {
		h.t.Errorf("%d endpoints with holes, %d events twice, %d deliveries without a job", holes, twice, lost)
	}
}

// node is one process: it reads, works and answers.
type node struct {
	*Module
	bundle *bundle
	app    *fiber.App
	said   *syncbuf.Buffer
	stop   func()
}

// node starts one. change may alter the module before it runs.
func (h *bundle) node(change ...func(*Module)) *node {
	h.t.Helper()
	n := h.idle(change...)
	workers := river.NewWorkers()
	n.Workers(workers)
	pool := n.pool
	worker, err := queue.NewWorker(pool, queue.Options{
		Workers: workers, MaxWorkers: 2, Queues: map[string]int{Queue: 16}, Log: slog.New(slog.DiscardHandler),
	})
	h.must(err)
	ctx, cancel := context.WithCancel(h.ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = n.Run(ctx) })
	running.Go(func() {
		if err := queue.Run(ctx, worker, 100*time.Millisecond); err != nil {
			h.t.Error(err)
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	h.t.Cleanup(n.stop)
	return n
}

// idle is a node that only answers.
func (h *bundle) idle(change ...func(*Module)) *node {
	h.t.Helper()
	n := &node{bundle: h, said: &syncbuf.Buffer{}}
	pool := h.open()
	log, err := events.OpenLog(h.ctx, pool)
	h.must(err)
	out := slog.New(slog.NewTextHandler(n.said, nil))
	inserter, err := queue.NewInserter(pool, slog.New(slog.DiscardHandler))
	h.must(err)
	n.Module = New(Deps{
		Pool: pool, Queue: inserter, Events: log, Roles: h.people.Roles, Keys: h.people.Keys, AccountExists: h.people.exists, Types: types, InFlight: &idempotency.InFlight{},
		Plaintext: true, Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Version: "test", Log: out, Metrics: prometheus.NewRegistry(),
	})
	n.policy.waits = []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond}
	n.policy.sweep = time.Hour // it would hide what is lost
	for _, do := range change {
		do(n.Module)
	}
	n.app = fiber.New(web.Config(web.Options{Log: out}))
	n.app.Use(web.Recover(out), web.RequestID(), web.JSONOnly(), func(c *fiber.Ctx) error {
		var who identity.Caller
		if err := json.Unmarshal([]byte(c.Get("X-Caller", "{}")), &who); err == nil && who.Role != "" {
			c.SetUserContext(identity.NewContext(c.UserContext(), who))
		}
		return c.Next()
	})
	n.Routes(web.New(n.app, web.Options{Log: out}))
	return n
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) text(name string) string { s, _ := a.body[name].(string); return s }
func (a answer) num(name string) int     { f, _ := a.body[name].(float64); return int(f) }

// ask sends "METHOD path" as a caller; headers are "Name: value".
func (n *node) ask(who identity.Caller, what, body string, headers ...string) answer {
	n.bundle.t.Helper()
	method, target, _ := strings.Cut(what, " ")
	req := httptest.NewRequest(method, "http://test/", strings.NewReader(body))
	req.RequestURI = target
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	caller, _ := json.Marshal(who)
	req.Header.Set("X-Caller", string(caller))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := n.app.Test(req, -1)
	if err != nil {
		n.bundle.t.Error(err)
		return answer{}
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &a.body)
	return a
}

func (n *node) want(status int, who identity.Caller, what, body string, headers ...string) answer {
	n.bundle.t.Helper()
	a := n.ask(who, what, body, headers...)
	if a.status != status {
		n.bundle.t.Fatalf("%s: want %d, got %d %s", what, status, a.status, a.raw)
	}
	return a
}

// hook creates a webhook of a user to a receiver; extra are further members.
func (n *node) hook(who identity.Caller, url, extra string) (id, secret string) {
	n.bundle.t.Helper()
	a := n.want(201, who, "POST /v1/webhooks", fmt.Sprintf(`{"url":%q%s}`, url, extra))
	return a.text("id"), a.text("secret")
}

// deliveries is what the log of a webhook says of status, by number.
func (n *node) statuses(who identity.Caller, id string) map[int]string {
	n.bundle.t.Helper()
	a := n.want(200, who, "GET /v1/webhooks/"+id+"/deliveries?limit=100", "")
	all := map[int]string{}
	for _, d := range a.body["data"].([]any) {
		d := d.(map[string]any)
		all[int(d["number"].(float64))] = d["status"].(string)
	}
	return all
}

// becomes waits until a delivery has a status.
func (n *node) becomes(who identity.Caller, id string, number int, status string) answer {
	n.bundle.t.Helper()
	var a answer
	until(n.bundle.t, fmt.Sprintf("delivery %d to be %s", number, status), func() bool {
		a = n.ask(who, fmt.Sprintf("GET /v1/webhooks/%s/deliveries/%d", id, number), "")
		return a.text("status") == status
	})
	return a
}

// happens appends events of one order, and wakes the nodes.
func (h *bundle) happens(user identity.Caller, order uuid.UUID, kinds ...string) {
	h.t.Helper()
	h.mu.Lock()
	version := h.versions[order]
	h.versions[order] += int64(len(kinds))
	h.mu.Unlock()
	list := make([]events.Event, len(kinds))
	for i, kind := range kinds {
		list[i] = events.Event{
			OrderID: order, Version: version + int64(i) + 1, UserID: user.UserID, Type: kind,
			Data: json.RawMessage(`{"status":"PENDING"}`), Actor: identity.System, At: events.Now(),
		}
	}
	if err := postgres.InTx(h.ctx, h.pool, func(tx pgx.Tx) error { return events.Append(h.ctx, tx, list) }); err != nil {
		h.t.Error(err)
	}
}

// happens is the house's, and this node looks at once.
func (n *node) happens(user identity.Caller, order uuid.UUID, kinds ...string) {
	n.bundle.t.Helper()
	n.bundle.happens(user, order, kinds...)
	n.Wake()
}

// receiver is the server of a third party.
type receiver struct {
	*httptest.Server
	t    *testing.T
	got  chan received
	mu   sync.Mutex
	play func(r received) reply // what it answers
}

type received struct {
	at     time.Time
	header http.Header
	raw    []byte
	Message
}

type reply struct {
	status int
	header map[string]string
	body   string
	after  func() // before the answer
}

func receive(t *testing.T, play func(r received) reply) *receiver {
	t.Helper()
	r := &receiver{t: t, got: make(chan received, 10000), play: play}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		in := received{at: time.Now(), header: req.Header, raw: raw}
		_ = json.Unmarshal(raw, &in.Message)
		r.got <- in
		r.mu.Lock()
		play := r.play
		r.mu.Unlock()
		out := reply{status: 200}
		if play != nil {
			out = play(in)
		}
		if out.after != nil {
			out.after()
		}
		for name, value := range out.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(out.status)
		_, _ = io.WriteString(w, out.body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) plays(play func(r received) reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.play = play
}

func (r *receiver) next() received {
	r.t.Helper()
	return testwait.For(r.t, "a request", r.got)
}

func (r *receiver) take(n int) []received {
	r.t.Helper()
	list := make([]received, n)
	for i := range list {
		list[i] = r.next()
	}
	return list
}

// quiet: nothing more has come.
func (r *receiver) quiet() {
	r.t.Helper()
	select {
	case in := <-r.got:
		r.t.Errorf("got %s number %d besides", in.Type, in.DeliveryNumber)
	default:
	}
}

// until polls for something that another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testwait.Until(t, what, holds)
}
