package pages_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/app/pages"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func setup(t *testing.T, o pages.Options) *fiber.App {
	t.Helper()
	app := fiber.New(web.Config())
	app.Use(web.Headers())
	pages.Mount(app, o)
	return app
}

func get(t *testing.T, app *fiber.App, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// SPEC F5: the description and what shows it are served by the binary.
func TestServed(t *testing.T) {
	t.Parallel()
	app := setup(t, pages.Options{Version: "1.2.3", Guide: chapters("# One\n"), OpenAPI: func() ([]byte, error) { return []byte(`{"openapi":"3.1.0"}`), nil }})

	for _, row := range []struct{ path, media, contains string }{
		{"/", "text/html; charset=utf-8", "Version 1.2.3"},
		{"/try", "text/html; charset=utf-8", `<script type="module" src="/assets/try.js">`},
		{"/docs", "text/html; charset=utf-8", `<div id="ui">`},
		{"/guide", "text/html; charset=utf-8", `<h2 id="one">One</h2>`},
		{"/assets/guide.css", "text/css; charset=utf-8", ".contents"},
		{"/openapi.json", "application/json", `{"openapi":"3.1.0"}`},
		{"/assets/try.js", "text/javascript; charset=utf-8", "import"},
		{"/assets/try.css", "text/css; charset=utf-8", ".shop"},
		{"/assets/icon.svg", "image/svg+xml", "<svg"},
		{"/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8", "SwaggerUIBundle"},
		{"/docs/swagger-ui.css", "text/css; charset=utf-8", ".swagger-ui"},
	} {
		t.Run(row.path, func(t *testing.T) {
			t.Parallel()

			res, body := get(t, app, row.path)

			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != row.media {
				t.Errorf("got %d %q, want 200 %q", res.StatusCode, res.Header.Get("Content-Type"), row.media)
			}
			if !strings.Contains(body, row.contains) {
				t.Errorf("the body does not contain %q", row.contains)
			}
			if etag := res.Header.Get("ETag"); etag == "" {
				t.Error("no ETag")
			} else if again, _ := get(t, app, row.path, "If-None-Match", etag); again.StatusCode != http.StatusNotModified {
				t.Errorf("with its own ETag: %d", again.StatusCode)
			}
			if res.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("Cache-Control is %q", res.Header.Get("Cache-Control"))
			}
		})
	}
}

// The page that comes with the files of Swagger UI is not served: it has inline scripts and
// its own policy.
func TestNotServed(t *testing.T) {
	t.Parallel()
	app := setup(t, pages.Options{})

	for _, path := range []string{"/openapi.json", "/guide", "/docs/", "/docs/index.html", "/docs/oauth2-redirect.html", "/assets/", "/assets/try.html", "/assets/../pages.go"} {
		if res, _ := get(t, app, path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, res.StatusCode)
		}
	}
}

func TestDescribedOnce(t *testing.T) {
	t.Parallel()
	calls := 0
	app := setup(t, pages.Options{OpenAPI: func() ([]byte, error) { calls++; return []byte("{}"), nil }})

	for range 3 {
		get(t, app, "/openapi.json")
	}

	if calls != 1 {
		t.Errorf("described %d times", calls)
	}
}

var elsewhere = regexp.MustCompile(`(?i)(src|href|action)\s*=\s*["']?(https?:)?//|url\(\s*["']?(https?:)?//|@import|from "https?:`)

// Pages work offline: they name no other host, have nothing inline, and a policy
// that would refuse it.
func TestNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	app := setup(t, pages.Options{Guide: chapters("# One\n\n<b onclick=\"x()\">raw</b> <script>x()</script>\n\n| a |\n|:-:|\n| b |\n")})
	inline := regexp.MustCompile(`(?i)<script(>|[^>]*[^/]>[^<])|<style|\son\w+=|\sstyle=`)

	for _, path := range []string{"/", "/try", "/docs", "/guide"} {
		res, body := get(t, app, path)

		policy := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'self';") || strings.Contains(policy, "script-src") || strings.Contains(policy, "http") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s has something inline: %s", path, found)
		}
		for _, link := range regexp.MustCompile(`(?:src|href)="(/(?:assets|docs)/[^"]+)"`).FindAllStringSubmatch(body, -1) {
			res, text := get(t, app, link[1])
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s asks for %s: %d", path, link[1], res.StatusCode)
			}
			if found := elsewhere.FindString(text); found != "" && strings.HasPrefix(link[1], "/assets/") {
				t.Errorf("%s: %s", link[1], found)
			}
		}
		if found := elsewhere.FindString(body); found != "" {
			t.Errorf("%s: %s", path, found)
		}
	}
}

// The copy of Swagger UI is that of its manifest, so the version that is looked up for
// vulnerabilities is the one that is served (ASVS 15.1.2).
func TestSwaggerIsThatOfItsManifest(t *testing.T) {
	t.Parallel()
	app := setup(t, pages.Options{})
	var manifest struct {
		Files    map[string]string
		Contains []struct{ Package, Version string }
	}
	if err := json.Unmarshal(pages.SwaggerManifest(), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Files) != len(pages.SwaggerFiles) || len(manifest.Contains) == 0 {
		t.Errorf("the manifest has %v and %v", manifest.Files, manifest.Contains)
	}
	for _, path := range pages.SwaggerFiles {
		plain, body := get(t, app, path)
		packed, compressed := get(t, app, path, "Accept-Encoding", "br, gzip")

		unpacked, err := gzip.NewReader(strings.NewReader(compressed))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(unpacked)
		if err != nil || string(raw) != body || plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s differs when it is compressed: %v, %v", path, err, packed.Header)
		}
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != manifest.Files[strings.TrimPrefix(path, "/docs/")] {
			t.Errorf("%s has the SHA-256 %x", path, sum)
		}
	}
	_, script := get(t, app, "/docs/swagger-ui-bundle.js")
	for _, part := range manifest.Contains {
		if part.Package != "dompurify" || !strings.Contains(script, `DOMPurify.version="`+part.Version+`"`) {
			t.Errorf("the bundle does not contain %v", part)
		}
	}
	if res, _ := get(t, app, "/docs"); !strings.Contains(res.Header.Get("Content-Security-Policy"), "trusted-types dompurify") {
		t.Errorf("the policy is %s", res.Header.Get("Content-Security-Policy"))
	}
}

// SPEC E21: the files of Swagger UI are compressed in the binary, and are not compressed again, whatever
// the client accepts.
func TestCompressedOnce_E21(t *testing.T) {
	t.Parallel()
	app := fiber.New()
	app.Use(web.Compress())
	pages.Mount(app, pages.Options{})
	for _, path := range pages.SwaggerFiles {
		for _, accept := range []string{"gzip", "gzip, deflate, br, zstd", "br", "br, gzip;q=0.1", "identity", "*"} {
			res, body := get(t, app, path, "Accept-Encoding", accept)
			read, err := decoded(res.Header.Get("Content-Encoding"), body)
			if err != nil || !strings.Contains(read, "swagger-ui") {
				t.Errorf("%s for a client that accepts %q: %q, %v", path, accept, res.Header.Get("Content-Encoding"), err)
			}
		}
	}
}

func decoded(coding, body string) (string, error) {
	raw, err := []byte(body), error(nil)
	switch coding {
	case "gzip":
		raw, err = fasthttp.AppendGunzipBytes(nil, raw)
	case "br":
		raw, err = fasthttp.AppendUnbrotliBytes(nil, raw)
	}
	return string(raw), err
}
