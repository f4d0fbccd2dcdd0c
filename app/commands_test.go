package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// A container asks for its health every few seconds, so the probe constructs none of the
// modules. It is not parallel, because settings come from the environment.
func TestProbeConstructsNoModule(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path }))
	defer server.Close()
	t.Chdir(t.TempDir()) // without an .env
	t.Setenv("PORT", must(url.Parse(server.URL)).Port())
	constructed := false
	module := WithModule(func(p *Platform) (Module, error) {
		constructed = true
		return newTallies(p)
	})

	err := Run(t.Context(), []string{"healthcheck"}, io.Discard, module)

	if err != nil || asked != "/readyz" || constructed {
		t.Errorf("it ended with %v, asked %q and constructed a module: %t", err, asked, constructed)
	}
}
