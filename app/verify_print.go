package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

func (r *report) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return r.json(out)
	}
	var b strings.Builder
	for _, f := range r.findings {
		if f.broken == 0 {
			fmt.Fprintf(&b, "ok      %-24s %s (%s)\n", f.Name, f.Says, f.Spec)
			continue
		}
		fmt.Fprintf(&b, "BROKEN  %-24s %s (%s): %d\n", f.Name, f.Says, f.Spec, f.broken)
		for _, s := range f.samples {
			fmt.Fprintf(&b, "          %s: %s\n", s.Subject, s.Detail)
		}
		if more := f.broken - len(f.samples); more > 0 {
			fmt.Fprintf(&b, "          and %d more\n", more)
		}
	}
	verdict := "all hold"
	if r.Broken > 0 {
		verdict = fmt.Sprintf("%d broken", r.Broken)
	}
	fmt.Fprintf(&b, "%d laws, %d orders, %s: %s\n", len(r.findings), r.orders, r.took.Round(time.Millisecond), verdict)
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *report) json(out io.Writer) error {
	type lawJSON struct {
		Name     string   `json:"name"`
		Says     string   `json:"says"`
		Spec     string   `json:"spec"`
		Broken   int      `json:"broken"`
		Seconds  float64  `json:"seconds"` // 0 for the laws of histories, which are checked together
		Subjects []sample `json:"subjects"`
	}
	doc := struct {
		OK      bool      `json:"ok"`
		Orders  int       `json:"orders"`
		Seconds float64   `json:"seconds"`
		Laws    []lawJSON `json:"laws"`
	}{OK: r.Broken == 0, Orders: r.orders, Seconds: r.took.Seconds()}
	for _, f := range r.findings {
		doc.Laws = append(doc.Laws, lawJSON{f.Name, f.Says, f.Spec, f.broken, f.took.Seconds(), append([]sample{}, f.samples...)})
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}
