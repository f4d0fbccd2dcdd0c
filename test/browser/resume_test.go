package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
)

// SPEC E3, E20, E22: on a page of another origin, the TypeScript client over both transports and an
// EventSource that was opened with a ticket get every event once and in order, while each of two
// nodes is restarted. The EventSource reconnects by itself.
func TestResumptionInABrowser_E20(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t, "blocked by CORS policy", "WebSocket connection to", "net::ERR_")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	shop := serveShop(t)
	env := []string{"DATABASE_URL=" + postgres(t), "DATABASE_MAX_CONNS=10", "REDIS_URL=" + pgtest.Redis(t), "ALLOWED_ORIGINS=" + shop, "RATE_LIMIT=5000/1s", "ADMIN_EMAIL=root@example.com", "ADMIN_PASSWORD=" + password}
	first, second := newNode(t, env...), newNode(t, env...)
	first.start()
	second.start()
	api := balance(t, first, second)
	register(t, api)
	createProduct(t, api, "KETTLE")
	query := url.Values{"api": {api}, "email": {email}, "password": {password}, "sku": {"KETTLE"}}
	if err := chromedp.Do(ctx, chromedp.Navigate(shop+"/follow.html?"+query.Encode())); err != nil {
		t.Fatal(err)
	}
	page := followPage{t, ctx}

	page.placesOrders(3)
	first.kill()
	page.placesOrders(3)
	first.start()
	page.placesOrders(3)
	second.stop()
	page.placesOrders(3)
	second.start()
	// Every connection was on a node that has been restarted since.
	testwait.Until(t, "each follower to reconnect", func() bool { return page.number("Math.min(...Object.values(test.reconnected))") >= 1 })
	page.placesOrders(1)

	result := page.finish()
	if result.Error != "" || len(result.Failed) > 0 {
		t.Fatalf("%s %v", result.Error, result.Failed)
	}
	if len(result.Log) < 13*4 {
		t.Errorf("only %d events", len(result.Log))
	}
	for name, ids := range result.Seen {
		if !slices.Equal(ids, result.Log) {
			t.Errorf("%s: %d of %d events, or in another order:\n%s", name, len(ids), len(result.Log), strings.Join(ids, "\n"))
		}
	}
	if len(result.Seen) != 3 {
		t.Errorf("%d followers", len(result.Seen))
	}
}

// createProduct creates a product as the administrator of the test.
func createProduct(t *testing.T, base, sku string) {
	t.Helper()
	var session struct{ AccessToken string }
	post(t, base+"/v1/auth/login", "", http.StatusOK, map[string]any{"email": "root@example.com", "password": password}, &session)
	body := map[string]any{"sku": sku, "name": sku, "unitPrice": map[string]any{"amount": 100, "currency": "EUR"}, "stock": 1_000_000}
	post(t, base+"/v1/products", session.AccessToken, http.StatusCreated, body, &struct{}{})
}

func post(t *testing.T, url, token string, status int, body, into any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		t.Fatalf("POST %s: %d %s %v", url, res.StatusCode, answer, err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatal(err)
	}
}

// postgres starts a server that ends with the test.
func postgres(t *testing.T) (url string) {
	t.Helper()
	// Run by root, the server is another user, which cannot enter t.TempDir.
	dir, err := os.MkdirTemp("", "orderflow-browser-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	db, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(dir, "postgres"), NoSync: true, Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Crash() }) // the data are removed
	return db.URL()
}

// followPage is the page follow.html in the browser.
type followPage struct {
	t   *testing.T
	ctx context.Context // of the tab
}

type followed struct {
	Log    []string
	Seen   map[string][]string
	Failed []string
	Error  string
}

func (p followPage) number(expression string) int {
	p.t.Helper()
	n, err := chromedp.Run(p.ctx, chromedp.Evaluate[int]("window.test ? "+expression+" : 0"))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// placesOrders returns when the page has placed n more orders.
func (p followPage) placesOrders(n int) {
	p.t.Helper()
	before := p.number("test.orders")
	testwait.Until(p.t, "orders", func() bool {
		return p.number("test.orders") >= before+n || p.number("test.result?.error ? 1 : 0") == 1
	})
}

func (p followPage) finish() followed {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("test.finish = true")); err != nil {
		p.t.Fatal(err)
	}
	testwait.Until(p.t, "the result", func() bool { return p.number("test.result ? 1 : 0") == 1 })
	result, err := chromedp.Run(p.ctx, chromedp.Evaluate[followed]("test.result"))
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// balance forwards TCP connections to the nodes in turn, past those that do not listen.
func balance(t *testing.T, nodes ...*node) (base string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	ctx := t.Context() // ends before the cleanup
	all.Go(func() {
		for turn := 0; ; turn++ {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { forward(ctx, in, nodes, turn) })
		}
	})
	return "http://" + listener.Addr().String()
}

func forward(ctx context.Context, in net.Conn, nodes []*node, turn int) {
	defer in.Close()
	for i := range nodes {
		n := nodes[(turn+i)%len(nodes)]
		out, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(n.base, "http://"))
		if err != nil {
			continue
		}
		join(ctx, in, out)
		return
	}
}

// join copies between two connections until one of them has ended, and closes the second.
func join(ctx context.Context, in, out net.Conn) {
	defer out.Close()
	both := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		both <- struct{}{}
	}
	go pipe(out, in)
	go pipe(in, out)
	select {
	case <-both:
	case <-ctx.Done():
	}
}
