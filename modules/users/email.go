package users

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/internal/printable"
)

// RFC 5321, section 4.5.3.1 and erratum 1690 of RFC 3696.
const (
	maxEmail = 254
	maxLocal = 64
	maxLabel = 63
)

// address parses an e-mail address and returns it as it is shown, composed (NFC) and with a
// domain in ASCII, and folded as it is compared (SPEC A1). A new account also needs an address
// without a doubt.
func address(email string) (shown, key string, ok bool) {
	if len(email) > maxEmail || !utf8.ValidString(email) {
		return "", "", false
	}
	shown = asciiDomain(norm.NFC.String(email))
	local, domain, found := strings.Cut(shown, "@")
	if !found || len(shown) > maxEmail || !isLocal(local) || !isDomain(domain) {
		return "", "", false
	}
	return shown, fold(shown), true
}

// asciiDomain writes an internationalized domain in ASCII (IDNA2008, RFC 5891): one that looks
// like another is seen to be different. A domain that IDNA does not allow stays as it is.
func asciiDomain(email string) string {
	local, domain, _ := strings.Cut(email, "@")
	if isASCII(domain) {
		return email
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return email
	}
	return local + "@" + ascii
}

// doubt says why nobody may register an address that address accepts, or returns "". It could be
// taken for the address of another person (Unicode Technical Standard 39; CWE-1007). Accounts
// that have such an address keep it.
func doubt(shown string) string {
	local, domain, _ := strings.Cut(shown, "@")
	ascii, err := idna.Lookup.ToASCII(domain)
	switch {
	case err != nil || !isASCII(domain) || !strings.EqualFold(ascii, domain):
		return "the domain is not valid in IDNA2008"
	case strings.ContainsFunc(local, func(r rune) bool { return !printable.IsVisible(r) }):
		return "the part before the @ must not contain invisible characters"
	case norm.NFKC.String(local) != local:
		return "the part before the @ must not contain compatibility characters such as full-width letters"
	case !printable.IsSingleScript(local):
		return "the part before the @ must not mix letters of several scripts"
	}
	return ""
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// keysOf returns the keys by which an account with the address may be stored. Those that were
// created before domains were written in ASCII have the second.
func keysOf(shown string) []string {
	local, domain, _ := strings.Cut(shown, "@")
	unicoded, err := idna.Lookup.ToUnicode(domain)
	if err != nil || unicoded == domain {
		return []string{fold(shown)}
	}
	return []string{fold(shown), fold(local + "@" + unicoded)}
}

// Fold returns the canonical form of an address for comparison. Attempts per account are
// counted by this form, so that another spelling does not get a new limit (SPEC A6). It accepts
// any text.
func (m *Module) Fold(email string) string { return fold(asciiDomain(norm.NFC.String(email))) }

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
