package words_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/orderflow-dev/orderflow/internal/words"
)

// finds reports whether a query finds a text.
func finds(query, text string) bool {
	terms, query2 := words.Terms(text), words.Query(query)
	return len(query2) > 0 && !slices.ContainsFunc(query2, func(term string) bool { return !slices.Contains(terms, term) })
}

// SPEC C5, B20: a text is found by its words however they are written.
func TestFinds(t *testing.T) {
	t.Parallel()
	for text, queries := range map[string][]string{
		"Kettle 0.9 l, O'Neil e-mail":     {"0.9", "O'Neil", "e-mail", "kettle,", "0.9 l", "O’Neil", "OʼNEIL", "O`Neil", "o neil", "neil", "mail", "(KETTLE)", "kettle kettle", "l"},
		"PO/2026-01":                      {"2026-01", "po/2026-01", "PO", "2026", "PO 01", "po_2026"},
		"हिन्दी किताब":                    {"हिन्दी", "किताब"},
		"ÄPFEL aus Straße":                {"äpfel", norm.NFD.String("äpfel"), "STRASSE", "strasse", "STRAẞE"},
		norm.NFD.String("Crème brûlée"):   {"crème", "BRÛLÉE"},
		"İstanbul ışık IŞIK":              {"istanbul", "ISTANBUL", "ışık", "IŞIK", "işik", "İSTANBUL"},
		"ISPARTA ılık":                    {"ısparta", "ILIK", "ilik"},
		"ΟΔΟΣ Σίσυφος":                    {"οδος", "οδοσ", "ΣΊΣΥΦΟΣ"},
		"ﬁne oﬃce １２３ Ｆｕｌｌ":               {"fine", "OFFICE", "123", "full", "１２３"},
		"مُحَمَّد كتـــاب":                {"محمد", "مُحَمَّد", "كتاب"},
		"שָׁלוֹם":                         {"שלום"},
		"กาต้มน้ำไฟฟ้า":                   {"กาต้มน้ำ", "น้ำ", "ไฟฟ้า", "กาต้มน้ำไฟฟ้า"},
		"東京都の電気ケトル iPhone用ケース":            {"東京", "電気ケトル", "ケース", "iphone", "京", "用"},
		"gift 🎁 👍🏽 👩‍👩‍👧 🇩🇪":              {"🎁", "👍", "👍🏿", "👩‍👩‍👧", "🇩🇪", "gift 🎁"},
		"Bottle 900ml M8 B12":             {"900ml", "900", "ml", "900 ML", "m8", "12"},
		"soft\u00adhyphen zero\u200bwide": {"softhyphen", "zero", "wide"},
		"می\u200cخواهم":                   {"میخواهم", "می\u200cخواهم"},
		"m² 5㎏ №7 ½":                      {"m2", "5kg", "no 7", "1/2"},
		strings.Repeat("x", 5000) + " y":  {strings.Repeat("X", 200), "y"},
		strings.Repeat("w ", 200):         {strings.Repeat("w ", 200)},
		"l·l paral·lel C++ R&D":           {"paral.lel", "c", "r&d", "R D"},
		"naïve Ωmega Å ½":                 {"NAÏVE", "ωmega", "å"},
	} {
		for _, query := range queries {
			if !finds(query, text) {
				t.Errorf("%q %q does not find %q %q", query, words.Query(query), text, words.Terms(text))
			}
		}
	}
}

func TestFindsNot(t *testing.T) {
	t.Parallel()
	for text, queries := range map[string][]string{
		"Kettle 0.9 l": {"", "-", " - ", "...", "'", "\u0301", "\u200b", "ket", "09", "kettle x", "!?", "\ufe0f", "🏽"},
		"Äpfel":        {"apfel", "pfel"},
		"東京都":          {"京東", "東都"},
		"1.0":          {"10"},
	} {
		for _, query := range queries {
			if finds(query, text) {
				t.Errorf("%q %q finds %q", query, words.Query(query), text)
			}
		}
	}
}

// An entry of a GIN index has at most 2.7 kB, and a term is stored in a list that spaces separate.
func TestTermsAreStorable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("𐐷", 2000), strings.Repeat("a\u0301\u0323", 2000), strings.Repeat("ﷺ", 2000), strings.Repeat("क्ष", 2000), "漢" + strings.Repeat("\u0301", 2000)} {
		for _, term := range words.Terms(text) {
			if len(term) > 2000 || term == "" || strings.ContainsFunc(term, unicode.IsSpace) {
				t.Errorf("the term %.40q has %d bytes", term, len(term))
			}
		}
	}
}

// SPEC C5: every word of a text finds it, in every form; another word never finds more.
func FuzzFinds(f *testing.F) {
	for _, seed := range []string{"Kettle 0.9 l, O'Neil", "PO/2026-01", "हिन्दी", "İı ß ﬃ ½ ŉ", "กาต้มน้ำ", "東京ケース", "👍🏽 🇩🇪", "a\u0301\u0323 \u0345 ᾳ", "ǰ ΐ ﬓ", "ℌ ㏂ ﷺ"} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		if folded := words.Fold(text); words.Fold(folded) != folded {
			t.Fatalf("%q is folded to %q and then to %q", text, folded, words.Fold(folded))
		}
		for part := range strings.FieldsSeq(text) {
			for _, query := range []string{part, norm.NFD.String(part), norm.NFC.String(part), strings.ToLower(part)} {
				if len(words.Query(query)) > 0 && !finds(query, text) {
					t.Fatalf("%q %q does not find %q %q", query, words.Query(query), text, words.Terms(text))
				}
			}
		}
		phrase := words.Phrase(text)
		for _, part := range words.Phrases(text) {
			if !strings.Contains(phrase, part) {
				t.Fatalf("the phrase %q is not in %q", part, phrase)
			}
		}
		for _, word := range words.Split(text) {
			if !finds(word, text) {
				t.Fatalf("the word %q does not find %q", word, text)
			}
		}
		more := words.Query(text + " " + other)
		for _, term := range words.Query(text) {
			if !slices.Contains(more, term) {
				t.Fatalf("with %q the query %q lost the term %q", other, text, term)
			}
		}
	})
}
