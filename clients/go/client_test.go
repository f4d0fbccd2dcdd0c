package orderflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// fake is a server that answers each request with the next reply.
type fake struct {
	*httptest.Server
	mu       sync.Mutex
	replies  []reply
	requests []request
}

type reply struct {
	status int
	header string // Name: value
	body   string
	drop   bool // the connection ends instead
}

type request struct {
	method, path, key, authorization, body string
}

func serve(t *testing.T, replies ...reply) *fake {
	t.Helper()
	f := &fake{replies: replies}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.requests = append(f.requests, request{r.Method, r.URL.Path, r.Header.Get(idempotencyKey), r.Header.Get("Authorization"), string(body)})
	next := reply{status: http.StatusTeapot}
	if len(f.replies) > 0 {
		next, f.replies = f.replies[0], f.replies[1:]
	}
	f.mu.Unlock()
	if next.drop {
		panic(http.ErrAbortHandler)
	}
	if name, value, ok := strings.Cut(next.header, ": "); ok {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(next.status)
	_, _ = io.WriteString(w, next.body)
}

func (f *fake) seen() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// testClient waits no time, and records how long it would have waited.
func testClient(t *testing.T, f *fake, credentials Credentials, options ...Option) (c *Client, waits *[]time.Duration) {
	t.Helper()
	// Closing another server closes the idle connections of the default transport.
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := New(f.URL, credentials, append([]Option{WithHTTPClient(&http.Client{Transport: transport})}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	waits = &[]time.Duration{}
	c.sleep = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	return c, waits
}

func problem(code string) string {
	return fmt.Sprintf(`{"type":"about:blank","title":"T","status":1,"code":%q,"detail":"D.","requestId":"r1","errors":[{"pointer":"/a","code":"b","message":"is c"}]}`, code)
}

const placed = `{"id":"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11","status":"PENDING"}`

func place(ctx context.Context, c *Client, params *api.PlaceOrderParams) (*api.Order, error) {
	res, err := c.PlaceOrderWithResponse(ctx, params, api.OrderRequest{Items: []api.OrderRequestItem{{SKU: "KETTLE", Quantity: 1}}})
	if err != nil {
		return nil, err
	}
	return res.JSON201, nil
}

// SPEC G11: a call has one key and one body in all of its requests.
func TestRetriesHaveOneKey(t *testing.T) {
	t.Parallel()
	f := serve(t, reply{drop: true}, reply{status: 503}, reply{status: 409, body: problem("idempotency-key-in-use")}, reply{status: 201, body: placed})
	c, waits := testClient(t, f, APIKey("k"))

	order, err := place(t.Context(), c, nil)

	if err != nil || order.Status != "PENDING" {
		t.Fatalf("%+v, %v", order, err)
	}
	seen := f.seen()
	if len(seen) != 4 || len(*waits) != 3 {
		t.Fatalf("%d requests, waits %v", len(seen), *waits)
	}
	for _, r := range seen {
		if r.key == "" || r.key != seen[0].key || !strings.Contains(r.body, "KETTLE") || r.body != seen[0].body || r.authorization != "Bearer k" {
			t.Errorf("%+v, the first was %+v", r, seen[0])
		}
	}
	if _, err := place(t.Context(), c, nil); err == nil || f.seen()[4].key == seen[0].key {
		t.Errorf("another call: %v, %+v", err, f.seen()[4])
	}
}

// SPEC G11: the caller's own key is kept, so that a call can be repeated by another process.
func TestOwnKey(t *testing.T) {
	t.Parallel()
	f := serve(t, reply{status: 201, body: placed})
	c, _ := testClient(t, f, APIKey("k"))
	key := "invoice-17"

	_, err := place(t.Context(), c, &api.PlaceOrderParams{IdempotencyKey: &key})

	if err != nil || f.seen()[0].key != key {
		t.Errorf("%v %+v", err, f.seen())
	}
}

// SPEC G11: which requests are repeated after which failures.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	get := func(c *Client) error { _, err := c.ListProductsWithResponse(context.Background(), nil); return err }
	keyed := func(c *Client) error { _, err := place(context.Background(), c, nil); return err }
	unkeyed := func(c *Client) error {
		_, err := c.CreateWebhookWithResponse(context.Background(), api.CreateWebhookJSONRequestBody{})
		return err
	}
	patch := func(c *Client) error {
		_, err := c.UpdateMeWithResponse(context.Background(), api.UpdateMeJSONRequestBody{})
		return err
	}
	remove := func(c *Client) error {
		_, err := c.DeleteOrderWithResponse(context.Background(), [16]byte{1}, nil)
		return err
	}
	rows := []struct {
		name  string
		first reply
		call  func(*Client) error
		want  int // requests
	}{
		{"a read, dropped", reply{drop: true}, get, 2},
		{"a read, 500", reply{status: 500}, get, 2},
		{"a read, 502", reply{status: 502, body: "<html>"}, get, 2},
		{"a read, 404", reply{status: 404, body: problem("not-found")}, get, 1},
		{"a read, 400", reply{status: 400, body: problem("malformed")}, get, 1},
		{"a removal, 503", reply{status: 503}, remove, 2},
		{"with a key, dropped", reply{drop: true}, keyed, 2},
		{"with a key, 504", reply{status: 504}, keyed, 2},
		{"with a key, 429", reply{status: 429}, keyed, 2},
		{"with a key, 409", reply{status: 409, body: problem("conflict")}, keyed, 1},
		{"with a key, 422", reply{status: 422, body: problem("idempotency-key-reused")}, keyed, 1},
		{"without a key, dropped", reply{drop: true}, unkeyed, 1},
		{"without a key, 500", reply{status: 500}, unkeyed, 1},
		{"without a key, 503", reply{status: 503}, unkeyed, 1},
		{"without a key, 429", reply{status: 429}, unkeyed, 2},
		{"a change, 503", reply{status: 503}, patch, 1},
		{"a change, 429", reply{status: 429}, patch, 2},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, row.first, reply{status: 200, body: `{}`})
			c, _ := testClient(t, f, APIKey("k"))

			err := row.call(c)

			if n := len(f.seen()); n != row.want || (err == nil) != (row.want == 2) {
				t.Errorf("%d requests, want %d; %v", n, row.want, err)
			}
		})
	}
}

