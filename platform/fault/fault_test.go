package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

func TestFault(t *testing.T) {
	t.Parallel()
	cause := errors.New("no route to host")
	f := fault.New(fault.KindConflict, "illegal-transition", "Not from %s.", "A").With("from", "A").With("to", "B").WithCause(cause)
	wrapped := fmt.Errorf("move order 7: %w", f)

	got, ok := fault.As(wrapped)
	if !ok || got != f || !fault.Is(wrapped, "illegal-transition") || fault.Is(wrapped, "other") || !errors.Is(wrapped, cause) {
		t.Errorf("got %v, %v", got, ok)
	}
	if f.Detail != "Not from A." || f.Extra["from"] != "A" || f.Extra["to"] != "B" {
		t.Errorf("got %+v", f)
	}
	if strings.Contains(f.Detail, "route") || !strings.Contains(f.Error(), "no route to host") {
		t.Errorf("the cause belongs into the log alone: %q, %q", f.Detail, f.Error())
	}
	for _, err := range []error{nil, cause} {
		if f, ok := fault.As(err); ok || f != nil || fault.Is(err, "") {
			t.Errorf("%v is a fault", err)
		}
	}
}

func TestTheUsualOnes(t *testing.T) {
	t.Parallel()
	cause := errors.New("gone")
	field := fault.Field{Pointer: "/a", Code: "required", Message: "is missing"}
	for _, row := range []struct {
		f     *fault.Error
		kind  fault.Kind
		code  string
		words string
	}{
		{fault.NotFound("order"), fault.KindNotFound, "not-found", "There is no such order."},
		{fault.Invalid(field), fault.KindInvalid, "invalid", "not valid"},
		{fault.Unavailable("The database", cause), fault.KindUnavailable, "unavailable", "The database cannot be reached"},
	} {
		if row.f.Kind != row.kind || row.f.Code != row.code || !strings.Contains(row.f.Detail, row.words) {
			t.Errorf("got %+v", row.f)
		}
	}
	if f := fault.Invalid(field, field); len(f.Fields) != 2 {
		t.Errorf("fields %v", f.Fields)
	}
	if f := fault.Unavailable("x", cause); f.RetryAfter < time.Second || !errors.Is(f, cause) {
		t.Errorf("got %+v", f)
	}
	// Made afresh each time: WithCause and With write into them.
	if one, two := fault.NotFound("order"), fault.NotFound("order"); one == two {
		t.Error("two callers share one fault")
	}
}
