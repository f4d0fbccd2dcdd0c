package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/test/browser/pagetest"
)

// E2: a web shop on an origin of its own, in a real browser: everything that its page
// needs of the API, by clients/typescript where that has it.
func TestAnotherOrigin(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t)
	shop := serveShop(t)
	base := launch(t, "ALLOWED_ORIGINS="+shop, "RATE_LIMIT=500/1s", "LOGIN_RATE_LIMIT=5/1m")
	register(t, base)

	got := visit(t, ctx, shop, url.Values{"api": {base}, "email": {email}, "password": {password}, "sku": {"GRINDER-HAND-01"}})

	id := fmt.Sprint(got["order"])
	for name, want := range map[string]string{
		"login":     `200`,
		"placed":    `[201,"/v1/orders/` + id + `","\"1\"","page-1"]`,
		"again":     `[201,"` + id + `","true"]`,
		"unchanged": `304`,
		"stale":     `[412,"stale"]`,
		"missing":   `[404,"not-found"]`,
		"nowhere":   `404`,
		"anonymous": `[401,"Bearer realm=\"orderflow\""]`,
		"method":    `[405,"GET, HEAD, DELETE"]`,
		"text":      `415`,
		"invalid":   `[422,"invalid"]`,
		"link":      `true`,
		"document":  `"3.1.0"`,
		"limited":   `[429,"too-many-attempts",true,true]`,
		"refused":   `[true,401,"invalid-token"]`,
	} {
		if text, _ := json.Marshal(got[name]); string(text) != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
	}
	if text, _ := json.Marshal(got["exported"]); !strings.HasPrefix(string(text), `[200,"attachment; filename=`) {
		t.Errorf("exported: %s", text)
	}
	for _, transport := range []string{"socket", "sse", "stream", "source"} {
		types, _ := got[transport].([]any)
		if len(types) < 3 || types[0] != "order.created" || types[len(types)-1] != "order.processing" {
			t.Errorf("%s: %v", transport, got[transport])
		}
	}
}

// E2: a page of any other origin reads nothing and opens no socket, and the client says
// that it cannot reach the server and what the cause may be.
func TestUnlistedOrigin(t *testing.T) {
	t.Parallel()
	ctx := pagetest.Browser(t, "blocked by CORS policy", "WebSocket connection to")
	evil := serveShop(t)
	base := launch(t, "ALLOWED_ORIGINS=https://shop.example.com")

	got := visit(t, ctx, evil, url.Values{"api": {base}})

	for name, want := range map[string]any{
		"simple": "TypeError", "preflighted": "TypeError", "error": "TypeError", "document": "TypeError", "socket": 1006.0,
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	told, _ := got["retry"].([]any)
	if len(told) != 2 {
		t.Fatalf("the client reports %v", got["retry"])
	}
	for _, one := range told {
		if text, _ := one.(string); !strings.Contains(text, evil) || !strings.Contains(text, "ALLOWED_ORIGINS") {
			t.Errorf("the client reports %v", one)
		}
	}
}

// serveShop serves the page and the TypeScript client on an origin of their own.
func serveShop(t *testing.T) (origin string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/go.mod", "esbuild", "clients/typescript/src/index.ts", "--bundle", "--format=esm")
	build.Dir = "../.."
	client, err := build.Output()
	if err != nil {
		t.Fatalf("compile the client: %v", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata/shop")))
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/orderflow.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(client)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// visit opens the page and returns what it found.
func visit(t *testing.T, ctx context.Context, shop string, query url.Values) (result map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	read := chromedp.Evaluate[string](`document.querySelector("#result").textContent`)
	if err := chromedp.Do(ctx, chromedp.Navigate(shop+"/?"+query.Encode()), chromedp.WaitReady(chromedp.CSS("#result"))); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, read)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if result["error"] != nil && query.Has("email") {
		t.Fatalf("the page failed: %v", result["error"])
	}
	return result
}
