package web

import (
	"strings"
	"testing"
	"time"
)

// SPEC A11: a route that needs a recent password asks the database before it refuses, and never
// accepts an older password.
func TestRecentPassword_A11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }
	const mine, other = "0190a0a0-0000-7000-8000-000000000001", "0190a0a0-0000-7000-8000-000000000002"
	for name, row := range map[string]struct {
		path, at, really string
		status           int
	}{
		"recent":                   {"/v1/vault", ago(time.Minute), "", 200},
		"just recent":              {"/v1/vault", ago(4*time.Minute + 50*time.Second), "", 200},
		"old":                      {"/v1/vault", ago(5*time.Minute + time.Second), "", 403},
		"none":                     {"/v1/vault", "", "", 403},
		"confirmed elsewhere":      {"/v1/vault", ago(time.Hour), ago(time.Second), 200},
		"confirmed long ago":       {"/v1/vault", ago(time.Hour), ago(6 * time.Minute), 403},
		"the database is down":     {"/v1/vault", ago(time.Hour), "down", 503},
		"recent, database is down": {"/v1/vault", ago(time.Minute), "down", 200},
		"exempt":                   {"/v1/vault/" + mine, ago(time.Hour), "", 204},
		"not exempt":               {"/v1/vault/" + other, ago(time.Hour), "", 403},
	} {
		got := b.do(t, "GET", row.path, "", "X-Role", "user", "X-Password-At", row.at, "X-Really-At", row.really)
		if got.StatusCode != row.status {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		refused := strings.Contains(got.body, `"code":"password-confirmation-required"`) &&
			got.Header.Get("WWW-Authenticate") == `Bearer realm="orderflow", error="insufficient_user_authentication", max_age="300"`
		if (row.status == 403) != refused {
			t.Errorf("%s: %s %q", name, got.body, got.Header.Get("WWW-Authenticate"))
		}
		if name == "confirmed elsewhere" && !strings.Contains(got.body, row.really) {
			t.Errorf("the handler sees the old caller: %s", got.body)
		}
	}
}

// SPEC A11: the document says so.
func TestRecentPasswordIsDocumented_A11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	op := b.api.OpenAPI().Paths["/v1/vault"].Get
	if !strings.Contains(op.Description, "password-confirmation-required") || op.Extensions["x-recent-password"] != 300 {
		t.Errorf("%q, %v", op.Description, op.Extensions)
	}
}
