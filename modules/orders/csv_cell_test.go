package orders_test

import (
	"encoding/csv"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/modules/orders"
)

// C12: a cell is text to every program, whatever separates cells to it.
func TestCSVCell_C12(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain": "plain", "a, b": "a, b", "a-b @ c = d": "a-b @ c = d", "it's": "it's", `say "hi"`: `say ""hi""`,
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@A1": "'@A1",
		"＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠A": "'＠A", "\u22121": "'\u22121", "\ufe631": "'\ufe631", "\u2a751": "'\u2a751", "=\u0338": "'=\u0338",
		" =1": " '=1", "\u00a0=1": "\u00a0'=1", "\ufeff=1": "\ufeff'=1", "\u0600=1": "\u0600'=1", "\u200b=1": "\u200b'=1", "\u3164=1": "\u3164'=1",
		"\v=1": "'=1", "\f=1": "'=1", "\t=1": " '=1", "\r=1": "\r'=1", "\n=1": "\n'=1", "\x00=1": "'=1",
		"x;=1+1;y": "x;'=1+1;y", "x,@A": "x,'@A", "x| +A": "x| '+A", "x\n-A": "x\n'-A", "x\t=1": "x =1", `x;"=1"`: `x;""'=1""`, ";;=1": ";;'=1", "x;-1+cmd": "x;'-1+cmd",
		`{"a":[1,-2.5, -3],"b":-4}`: `{""a"":[1,-2.5, -3],""b"":-4}`, ";-1": ";-1",
		"\x1b[31mred\x1b[0m": "[31mred[0m", "\u0085\u009b31m": "31m", "a\u202eb\u2066c\u200fd\u061ce": "abcde", "a\u200db": "a\u200db", "two\r\nlines": "two\r\nlines",
	} {
		if got := string(orders.AppendCell(nil, text)); got != `"`+want+`"` {
			t.Errorf("%q became %s, want %q", text, got, want)
		}
	}
}

func TestCSVCellProperty_C12(t *testing.T) {
	t.Parallel()
	piece := rapid.OneOf(rapid.StringN(0, 4, -1), rapid.SampledFrom([]string{
		"=", "+", "-", "@", "＝", "\u2212", ";", ",", "|", "\t", "\r", "\n", "\"", "'", " ", "\u00a0", "\ufeff", "\u200b", "\v", "\x1b", "\u202e", "\u2066", "1", "a",
	}))
	rapid.Check(t, func(r *rapid.T) {
		cellIsText(r, strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(r, "pieces"), ""))
	})
}

func FuzzCSVCell(f *testing.F) {
	for _, seed := range []string{"=1", "x;=1+1;y", "\u202e＝1", "\x1b[31m", `a|"-1`, "[1,-2]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { cellIsText(t, text) })
}

var (
	splits = regexp.MustCompile("[;,|\t\r\n\u2028\u2029]")
	number = regexp.MustCompile(`^[+-][0-9.]+[\]} ]*$`)
)

// cellIsText holds a cell against what programs do with one, in other words than appendCell.
func cellIsText(t tester, text string) {
	t.Helper()
	cell := string(orders.AppendCell(nil, text))

	read, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(cell, "\r", "\u2029"))).ReadAll()
	switch {
	case err != nil:
		t.Fatalf("%q became %s: %v", text, cell, err)
	case len(read) != 1 || len(read[0]) != 1:
		t.Fatalf("%q became %s, which is %q", text, cell, read)
	}
	for _, r := range cell {
		if unicode.IsControl(r) && r != '\r' && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
			t.Fatalf("%q became %q with %U", text, cell, r)
		}
	}
	for i, part := range splits.Split(cell[1:len(cell)-1], -1) {
		part = strings.TrimLeftFunc(part, func(r rune) bool { return r == '"' || unicode.IsSpace(r) || unicode.In(r, unicode.Cf) })
		folded := norm.NFKC.String(part)
		for _, first := range []string{part, folded} {
			if first != "" && strings.ContainsRune("=+-@\u2212", firstRune(first)) && (i == 0 || !number.MatchString(part)) {
				t.Fatalf("%q became %q with the formula %q", text, cell, part)
			}
		}
	}
	kept := strings.Map(func(r rune) rune {
		if r == '\'' || r == '\t' || unicode.IsControl(r) && r != '\r' && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	shown := strings.ReplaceAll(strings.ReplaceAll(cell[1:len(cell)-1], `""`, `"`), "'", "")
	if strings.ReplaceAll(shown, " ", "") != strings.ReplaceAll(kept, " ", "") && strings.ToValidUTF8(text, "") == text {
		t.Fatalf("%q became %q: some of it is lost", text, cell)
	}
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}
