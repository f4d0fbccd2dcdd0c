package users

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// SPEC A1: an address that is taken can be shown, stored and compared.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"ada@example.com", "\u0130@x.y", "a@b@c", "a b@c.d", "\"a\"@b.c", "a@[1.2.3.4]", "e\u0301@example.com", "x@xn--fsq.com", "a@b..c", "\u202ea@b.c", "a\x00@b.c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, email string) {
		shown, key, ok := address(email)
		if !ok {
			return
		}
		odd := func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
		}
		again, same, stays := address(shown)
		if !utf8.ValidString(shown) || len(shown) > maxEmail || strings.Count(shown, "@") != 1 || strings.ContainsFunc(shown, odd) {
			t.Errorf("%q is shown as %q", email, shown)
		}
		if !stays || again != shown || same != key || fold(key) != key {
			t.Errorf("%q is %q, then %q, with %q and %q", email, shown, again, key, same)
		}
	})
}
