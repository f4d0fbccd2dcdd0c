package orders

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/internal/printable"
)

// appendCell writes a cell, always in quotes. Programs that open the file must show its text and
// neither calculate it nor act on it (SPEC C12; CWE-1236, CWE-150; OWASP, CSV injection):
//
//   - An apostrophe stands before a character that begins a formula. That is judged of the first
//     visible character, not only of the cell but of every part that a program may take for a
//     cell: many split at semicolons or tabs, and then the quotes are not quotes to them.
//   - Control characters other than line breaks and bidi controls are left out, a tab is a space.
//
// encoding/csv is not used because it changes line breaks within the text.
func appendCell(b []byte, text string) []byte {
	b = append(b, '"')
	begins := true // no visible character since the beginning of the part
	for i, r := range text {
		switch {
		case r == '\t':
			r = ' '
		case r == '\n', r == '\r':
			begins = true
		case unicode.IsControl(r), printable.IsBidiControl(r):
			continue
		case r == ';', r == ',', r == '|', r == '\u2028', r == '\u2029':
			begins = true
		case r == '"':
			b = append(b, '"') // which does not end the beginning: some programs remove quotes
		case begins && (!printable.IsVisible(r) || unicode.Is(unicode.Cf, r)): // format characters, which some programs show
		case begins:
			if beginsFormula(r) && (!isNumber(text[i:]) || onlyBlank(text[:i])) {
				b = append(b, '\'')
			}
			begins = false
		}
		b = append(b, string(r)...)
	}
	return append(b, '"')
}

// beginsFormula judges a character as programs read it that replace characters by similar ones,
// such as full-width letters, when they convert the file to another character set.
func beginsFormula(r rune) bool {
	if r >= 0x80 {
		for _, r = range norm.NFKC.String(string(r)) {
			break
		}
	}
	return r == '=' || r == '+' || r == '-' || r == '@' || r == '\u2212'
}

// isNumber reports whether a part of a cell is a signed number, perhaps the last one of a list,
// as metadata contain them. An apostrophe would make these invalid JSON.
func isNumber(part string) bool {
	if end := strings.IndexAny(part, ",;|\r\n"); end >= 0 {
		part = part[:end]
	}
	digits := strings.TrimRight(strings.TrimLeft(part, "+-"), "]} ")
	return len(part)-len(strings.TrimLeft(part, "+-")) == 1 && digits != "" && strings.Trim(digits, "0123456789.") == ""
}

// onlyBlank reports whether nothing visible stands before the character of a cell that is judged.
func onlyBlank(before string) bool {
	return !strings.ContainsFunc(before, func(r rune) bool { return printable.IsVisible(r) && r != '"' })
}
