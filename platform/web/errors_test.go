package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"orderflow/platform/fault"
)

func pg(code string) error {
	return fmt.Errorf("read order 7: %w", &pgconn.PgError{Code: code, Message: "secret"})
}

var failures = map[string]error{
	"absent":   fmt.Errorf("wrapped: %w", fault.Absent("order")),
	"conflict": fault.New(fault.Conflict, "illegal-transition", "No.").With("allowed", []string{"A"}).With("from", "B"),
	"rate": func() error {
		f := fault.New(fault.RateLimited, "rate-limited", "Slow down.")
		f.RetryAfter = 1500 * time.Millisecond
		return f
	}(),
	"stale":      fault.New(fault.PreconditionFailed, "stale", "Changed."),
	"login":      fault.New(fault.Unauthenticated, "bad-credentials", "Wrong."),
	"plain":      errors.New("secret"),
	"internal":   fault.New(fault.Internal, "oops", "secret"),
	"huma":       huma.NewError(http.StatusTeapot, "secret"),
	"unmade":     fault.New(fault.Conflict, "conflict", "No.").With("f", func() {}),
	"late":       fmt.Errorf("x: %w", context.DeadlineExceeded),
	"cancelled":  context.Canceled,
	"class22":    pg("22021"),
	"duplicate":  pg("23505"),
	"serialize":  pg("40001"),
	"deadlock":   pg("40P01"),
	"full":       pg("53300"),
	"stopping":   pg("57P01"),
	"connection": pg("08006"),
	"statement":  pg("57014"),
	"check":      pg("23514"),
	"closed":     fmt.Errorf("commit: %w", pgconn.ErrConnClosed),
	"network":    &net.OpError{Op: "dial", Err: errors.New("secret")},
}

// R3: every failure is a problem document.
func TestFailures(t *testing.T) {
	t.Parallel()
	const shape = `{"type":"about:blank","title":"%s","status":%d,"detail":"%s","instance":"/v1/fail/%s","code":"%s","requestId":"req-1"`
	rows := []struct {
		kind   string
		status int
		code   string
		detail string
		rest   string
		header string // "Name: value"
	}{
		{"absent", 404, "not-found", "There is no such order.", "}", ""},
		{"conflict", 409, "illegal-transition", "No.", `,"allowed":["A"],"from":"B"}`, ""},
		{"rate", 429, "rate-limited", "Slow down.", "}", "Retry-After: 2"},
		{"stale", 412, "stale", "Changed.", "}", ""},
		{"login", 401, "bad-credentials", "Wrong.", "}", `WWW-Authenticate: Bearer realm="orderflow"`},
		{"plain", 500, "internal", "Something went wrong on our side.", "}", ""},
		{"internal", 500, "internal", "Something went wrong on our side.", "}", ""},
		{"huma", 500, "internal", "Something went wrong on our side.", "}", ""},
		{"late", 503, "timeout", "This took too long; try again.", "}", "Retry-After: 1"},
		{"cancelled", 503, "unavailable", "The service cannot be reached just now; try again.", "}", "Retry-After: 1"},
		{"class22", 422, "invalid", "A value cannot be stored.", "}", ""},
		{"duplicate", 409, "conflict", "This already exists.", "}", ""},
		{"serialize", 503, "busy", "Too many changes to the same thing at once; try again.", "}", "Retry-After: 1"},
		{"deadlock", 503, "busy", "Too many changes to the same thing at once; try again.", "}", "Retry-After: 1"},
		{"full", 503, "unavailable", "The database cannot be reached just now; try again.", "}", "Retry-After: 1"},
		{"stopping", 503, "unavailable", "The database cannot be reached just now; try again.", "}", "Retry-After: 1"},
		{"connection", 503, "unavailable", "The database cannot be reached just now; try again.", "}", "Retry-After: 1"},
		{"statement", 503, "timeout", "This took too long; try again.", "}", "Retry-After: 1"},
		{"check", 500, "internal", "Something went wrong on our side.", "}", ""},
		{"closed", 503, "unavailable", "A service that is needed for this cannot be reached just now; try again.", "}", "Retry-After: 1"},
		{"network", 503, "unavailable", "A service that is needed for this cannot be reached just now; try again.", "}", "Retry-After: 1"},
	}
	for _, row := range rows {
		t.Run(row.kind, func(t *testing.T) {
			t.Parallel()
			b := setup(t)

			got := b.do(t, "GET", "/v1/fail/"+row.kind, "")

			want := fmt.Sprintf(shape, http.StatusText(row.status), row.status, row.detail, row.kind, row.code) + row.rest
			if got.StatusCode != row.status || got.body != want {
				t.Errorf("%d %s\nwant %d %s", got.StatusCode, got.body, row.status, want)
			}
			if ct := got.Header.Get("Content-Type"); ct != problemType {
				t.Errorf("content type %q", ct)
			}
			if name, value, ok := strings.Cut(row.header, ": "); ok && got.Header.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
			}
			if n := strings.Count(b.log.String(), "request failed"); (row.status == 500) != (n == 1) {
				t.Errorf("logged %d times", n)
			}
		})
	}
}

func TestProblemSurvivesWhatCannotBeRendered(t *testing.T) {
	t.Parallel()
	if got := setup(t).do(t, "GET", "/v1/fail/unmade", ""); got.StatusCode != http.StatusConflict || !strings.Contains(got.body, `"code":"conflict"`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestPanicSaysNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)

	got := b.do(t, "GET", "/v1/text/panic", "")

	if got.StatusCode != http.StatusInternalServerError || strings.Contains(got.body, "secret") || !strings.Contains(got.body, `"requestId":"req-1"`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	log := b.log.String()
	if !strings.Contains(log, "secret reason") || !strings.Contains(log, `"stack"`) || !strings.Contains(log, `"status":500`) {
		t.Errorf("log: %s", log)
	}
}
