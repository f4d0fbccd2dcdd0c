package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func TestMain(m *testing.M) {
	catchStrays()
	pgtest.Main(m, migrations.Up)
}

const (
	adminEmail    = "root@example.com"
	adminPassword = "correct horse battery staple"
	userPassword  = "a quiet blue morning"
)

// settings are those of a test's nodes: one database, one Redis.
func settings(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Config{
		Env: config.Development, Host: "127.0.0.1", DataDir: t.TempDir(), Roles: []string{"api", "worker"},
		DatabaseURL: config.Secret(pgtest.URL(t)), DatabaseConns: 12, RedisURL: config.Secret(pgtest.Redis(t)), WorkerSlots: 50,
		Issuer: "orderflow", Audience: "orderflow", BcryptCost: 4, AdminEmail: adminEmail, AdminPassword: adminPassword,
		WebhookNetworks: config.Networks{netip.MustParsePrefix("127.0.0.0/8")},
		PaymentProvider: "simulated", ReservationTTL: 30 * time.Minute, RateLimit: config.Limit{}, EventRetention: time.Hour, NotificationRetention: time.Hour, LogLevel: "error",
	}
	keepWatch(t, &cfg)
	return cfg
}

// unhurried are limits that a slow machine does not reach.
var unhurried = limits{route: testwait.Limit, redis: testwait.Limit, hash: testwait.Limit, figures: 200 * time.Millisecond, keys: 100}

// server is a node that runs in this process.
type server struct {
	t    *testing.T
	base string
	// probes is the base of the probes and metrics; on most nodes it is the same.
	probes string
	stop   func() // ends it and waits; also done at the end of the test
}

func serveTest(t *testing.T, cfg config.Config, options ...Option) *server {
	t.Helper()
	return serveLogging(t, cfg, slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelError})), options...)
}

