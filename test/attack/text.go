package main

import (
	"net/http"
	"strings"
	"unicode"
)

// textAttacks are those by text that another program shows or runs.
func textAttacks() []attack {
	return []attack{
		{name: "formulas-in-exports", refs: "CWE-1236; ASVS 1.2.10; SPEC C12", need: private, does: "Places orders with formulas behind spaces, invisible characters and separators, and reads the export as spreadsheets do.", do: formulas},
		{name: "controls-in-exports", refs: "CWE-150; ASVS 1.2.10", need: private, does: "Places orders with terminal codes and directional controls, and looks for them in the export.", do: controls},
		{name: "scripts-in-responses", refs: "CWE-79; ASVS 3.2.1, 4.1.1", need: writes, does: "Sends markup in all texts, and looks for a response that a browser would run.", do: markup},
	}
}

// exported places an order with the note and returns the export as CSV.
func (x *trial) exported(n *node, notes []string) string {
	u, sku := x.user(n), x.product(n, -1)
	for _, note := range notes {
		// A note that is refused cannot do harm.
		if a := u.send(x, "POST", "/v1/orders", orderOf(sku, "note", note, "metadata", fields{"k": note})); a.status != http.StatusCreated && a.status != http.StatusUnprocessableEntity {
			x.fatal("place an order with the note %+q: %s", note, a)
		}
	}
	return string(x.want(http.StatusOK, u, "GET", "/v1/orders/export?format=csv", nil).raw)
}

func formulas(x *trial) {
	var notes []string
	for _, formula := range []string{"=1+1", "+1+1", "-1+1", "@SUM(1)", "＝1+1", "＋1+1", "－1+1", "−1+1", "＠SUM(1)", "\t=1+1", "\r=1+1"} {
		notes = append(notes, formula, " "+formula, "\u00a0"+formula, "\ufeff"+formula, "\u200b"+formula, "\v"+formula, "\f"+formula, "x;"+formula+";y", "x\t"+formula, "x|"+formula, "x,"+formula+",y", "x\n"+formula, "\""+formula)
	}
	text := x.exported(x.server(), notes)
	for _, separator := range []rune{',', ';', '\t', '|'} {
		bad := map[string]bool{}
		for _, cell := range cells(text, separator) {
			if isFormula(cell) {
				bad[cell] = true
			}
		}
		sample := ""
		for cell := range bad {
			if sample == "" || len(cell) < len(sample) {
				sample = cell
			}
		}
		if len(bad) > 0 {
			x.found("a program that splits at %q sees %d formulas, such as %+.40q", separator, len(bad), sample)
		}
	}
	x.figure("%d notes", len(notes))
}

// cells splits a table as spreadsheets do: a cell that begins with a quote extends to the next single
// quote, and what follows it belongs to the cell up to the separator.
func cells(text string, separator rune) (list []string) {
	var cell strings.Builder
	quoted, begins := false, true
	in := []rune(text)
	for i := 0; i < len(in); i++ {
		r := in[i]
		switch {
		case quoted && r == '"' && i+1 < len(in) && in[i+1] == '"':
			cell.WriteRune(r)
			i++
		case quoted && r == '"':
			quoted = false
		case !quoted && begins && r == '"':
			quoted = true
		case !quoted && (r == separator || r == '\n'):
			list = append(list, cell.String())
			cell.Reset()
			begins = true
			continue
		default:
			cell.WriteRune(r)
		}
		begins = false
	}
	return append(list, cell.String())
}

// isFormula judges the first character of a cell that counts, as spreadsheets do that trim it.
func isFormula(cell string) bool {
	cell = strings.TrimLeftFunc(cell, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r)
	})
	for _, sign := range []string{"=1", "+1+", "-1+", "@SUM", "＝", "＋", "－", "−", "＠"} {
		if strings.HasPrefix(cell, sign) {
			return true
		}
	}
	return false
}

func controls(x *trial) {
	marks := []string{"\x1b[31mred", "\x1b]0;title\a", "\u009b31m", "\b\b\b", "\u202etxt.exe", "\u2066x\u2069", "\x7f", "\u200f"}
	text := x.exported(x.server(), marks)
	found := map[rune]bool{}
	for _, r := range text {
		if r != '\n' && r != '\r' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			found[r] = true
		}
	}
	for r := range found {
		x.found("%+q is in the export", r)
	}
}

func markup(x *trial) {
	n := x.server()
	const script = `<script>alert(1)</script>`
	u := x.user(n)
	responses := []answer{
		u.send(x, "POST", "/v1/orders", `{"items":[{"sku":"`+script+`","quantity":1}]}`), u.send(x, "GET", "/v1/orders?status="+script, nil), u.send(x, "GET", "/"+script, nil),
		u.send(x, "PATCH", "/v1/users/me", `{"name":"`+script+`"}`), u.send(x, "GET", "/v1/users/me", nil), u.send(x, "POST", "/v1/auth/login", `{"email":"`+script+`","password":"x"}`), u.send(x, "POST", "/v1/orders", script, "Content-Type: text/html"),
	}
	for _, a := range responses {
		kind := a.header.Get("Content-Type")
		if strings.Contains(string(a.raw), script) && (!strings.Contains(kind, "json") || a.header.Get("X-Content-Type-Options") != "nosniff") {
			x.found("markup comes back as %s", kind)
		}
	}
}
