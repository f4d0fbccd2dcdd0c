package users

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// RFC 5321, section 4.5.3.1 and erratum 1690 of RFC 3696.
const (
	maxEmail = 254
	maxLocal = 64
	maxLabel = 63
)

// address checks an e-mail address and returns it composed (NFC) as it is shown,
// and folded as it is compared (SPEC A1).
func address(email string) (shown, key string, ok bool) {
	if len(email) > maxEmail || !utf8.ValidString(email) {
		return "", "", false
	}
	shown = norm.NFC.String(email)
	local, domain, found := strings.Cut(shown, "@")
	if !found || len(shown) > maxEmail || !isLocal(local) || !isDomain(domain) {
		return "", "", false
	}
	return shown, fold(shown), true
}

// Fold returns the canonical form of an address for comparison. Attempts per account are
// counted by this form, so that another spelling does not get a new limit (SPEC A6). It accepts
// any text.
func (m *Module) Fold(email string) string { return fold(email) }

func fold(email string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(email)))
}

// isLocal accepts the dot-atoms of RFC 5322 and the letters of RFC 6531. Quoted local parts are
// legal but practically unused; rejecting them excludes spaces.
func isLocal(s string) bool {
	if len(s) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return !isWord(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
		}) {
			return false
		}
	}
	return true
}

func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !isWord(r) && r != '-' }) {
			return false
		}
	}
	return len(labels) > 1
}

// isWord excludes spaces, control characters and invisible direction marks.
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)
}
