package web

import (
	"strings"
	"testing"
)

// SPEC A7: a caller with a restriction can use only the routes that remove it.
func TestRestrictedCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	restricted := []string{"X-Role", "admin", "X-Restriction", "password-change-required"}

	for target, want := range map[string]struct {
		status int
		body   string
	}{
		"/v1/baskets/0190a0a0-0000-7000-8000-000000000001": {403, `"code":"password-change-required"`},
		"/v1/baskets": {200, ""},
		"/v1/profile": {204, ""},
		"/v1/whoami":  {200, `"sku":""`}, // a public route sees no caller
	} {
		got := b.do(t, "GET", target, "", restricted...)
		if got.StatusCode != want.status || !strings.Contains(got.body, want.body) {
			t.Errorf("%s: got %d %s, want %d %s", target, got.StatusCode, got.body, want.status, want.body)
		}
	}
	if got := b.do(t, "GET", "/v1/whoami", "", "X-Role", "admin"); !strings.Contains(got.body, `"sku":"admin"`) {
		t.Error("without a restriction:", got.body)
	}
}
