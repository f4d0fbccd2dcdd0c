package notifications

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"
)

var upgrade = http.Header{
	"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
	"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
}

// SPEC E2, ASVS 5.0 4.4.2 (Origin of WebSocket): an origin that is not byte for byte the server's
// own or a configured one gets a 403 before the upgrade, also with valid credentials.
func TestLookAlikeOrigins(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) {
		m.origins = append(m.origins, "https://shop.example:8443", "https://xn--shp-sna.example")
	})
	_, port, _ := strings.Cut(n.addr, ":")
	rows := map[string]string{
		"foreign":                        "https://evil.example",
		"null, as of a sandbox or file":  "null",
		"any origin":                     "*",
		"empty":                          "",
		"spaces":                         "   ",
		"begins like ours":               "http://" + n.addr + ".evil.example",
		"begins like a configured one":   "https://shop.example.evil.example",
		"ends like a configured one":     "https://evil-shop.example",
		"ends like it behind a dot":      "https://evil.shop.example",
		"is its parent":                  "https://example",
		"with a dot at the end":          "https://shop.example.",
		"in another case":                "https://SHOP.example",
		"over another scheme":            "http://shop.example",
		"over a socket's scheme":         "wss://shop.example",
		"over a file":                    "file://" + n.addr,
		"of an extension":                "chrome-extension://" + n.addr,
		"on another port":                "https://shop.example:8444",
		"on the usual port, written out": "https://shop.example:443",
		"our address on another port":    "http://127.0.0.1:1",
		"our address without the port":   "http://127.0.0.1",
		"our port alone":                 "http://:" + port,
		"our other name":                 "http://localhost:" + port,
		"our address in octal":           "http://0177.0.0.1:" + port,
		"our address as a number":        "http://2130706433:" + port,
		"our address in IPv6":            "http://[::ffff:127.0.0.1]:" + port,
		"ours as a user":                 "http://" + n.addr + "@evil.example",
		"a user at ours":                 "http://evil.example@" + n.addr,
		"a configured one as a user":     "https://shop.example@evil.example",
		"behind a backslash":             `https://evil.example\@shop.example`,
		"behind a slash":                 "https://evil.example/https://shop.example",
		"with a path":                    "https://shop.example/",
		"ours with a path":               "http://" + n.addr + "/",
		"with a query":                   "https://shop.example?",
		"with a fragment":                "https://shop.example#",
		"without a scheme":               "shop.example",
		"scheme-relative":                "//shop.example",
		"two of them":                    "https://shop.example https://evil.example",
		"with a comma":                   "https://shop.example, https://evil.example",
		"Cyrillic":                       "https://sh\u043ep.example",
		"Cyrillic in punycode":           "https://xn--shp-v0d.example",
		"full width":                     "https://\uff53hop.example",
		"not in punycode":                "https://sh\u00f6p.example",
		"soft hyphen":                    "https://sh\u00adop.example",
		"ideographic full stop":          "https://shop\u3002example",
		"percent":                        "https://shop%2Eexample",
	}
	for name, origin := range rows {
		header := maps.Clone(upgrade)
		maps.Copy(header, bearer(h.alice))
		header["Origin"] = []string{origin}
		status, _, body := n.call("GET", socketPath, header)

		var problem struct{ Code string }
		_ = json.Unmarshal([]byte(body), &problem)
		if status != 403 || problem.Code != "foreign-origin" {
			t.Errorf("%s: %q is %d %s", name, origin, status, body)
		}
	}
	twice := maps.Clone(upgrade)
	maps.Copy(twice, bearer(h.alice))
	twice["Origin"] = []string{"https://shop.example", "https://evil.example"}
	if status, _, body := n.call("GET", socketPath, twice); status != 403 {
		t.Errorf("two headers: %d %s", status, body)
	}
	if !n.isOpen(0) {
		t.Error("a refused request became a socket")
	}
}

// SPEC E2: our own, those that are configured, and none at all.
func TestOriginsThatPass(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) {
		m.origins = append(m.origins, "https://shop.example:8443", "https://xn--shp-sna.example")
	})
	for _, origin := range []string{
		"", "http://" + n.addr, "https://" + n.addr, "https://shop.example", "https://shop.example:8443", "https://xn--shp-sna.example",
	} {
		header := bearer(h.alice)
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, resp, err := websocket.DefaultDialer.Dial(n.target(""), header)
		if err != nil {
			t.Errorf("%q: %v %s", origin, err, bodyOf(resp))
			continue
		}
		_ = conn.Close()
	}
}
