// Package printable tells the characters of a text that a reader sees from those that change how
// the text is displayed or compared without being seen: controls, direction marks, blanks of no
// width. They make one text look like another (CWE-1007, CWE-150; Unicode Technical Report 36).
package printable

import (
	"slices"
	"unicode"
)

// ignorable are the characters with the Unicode property Default_Ignorable_Code_Point that are
// not in the general category Cf, and others that are drawn as nothing.
var ignorable = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, // combining grapheme joiner
		{Lo: 0x115f, Hi: 0x1160, Stride: 1}, // Hangul fillers
		{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, // Khmer inherent vowels
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, // Mongolian variation selectors
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // Braille pattern blank
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
		{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, // variation selectors
		{Lo: 0xffa0, Hi: 0xffa0, Stride: 1}, // half-width Hangul filler
		{Lo: 0xfff0, Hi: 0xfff8, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0xe0000, Hi: 0xe0fff, Stride: 1}}, // tags and variation selectors
}

// IsVisible reports whether a reader sees the character. Spaces of any kind are not visible.
func IsVisible(r rune) bool {
	if unicode.Is(unicode.Prepended_Concatenation_Mark, r) {
		return true // in Cf, but drawn, as the Arabic number sign
	}
	return !unicode.IsSpace(r) && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zs, unicode.Zl, unicode.Zp, ignorable)
}

// IsBidiControl reports whether the character changes the direction of the text around it
// (Unicode property Bidi_Control).
func IsBidiControl(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }

// Hidden returns the first character that must not be in the name of a person or a thing: a
// control or bidi control, a line separator, or another one that is not seen and not a space.
// Joiners and variation selectors are accepted where writing needs them (RFC 5892, appendix A):
// behind a character that is neither ASCII nor Latin, Greek or Cyrillic.
func Hidden(text string) (r rune, found bool) {
	var before rune
	for _, r := range text {
		switch {
		case IsVisible(r):
			before = r
		case unicode.Is(unicode.Zs, r):
			before = 0
		case isJoiner(r) && before >= 0x80 && !unicode.In(before, unicode.Latin, unicode.Greek, unicode.Cyrillic):
		default:
			return r, true
		}
	}
	return 0, false
}

func isJoiner(r rune) bool {
	return r == '\u200c' || r == '\u200d' || r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0100 && r <= 0xe01ef
}

// unions are the scripts that one language writes together (Unicode Technical Standard 39,
// section 5.1): Japanese, and Chinese with Bopomofo, and Korean.
var unions = [][]string{{"Han", "Hiragana", "Katakana"}, {"Han", "Bopomofo"}, {"Han", "Hangul"}}

// IsSingleScript reports whether all letters of a text are of one script, in the sense of Unicode
// Technical Standard 39, section 5.1. Characters that all scripts share do not count.
func IsSingleScript(text string) bool {
	var used []string
	for _, r := range text {
		if script := scriptOf(r); script != "Common" && script != "Inherited" && !slices.Contains(used, script) {
			used = append(used, script)
		}
	}
	return len(used) < 2 || slices.ContainsFunc(unions, func(union []string) bool {
		return !slices.ContainsFunc(used, func(script string) bool { return !slices.Contains(union, script) })
	})
}

func scriptOf(r rune) string {
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
