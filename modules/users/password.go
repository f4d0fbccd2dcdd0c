package users

import (
	"strings"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// bcrypt ignores everything after 72 bytes, so a longer password is rejected (SPEC A1).
const (
	minPassword = 8
	maxPassword = 72
)

// validatePassword returns the faults of a new password for the account with that address. No message
// contains the password.
func validatePassword(pointer, password, email string) []fault.Field {
	wrong := func(code, message string) []fault.Field {
		return []fault.Field{{Pointer: pointer, Code: code, Message: message}}
	}
	local, _, _ := strings.Cut(email, "@")

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
