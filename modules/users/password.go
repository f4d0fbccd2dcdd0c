package users

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// bcrypt ignores everything after 72 bytes, so a longer password is rejected (SPEC A1).
const (
	minPassword = 8
	maxPassword = 72
)

// normalize returns the form in which passwords are hashed: the profile OpaqueString (RFC 8265, section
// 4.2.2; NIST SP 800-63B, section 3.1.1.2). Composed and decomposed letters are the same, and every space
// is U+0020. Keyboards and systems differ in what they send. Unlike the profile, no character is refused.
func normalize(password string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, password))
}

// validatePassword returns the faults of a new password for the account with that address. No message
// contains the password.
func validatePassword(pointer, password, email string) []fault.Field {
	wrong := func(code, message string) []fault.Field {
		return []fault.Field{{Pointer: pointer, Code: code, Message: message}}
	}
	local, _, _ := strings.Cut(email, "@")
	password = normalize(password)

	switch {
	case len(password) < minPassword:
		return wrong("too-short", "A password has at least 8 bytes.")
	case len(password) > maxPassword:
		return wrong("too-long", "A password has at most 72 bytes; letters beyond ASCII take 2 to 4 each.")
	case isCommon(password):
		return wrong("too-common", "The password is common: it is on lists of breached passwords, or easily derived from one.")
	case email != "" && (fold(password) == fold(email) || fold(password) == fold(local)):
		return wrong("too-common", "The password must not be the e-mail address or its first part.")
	case repeats(password):
		return wrong("too-common", "The password repeats itself.")
	}
	return nil
}

// repeats reports whether bcrypt treats the password like a shorter one. bcrypt repeats the
// password and a NUL cyclically as its key, so "x" and "x\x00x" have the same hash.
func repeats(password string) bool {
	key := password + "\x00"
	for n := 1; n <= len(key)/2; n++ {
		if len(key)%n == 0 && key[n-1] == 0 && strings.Repeat(key[:n], len(key)/n) == key {
			return true
		}
	}
	return false
}
