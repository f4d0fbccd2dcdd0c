package main

import (
	"bytes"
	"strings"
	"testing"
)

// quick are attacks that take little time, and against which the product holds.
const quick = "missing-headers,public-,foreign-origin,forged-tokens,token-places,reused-ticket,request-smuggling,compressed-bodies,odd-parameters," +
	"secrets-in,unsafe-settings,database-role,redirected-deliveries,key-webhook-scope,mass-assignment,account-of-another,guesses-of-one-address," +
	"replay-after-demotion,deleted-order,no-record,oversold-stock,outlive-revoked-key"

// A4, A5, A6, A8, B2, C3, F2, F7, F10, F11, F12: the program runs against a private server, and these attacks do not succeed.
func TestQuickAttacksAreHeld(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"-only", quick}, &out)
	t.Log("\n" + out.String())
	if err != nil {
		t.Error(err)
	}
	names := strings.Split(quick, ",")
	if rows := strings.Count(out.String(), "\n"+held+" "); rows < len(names) {
		t.Errorf("%d attacks were held of %d or more", rows, len(names))
	}
}

// Each attack has a name of its own, and says what it is.
func TestEntriesAreComplete(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, a := range attacks() {
		if names[a.name] {
			t.Errorf("%s is there twice", a.name)
		}
		names[a.name] = true
		if !strings.Contains(a.refs, "ASVS") && !strings.Contains(a.refs, "API") && !strings.Contains(a.refs, "CWE") {
			t.Errorf("%s cites no requirement: %q", a.name, a.refs)
		}
		if !strings.HasSuffix(a.does, ".") || strings.Contains(strings.TrimSuffix(a.does, "."), ". ") {
			t.Errorf("%s is not described by one sentence: %q", a.name, a.does)
		}
		if a.do == nil {
			t.Errorf("%s does nothing", a.name)
		}
	}
}

// A trial that cannot be carried out must not pass for one that the server has withstood.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		want string
		do   func(x *trial)
	}{
		{held, func(*trial) {}},
		{succeeded, func(x *trial) { x.found("it") }},
		{succeeded, func(x *trial) { x.found("it"); x.fatal("and then") }},
		{failed, func(x *trial) { x.fatal("it") }},
		{failed, func(*trial) { panic("it") }},
		{failed, func(x *trial) {
			x.atEnd(func() {})
			x.want(200, x.callerFrom(&node{base: "http://127.0.0.1:1"}, nil), "GET", "/", nil)
		}},
		{skipped, func(x *trial) { x.skip("it") }},
	} {
		r := &report{out: &bytes.Buffer{}}
		r.add((&lab{}).try(t.Context(), attack{name: "x", do: row.do}))
		if got := r.Results[0].Verdict; got != row.want || r.bad() != (got == succeeded || got == failed) {
			t.Errorf("%s, bad is %t; must be %s", got, r.bad(), row.want)
		}
	}
	for need, want := range map[need]string{readOnly: held, writes: skipped, private: skipped} {
		l := &lab{opt: options{url: "http://127.0.0.1:1"}}
		if got := l.try(t.Context(), attack{need: need, do: func(*trial) {}}).Verdict; got != want {
			t.Errorf("need %d of a server at a URL: %s", need, got)
		}
	}
}

// Spreadsheets see formulas where a parser of CSV sees none.
func TestCells(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text      string
		separator rune
		want      string
		formula   bool
	}{
		{`a,"x;=1+1",b`, ',', "a|x;=1+1|b", false},
		{`a,"x;=1+1",b`, ';', `a,"x|=1+1",b`, true},
		{`"a","x;'=1+1"`, ';', `a,"x|'=1+1"`, false},
		{`"a""b",c`, ',', `a"b|c`, false},
		{`" =1+1"`, ',', ` =1+1`, true},
		{"\"\ufeff＝1+1\"", ',', "\ufeff＝1+1", true},
	} {
		list := cells(row.text, row.separator)
		formula := false
		for _, cell := range list {
			formula = formula || isFormula(cell)
		}
		if got := strings.Join(list, "|"); got != row.want || formula != row.formula {
			t.Errorf("%s at %q: %s, a formula: %t", row.text, row.separator, got, formula)
		}
	}
}

// A wrong flag is named, and no attack is run.
func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, want string }{
		{"-only missing-headers,nothing", `no attack "nothing"`},
		{"-destructive", "for a server at -url"},
		{"-admin-email root@attack.example", "for a server at -url"},
		{"-url http://127.0.0.1:1 -binary x", "exclude each other"},
		{"-url ftp://x", "not a URL"},
		{"-step 0s", "above zero"},
		{"-memory 0", "above zero"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(row.args), &out); err == nil || !strings.Contains(err.Error(), row.want) || out.Len() > 0 {
			t.Errorf("%s: %v, printed %q", row.args, err, out.String())
		}
	}
}
