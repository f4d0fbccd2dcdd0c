package web

import "testing"

func TestIsOwn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		origin, host string
		own          bool
	}{
		{"https://api.example", "api.example", true},
		{"http://api.example:3000", "API.example:3000", true},
		{"https://api.example", "", false},
		{"https://", "", false},
		{"https://evil.example/", "evil.example/", false},
		{"https://a@api.example", "a@api.example", false},
		{"ftp://api.example", "api.example", false},
	} {
		if got := isOwn(row.origin, row.host); got != row.own {
			t.Errorf("%q at %q: %v", row.origin, row.host, got)
		}
	}
}
