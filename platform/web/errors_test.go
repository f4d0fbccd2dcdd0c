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

	"github.com/orderflow-dev/orderflow/platform/fault"
)

func pg(code string) error {
	return fmt.Errorf("read order 7: %w", &pgconn.PgError{Code: code, Message: "secret"})
}

var failures = map[string]error{
	"absent":   fmt.Errorf("wrapped: %w", fault.NotFound("order")),
	"conflict": fault.New(fault.KindConflict, "illegal-transition", "No.").With("allowed", []string{"A"}).With("from", "B"),
	"rate": func() error {
		f := fault.New(fault.KindRateLimited, "rate-limited", "Slow down.")
		f.RetryAfter = 1500 * time.Millisecond
		return f
	}(),
	"stale":      fault.New(fault.KindPreconditionFailed, "stale", "Changed."),
	"login":      fault.New(fault.KindUnauthenticated, "bad-credentials", "Wrong."),
	"plain":      errors.New("secret"),
	"internal":   fault.New(fault.KindInternal, "oops", "secret"),
	"huma":       huma.NewError(http.StatusTeapot, "secret"),
	"unmade":     fault.New(fault.KindConflict, "conflict", "No.").With("f", func() {}),
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
	const shape = `{"type":"/guide#%[5]s","title":"%[1]s","status":%[2]d,"detail":"%[3]s","instance":"/v1/fail/%[4]s","code":"%[5]s","requestId":"req-1"`
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
		{"closed", 503, "unavailable", "The database cannot be reached just now; try again.", "}", "Retry-After: 1"},
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

// SPEC F4: a database that is there but cannot do its work is 503 with Retry-After,
// like one that is away; what a statement is to blame for stays what it was.
func TestSQLStates(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"08000": "503 unavailable", "08001": "503 unavailable", "08003": "503 unavailable", "08006": "503 unavailable", "08P01": "503 unavailable",
		"25006": "503 unavailable", "25P03": "503 unavailable", "25P04": "503 unavailable", "25001": "500 internal", "25P02": "500 internal",
		"53000": "503 unavailable", "53100": "503 unavailable", "53200": "503 unavailable", "53300": "503 unavailable", "53400": "503 unavailable",
		"54000": "500 internal", "54001": "500 internal",
		"55000": "503 unavailable", "55006": "503 unavailable", "55P03": "503 busy", "55P04": "500 internal",
		"57000": "503 unavailable", "57014": "503 timeout", "57P01": "503 unavailable", "57P02": "503 unavailable", "57P03": "503 unavailable",
		"57P04": "503 unavailable", "57P05": "503 unavailable",
		"58000": "503 unavailable", "58030": "503 unavailable", "58P01": "503 unavailable", "58P02": "503 unavailable",
		"F0000": "503 unavailable", "XX000": "503 unavailable", "XX001": "503 unavailable", "XX002": "503 unavailable",
		"40001": "503 busy", "40P01": "503 busy", "22P02": "422 invalid", "23505": "409 conflict", "23503": "500 internal",
		"42P01": "500 internal", "42501": "500 internal", "P0001": "500 internal", "": "500 internal",
	} {
		for _, err := range []error{pg(code), fmt.Errorf("commit: %w", pg(code))} {
			f, status := toFault(err)
			if got := fmt.Sprint(status, " ", f.Code); got != want {
				t.Errorf("%s is %s, want %s", code, got, want)
			}
			if hasWait := retryAfter(f, status) > 0; hasWait != (status == http.StatusServiceUnavailable) {
				t.Errorf("%s: Retry-After is %d", code, retryAfter(f, status))
			}
		}
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
