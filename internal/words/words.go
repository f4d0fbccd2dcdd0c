// Package words cuts texts into words for search. Texts that are searched and queries are cut by
// the same rule, in Go, so that a search finds the same on every database and in every locale.
//
// A word is a run of letters, marks and digits; everything else separates words, so "O'Neil",
// "O’Neil" and "o neil" are the same two words. Words are compared after Unicode's caseless
// compatibility matching (Unicode 3.13, D146): composed and decomposed forms, upper and lower
// case, "ß" and "ss", full-width and ordinary digits, ligatures and their letters are the same.
// Besides, the four Turkish i are one letter, and the points of Arabic and Hebrew, which writers may
// omit, are ignored. Accents are not: "Äpfel" and "Apfel" are different words.
package words

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/internal/printable"
)

// maxLength is the number of code points of a word that count; words that are longer and begin alike are
// the same. An entry of a GIN index has at most 2.7 kB.
const maxLength = 100

// Terms returns the sorted terms under which texts are found. They contain the terms of a query for
// every part of a text between two separators, and for every part of a word without spaces.
func Terms(texts ...string) []string {
	var terms []string
	for _, text := range texts {
		for _, word := range Split(text) {
			if isUnspaced(word) {
				list := clusters(word)
				terms = append(append(terms, list...), pairs(list)...)
				continue
			}
			terms = append(terms, word)
			if first, second, ok := cutUnit(word); ok {
				terms = append(terms, first, second)
			}
		}
	}
	return compact(terms)
}

// Query returns the sorted terms that a text must all have to match a query. It is empty for a query
// without a word. The terms of a query with one word more contain those of the query.
func Query(query string) []string {
	var terms []string
	for _, word := range Split(query) {
		if list := clusters(word); len(list) > 1 && isUnspaced(word) {
			terms = append(terms, pairs(list)...)
			continue
		}
		terms = append(terms, word)
	}
	return compact(terms)
}

func compact(terms []string) []string {
	for i, term := range terms {
		terms[i] = shorten(term)
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// Split returns the words of a text in their order, folded. A symbol such as an emoji is a word of
// its own, without its skin tone, and so is a part in a script without spaces.
func Split(text string) (words []string) {
	folded := Fold(text)
	begin, kind := -1, false // of the present word
	end := func(i int) {
		if begin >= 0 {
			words = append(words, folded[begin:i])
		}
		begin = -1
	}
	for i, r := range folded {
		switch {
		case unicode.In(r, unicode.L, unicode.N):
			if begin >= 0 && kind != unspaced(r) {
				end(i)
			}
			if begin < 0 {
				begin, kind = i, unspaced(r)
			}
		case isMark(r) && begin >= 0:
		case unicode.Is(unicode.So, r):
			end(i)
			words = append(words, string(r))
		default:
			end(i)
		}
	}
	end(len(folded))
	return words
}

// Phrase returns the words of a text, separated by spaces.
func Phrase(text string) string { return strings.Join(Split(text), " ") }

// Phrases returns the phrase of each part of a query between spaces, for searches of parts of words:
// a text that has the part has the phrase in its own.
func Phrases(query string) (list []string) {
	for part := range strings.FieldsSeq(query) {
		if phrase := Phrase(part); phrase != "" {
			list = append(list, phrase)
		}
	}
	return list
}

// Fold returns the form in which texts are compared. Fold(Fold(s)) is Fold(s).
func Fold(text string) string {
	if isPlain(text) {
		return strings.ToLower(text)
	}
	// The definition of Unicode, with composed results: it needs two rounds, because compatibility
	// characters may contain capital letters.
	for range 2 {
		text = norm.NFKD.String(cases.Fold().String(norm.NFKD.String(strings.Map(visible, text))))
	}
	return norm.NFC.String(strings.Map(visible, strings.ReplaceAll(text, "i\u0307", "i")))
}

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// visible removes the characters that are not seen, replaces those that separate words although
// Unicode calls them letters or formatting, and unites the Turkish i.
func visible(r rune) rune {
	switch {
	case r == '\u200b', isApostrophe(r):
		return ' '
	case r == 'ı':
		return 'i'
	case r == '\u0640', isPoint(r), unicode.Is(unicode.Me, r):
		return -1
	case unicode.In(r, unicode.Cf, unicode.Mn, unicode.Lo, unicode.So) && !printable.IsVisible(r):
		return -1
	}
	return r
}

// isApostrophe reports whether a letter of Unicode looks like an apostrophe or a quotation mark and is
// typed as one. The others are punctuation.
func isApostrophe(r rune) bool {
	return r >= 0x02b9 && r <= 0x02bf || r == 0x02c8 || r == 0x02ca || r == 0x02cb || r == 0x02ee || r == 0xa78b || r == 0xa78c
}

// isPoint reports whether a mark is a vowel or a sign that Arabic and Hebrew writing may omit.
func isPoint(r rune) bool {
	return r >= 0x064b && r <= 0x0652 || r == 0x0670 || r >= 0x0591 && r <= 0x05c7 && unicode.Is(unicode.Mn, r)
}

func isMark(r rune) bool { return unicode.Is(unicode.M, r) }

// clusters cuts a word into letters with their marks.
func clusters(word string) (list []string) {
	begin := 0
	for i, r := range word {
		if i > 0 && !isMark(r) {
			list = append(list, word[begin:i])
			begin = i
		}
	}
	return append(list, word[begin:])
}

// unspaced reports whether a letter belongs to a script that writes no spaces between words. A word
// of them may be a whole sentence. As in the CJK analyzers of Lucene, each pair of neighbours is a
// term, so that every part of the sentence is found.
func unspaced(r rune) bool {
	return r == 'ー' || r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan)
}

func isUnspaced(word string) bool {
	r, _ := utf8.DecodeRuneInString(word)
	return unspaced(r)
}

func pairs(clusters []string) (list []string) {
	for i := 1; i < len(clusters); i++ {
		list = append(list, clusters[i-1]+clusters[i])
	}
	return list
}

// cutUnit cuts a word of one number and one word, such as "900ml" or "po17", so that both parts are
// found as well.
func cutUnit(word string) (first, second string, ok bool) {
	at, changes := 0, 0
	before := rune(-1)
	for i, r := range word {
		if i > 0 && !isMark(r) && unicode.IsNumber(r) != unicode.IsNumber(before) {
			at = i
			changes++
		}
		if !isMark(r) {
			before = r
		}
	}
	return word[:at], word[at:], changes == 1
}

func shorten(word string) string {
	n := 0
	for i := range word {
		if n == maxLength {
			return word[:i]
		}
		n++
	}
	return word
}
