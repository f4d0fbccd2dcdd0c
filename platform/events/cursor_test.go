package events_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

func cursors() *rapid.Generator[events.Cursor] {
	return rapid.Custom(func(t *rapid.T) events.Cursor {
		return events.Cursor{
			Epoch: rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "epoch"),
			Xid:   rapid.Uint64().Draw(t, "xid"),
			Seq:   rapid.Int64Min(0).Draw(t, "seq"),
			// 0 is the form without a digest, of earlier versions.
			Digest: rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32()).Draw(t, "digest"),
		}
	})
}

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := cursors().Draw(t, "cursor")

		back, err := events.ParseCursor(c.String())

		if err != nil || back != c {
			t.Fatalf("%v became %v, %v", c, back, err)
		}
	})
}

func TestCursorOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := cursors().Draw(t, "a"), cursors().Draw(t, "b"), cursors().Draw(t, "c")
		if a.Before(a) || a.Before(b) && b.Before(a) || a.Before(b) && b.Before(c) && !a.Before(c) {
			t.Fatal("not an order")
		}
		if a.Xid != b.Xid && a.Before(b) != (a.Xid < b.Xid) {
			t.Fatal("the transaction does not come first")
		}
	})
}

func TestCursorRefusals(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "-", "deadbeef", "deadbeef-1", "deadbeef-1-", "deadbeef--1", "DEADBEEF-1-1", "deadbeef-1-1 ", "\x00", "deadbeef-1-1\n",
		"deadbeef-1-8000000000000000", "deadbeef-10000000000000000-1", "deadbeef-1--1", "deadbeef-0x1-1", "deadbee-1-1", "deadbeeef-1-1",
		"deadbeef-1-1-1", "deadbeef-1-1-00000000", "deadbeef-1-1-123456789", "deadbeef-1-1-", "deadbeef-1-1-DEADBEEF", "deadbeef-1-1-12345678-1", "deadbeef-１-1", strings.Repeat("f", 1000),
	} {
		if c, err := events.ParseCursor(s); !fault.Is(err, "malformed") || c != (events.Cursor{}) {
			t.Errorf("%q: %v, %v", s, c, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("deadbeef-1-1")
	f.Add("deadbeef-ffffffffffffffff-7fffffffffffffff")
	f.Add("deadbeef-001-01")
	f.Add("deadbeef-1-1-0000000f")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := events.ParseCursor(s)
		if err != nil {
			if !fault.Is(err, "malformed") {
				t.Fatal(err)
			}
			return
		}
		if back, err := events.ParseCursor(c.String()); err != nil || back != c || c.Seq < 0 {
			t.Fatalf("%q: %v, %v", s, c, err)
		}
	})
}