// SPEC G11: Retry-After is waited for in both of its forms, and not if it is too long.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(10 * time.Second).UTC().Format(http.TimeFormat)
	rows := []struct {
		header   string
		min, max time.Duration
		requests int
	}{
		{"Retry-After: 3", 3 * time.Second, 3*time.Second + 250*time.Millisecond, 2},
		{"Retry-After: " + soon, 8 * time.Second, 11 * time.Second, 2},
		{"Retry-After: 3600", 0, 0, 1},
		{"Retry-After: -5", 0, 250 * time.Millisecond, 2},
		{"Retry-After: soon", 0, 250 * time.Millisecond, 2},
		{"", 0, 250 * time.Millisecond, 2},
	}
	for _, row := range rows {
		t.Run(row.header, func(t *testing.T) {
			t.Parallel()
			f := serve(t, reply{status: 429, header: row.header, body: problem("rate-limited")}, reply{status: 201, body: placed})
			c, waits := testClient(t, f, APIKey("k"))

			_, err := place(t.Context(), c, nil)

			if len(f.seen()) != row.requests || len(*waits) != row.requests-1 {
				t.Fatalf("%d requests, waits %v, %v", len(f.seen()), *waits, err)
			}
			if row.requests == 2 && ((*waits)[0] < row.min || (*waits)[0] > row.max) {
				t.Errorf("waits %s, want %s to %s", (*waits)[0], row.min, row.max)
			}
			if p := new(Problem); row.requests == 1 && (!errors.As(err, &p) || p.RetryAfter != time.Hour) {
				t.Errorf("%v", err)
			}
		})
	}
}