// serveLogging is serveTest with a log of the test's own.
func serveLogging(t *testing.T, cfg config.Config, log *slog.Logger, options ...Option) *server {
	t.Helper()
	program, err := newProgram(&cfg, extensionsOf(options))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	on := listeners{public: listener}
	s := &server{t: t, base: "http://" + listener.Addr().String(), probes: "http://" + listener.Addr().String()}
	if cfg.InternalPort != 0 {
		if on.internal, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		s.probes = "http://" + on.internal.Addr().String()
	}
	seen := watchOf(cfg.DatabaseURL.Reveal())
	watched.Store(listener.Addr().String(), seen)
	log = seen.log(log)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- program.serveOn(ctx, unhurried, log, on, io.Discard)
	}()
	s.stop = sync.OnceFunc(func() {
		s.scrape()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	s.ready()
	return s
}

// testLog sends a node's log to the test that runs it, for as long as it runs.
type testLog struct {
	t  *testing.T
	mu sync.Mutex
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// brief gives up on a node that hangs.
var brief = &http.Client{Timeout: testwait.Limit, Transport: overhears{http.DefaultTransport}}

// scrape passes the metrics of the node to its observer, once at its end.
func (s *server) scrape() {
	res, err := brief.Get(s.probes + "/metrics")
	if err != nil {
		return // it has ended by itself
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
}

// ready waits until the node says so.
func (s *server) ready() {
	s.t.Helper()
	testwait.Until(s.t, "the node to be ready", func() bool {
		res, err := brief.Get(s.probes + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// client sends requests to a node as one caller.
type client struct {
	*server
	email, token, refresh string
}

type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.raw) }

// at is the member at a path such as "data.0.id".
func (a answer) at(path string) any {
	var v any = a.body
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.at(path).(string)
	return s
}

// send makes a request; headers are "Name: value". Every answer is checked against
// the OpenAPI document (F5).
func (c *client) send(method, path, body string, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, headers...)
	if err != nil {
		c.t.Fatal(err)
	}
	conforms(c.t, c.base, method, path, a)
	return a
}

func (c *client) try(method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := brief.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		return answer{}, err
	}
	if len(a.raw) > 0 && strings.Contains(res.Header.Get("Content-Type"), "json") {
		decoder := json.NewDecoder(bytes.NewReader(a.raw))
		decoder.UseNumber()
		if err := decoder.Decode(&a.body); err != nil {
			return a, fmt.Errorf("%s %s: %w in %s", method, path, err, a.raw)
		}
	}
	return a, nil
}

// want sends and demands a status.
func (c *client) want(status int, method, path, body string, headers ...string) answer {
	c.t.Helper()
	a := c.send(method, path, body, headers...)
	if a.status != status {
		c.t.Fatalf("%s %s: want %d, got %s", method, path, status, a)
	}
	return a
}

// metric reads one number without labels from /metrics.
func (s *server) metric(name string) (v float64) {
	s.t.Helper()
	a, err := s.anonymous().try("GET", "/metrics", "")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(a.raw)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err != nil {
				s.t.Fatal(err)
			}
			return v
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}

func (s *server) anonymous() *client { return &client{server: s} }

// logIn returns a client with tokens of its own.
func (s *server) logIn(email, password string) *client {
	s.t.Helper()
	c := s.anonymous()
	a := c.want(200, "POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	c.email, c.token, c.refresh = email, a.text("accessToken"), a.text("refreshToken")
	return c
}

func (s *server) admin() *client { return s.logIn(adminEmail, adminPassword) }

// user registers a user and logs in.
func (s *server) user(name string) *client {
	s.t.Helper()
	email := name + "@example.com"
	s.anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q}`, email, userPassword))
	return s.logIn(email, userPassword)
}

// on is the same caller on another node.
func (c *client) on(s *server) *client { return &client{s, c.email, c.token, c.refresh} }

func (c *client) product(sku string, units int) {
	c.t.Helper()
	c.want(201, "POST", "/v1/products", fmt.Sprintf(
		`{"sku":%q,"name":"The %s","unitPrice":{"amount":250,"currency":"EUR"},"stock":%d}`, sku, sku, units))
}

func (c *client) order(sku string, n int) string {
	c.t.Helper()
	return c.want(201, "POST", "/v1/orders", fmt.Sprintf(`{"items":[{"sku":%q,"quantity":%d}]}`, sku, n)).text("id")
}

// becomes waits until an order has a status.
func (c *client) becomes(id, status string) {
	c.t.Helper()
	testwait.Until(c.t, "order "+id+" to be "+status, func() bool {
		return c.send("GET", "/v1/orders/"+id, "").text("status") == status
	})
}

// socket opens the event stream; it is closed with the test.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func (c *client) socket(query string) *socket {
	c.t.Helper()
	url := "ws" + strings.TrimPrefix(c.base, "http") + "/v1/events/ws" + query
	conn, res, err := websocket.DefaultDialer.Dial(url, http.Header{"Authorization": {"Bearer " + c.token}})
	if err != nil {
		c.t.Fatalf("dial: %v, %+v", err, res)
	}
	c.t.Cleanup(func() { conn.Close() })
	return &socket{c.t, conn}
}

type message struct {
	Type, Subject, Cursor, ID string
	Version                   int
	Data                      map[string]any
}

func (s *socket) next() (m message, err error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(testwait.Limit)); err != nil {
		return m, err
	}
	_, raw, err := s.conn.ReadMessage()
	if err != nil {
		return m, err
	}
	fits(s.t, raw)
	watchOf(s.conn.RemoteAddr().String()).see("frame", string(raw))
	return m, json.Unmarshal(raw, &m)
}

// until reads frames up to one of a type about an order, and returns their types.
func (s *socket) until(kind, order string) (types []string, last message) {
	s.t.Helper()
	for {
		m, err := s.next()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v; got %v", kind, err, types)
		}
		types = append(types, m.Type)
		if m.Type == kind && (order == "" || m.Subject == order) {
			return types, m
		}
	}
}

// documents are the compiled OpenAPI documents, by their bytes.
var documents = struct {
	sync.Mutex
	compiled map[string]*document
}{compiled: map[string]*document{}}

type document struct {
	mu       sync.Mutex
	paths    map[string]map[string]any
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

func documentOf(t *testing.T, base string) *document {
	t.Helper()
	documents.Lock()
	defer documents.Unlock()
	if d := documents.compiled[base]; d != nil {
		return d
	}
	res, err := brief.Get(base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	doc, err := jsonschema.UnmarshalJSON(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	schemas, _ := doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for name, schema := range schemas {
		// Faults add members of their own, and so did events that earlier versions wrote.
		if name != "Problem" && !strings.HasSuffix(name, "Event") && !strings.HasSuffix(name, "Data") {
			closed(schema)
		}
	}
	d := &document{paths: map[string]map[string]any{}, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.(map[string]any)["paths"].(map[string]any) {
		d.paths[path] = item.(map[string]any)
	}
	documents.compiled[base] = d
	return d
}

// conforms checks an answer against the document: a described status, a described
// content type, a body of the described shape without members that are not described, and for an
// error an example with its status.
func conforms(t *testing.T, base, method, path string, a answer) {
	t.Helper()
	d := documentOf(t, base)
	path, _, _ = strings.Cut(path, "?")
	template, ok := d.template(path, strings.ToLower(method))
	if !ok {
		return // not a route: 404 and 405 have tests of their own
	}
	responses := d.paths[template][strings.ToLower(method)].(map[string]any)["responses"].(map[string]any)
	status := fmt.Sprint(a.status)
	response, described := responses[status].(map[string]any)
	if !described && a.status >= 400 && exemplified(responses, a.status) {
		status = "default"
		response, described = responses[status].(map[string]any)
	}
	if !described {
		t.Errorf("%s %s: status %d is not described: %s", method, template, a.status, a.raw)
		return
	}
	pointer := "openapi.json#/paths/" + escape(template) + "/" + strings.ToLower(method) + "/responses/" + status
	content, _ := response["content"].(map[string]any)
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if len(a.raw) == 0 {
		if len(content) > 0 && method != "HEAD" && kind != "text/event-stream" { // of what has no end nothing was read
			t.Errorf("%s %s: %d without the body that is described", method, template, a.status)
		}
		return
	}
	if _, ok := content[kind]; !ok {
		t.Errorf("%s %s: %d of type %q is not described", method, template, a.status, kind)
		return
	}
	pointer += "/content/" + escape(kind) + "/schema"
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.raw))
	if err != nil {
		t.Errorf("%s %s: %v", method, template, err)
		return
	}
	if err := d.validate(pointer, value); err != nil {
		t.Errorf("%s %s: %d does not fit its schema: %v\n%s", method, template, a.status, err, a.raw)
	}
	if template == "/v1/events" && a.status == http.StatusOK {
		var page struct{ Data []json.RawMessage }
		if err := json.Unmarshal(a.raw, &page); err != nil {
			t.Error(err)
		}
		for _, event := range page.Data {
			fits(t, event)
		}
	}
}

// exemplified reports whether the default response has an example with the status.
func exemplified(responses map[string]any, status int) bool {
	for _, p := range problemExamples(responses) {
		if p.Status == status {
			return true
		}
	}
	return false
}

// problemExamples returns the examples of the default response by code.
func problemExamples(responses map[string]any) map[string]web.Problem {
	var inner struct {
		Default struct {
			Content map[string]struct {
				Examples map[string]struct{ Value web.Problem }
			}
		}
	}
	raw, err := json.Marshal(responses)
	if err == nil {
		err = json.Unmarshal(raw, &inner)
	}
	if err != nil {
		panic(err)
	}
	all := map[string]web.Problem{}
	for code, example := range inner.Default.Content["application/problem+json"].Examples {
		all[code] = example.Value
	}
	return all
}

func (d *document) validate(pointer string, value any) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema := d.schemas[pointer]
	if schema == nil {
		if schema, err = d.compiler.Compile(pointer); err != nil {
			return err
		}
		d.schemas[pointer] = schema
	}
	return schema.Validate(value)
}

func (d *document) template(path, method string) (string, bool) {
	parts := strings.Split(path, "/")
	best := ""
	for template, item := range d.paths {
		if _, has := item[method]; !has {
			continue
		}
		names := strings.Split(template, "/")
		if len(names) != len(parts) {
			continue
		}
		fits := true
		for i, name := range names {
			fits = fits && (name == parts[i] || strings.HasPrefix(name, "{"))
		}
		if fits && (best == "" || strings.Count(template, "{") < strings.Count(best, "{")) {
			best = template
		}
	}
	return best, best != ""
}

func escape(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
}
