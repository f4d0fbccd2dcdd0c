package web

import (
	stdjson "encoding/json"
	"net/netip"
	"testing"

	"orderflow/platform/fault"
)

func FuzzDecodeCursor(f *testing.F) {
	f.Add(EncodeCursor("a", "b"), 2)
	f.Add("AAAA", 1)
	f.Fuzz(func(t *testing.T, s string, parts int) {
		list, err := DecodeCursor(s, parts&7)
		switch {
		case err == nil && (len(list) != parts&7 || EncodeCursor(list...) != s):
			t.Errorf("%q gave %q", s, list)
		case err != nil:
			if _, ok := fault.As(err); !ok {
				t.Error(err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"items":[{"sku":"A","quantity":1}]}`, `{"a":1,"a":2}`, `{"items":[{"quantity":1e400}]}`, "\"\xff\"", `[[[`, `{"free":{"a":[null]}}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in basket
		err := Decode(data, &in)
		if err == nil && !stdjson.Valid(data) {
			t.Errorf("accepted %q", data)
		}
		if err == nil {
			return
		}
		if got, ok := fault.As(err); !ok || got.Kind != fault.Malformed && got.Kind != fault.Invalid {
			t.Errorf("%q: %v", data, err)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, seed := range []string{"1.2.3.4", "1.2.3.4, 10.0.0.1", ",,", "junk", "[::1]:80", "fe80::1%eth0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		outside := netip.MustParseAddr("8.8.8.8")
		if got := walk(outside, []string{line}, trusted); got != outside {
			t.Errorf("%q moved a stranger to %s", line, got)
		}
		got := walk(netip.MustParseAddr("10.0.0.1"), []string{line}, trusted)
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("%q gave %s", line, got)
		}
		if behind := walk(netip.MustParseAddr("10.0.0.1"), []string{line, "8.8.8.8"}, trusted); behind != outside {
			t.Errorf("%q went past a stranger to %s", line, behind)
		}
	})
}