// SPEC G11: the number of requests is limited, pauses grow, and the context ends them.
func TestRetryLimits(t *testing.T) {
	t.Parallel()
	down := slices.Repeat([]reply{{status: 503}}, 20)
	f := serve(t, down...)
	c, waits := testClient(t, f, APIKey("k"), WithRetry(Retry{Attempts: 6, MinWait: time.Second, MaxWait: 4 * time.Second}))

	_, err := place(t.Context(), c, nil)

	if !IsStatus(err, 503) || len(f.seen()) != 6 {
		t.Errorf("%d requests, %v", len(f.seen()), err)
	}
	for i, limit := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second} {
		if wait := (*waits)[i]; wait <= 0 || wait > limit {
			t.Errorf("pause %d is %s, want at most %s", i, wait, limit)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.sleep = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	if _, err := place(ctx, c, nil); !errors.Is(err, context.Canceled) || len(f.seen()) != 7 {
		t.Errorf("%d requests, %v", len(f.seen()), err)
	}
}

// SPEC G11: a problem has the members of the response, and another body is no problem either.
func TestProblem(t *testing.T) {
	t.Parallel()
	f := serve(t,
		reply{status: 422, header: "Retry-After: 2", body: problem("invalid")},
		reply{status: 404, body: "<html>no such page</html>"},
		reply{status: 400, body: `"text"`},
	)
	c, _ := testClient(t, f, APIKey("k"))

	_, err := c.GetMeWithResponse(t.Context())
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Status != 422 || p.Code != "invalid" || p.Detail != "D." || p.RequestID != "r1" || p.RetryAfter != 2*time.Second || len(p.Errors) != 1 ||
		p.Errors[0] != (Field{"/a", "b", "is c"}) || len(p.Body) == 0 {
		t.Errorf("%+v", p)
	}
	if want := "orderflow: 422 invalid: D. /a is c (request r1)"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if !IsCode(fmt.Errorf("place: %w", err), "other", "invalid") || IsCode(err, "other") || IsCode(io.EOF, "invalid") || IsStatus(err, 404) {
		t.Error("IsCode or IsStatus is wrong")
	}
	for _, want := range []string{"orderflow: 404: <html>no such page</html>", `orderflow: 400: "text"`} {
		if _, err := c.GetMeWithResponse(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestNewRefusesAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "orders.example.com", "ftp://orders.example.com", "http://", "://"} {
		if _, err := New(address, Anonymous()); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
	c, err := New("https://orders.example.com/shop/", Anonymous())
	if err != nil || c.base.String() != "https://orders.example.com/shop" {
		t.Errorf("%v %v", c, err)
	}
}

// SPEC G11: below another path the operations are the same.
func TestBasePath(t *testing.T) {
	t.Parallel()
	f := serve(t, reply{status: 201, body: placed})
	f.URL += "/shop"
	c, _ := testClient(t, f, APIKey("k"))

	_, err := place(t.Context(), c, nil)

	if seen := f.seen(); err != nil || seen[0].path != "/shop/v1/orders" || seen[0].key == "" {
		t.Errorf("%v %+v", err, seen)
	}
}

func TestTakesKey(t *testing.T) {
	t.Parallel()
	for operation, want := range map[string]bool{
		"POST /v1/orders": true, "POST /v1/orders/1/cancel": true, "GET /v1/orders": false, "POST /v1/auth/login": false,
		"POST /v1/orders/1/cancel/2": false, "POST /v1/webhooks": false,
	} {
		method, path, _ := strings.Cut(operation, " ")
		if takesKey(method, path) != want {
			t.Errorf("%s: %v", operation, !want)
		}
	}
}

// Pauses are random up to a limit that doubles, so that clients do not come back together.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for failures, seconds := range map[int]int{1: 1, 2: 2, 3: 4, 4: 8, 5: 8, 1000: 8} {
		limit := time.Duration(seconds) * time.Second
		longest := time.Duration(0)
		for range 1000 {
			longest = max(longest, backoff(failures, time.Second, 8*time.Second))
		}
		if longest <= limit*3/4 || longest > limit {
			t.Errorf("after %d failures the longest pause is %s, want nearly %s", failures, longest, limit)
		}
	}
}
