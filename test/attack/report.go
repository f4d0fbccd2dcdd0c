package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// result is a row of the table.
type result struct {
	Name    string  `json:"name"`
	Refs    string  `json:"references"`
	Does    string  `json:"description"`
	Verdict string  `json:"verdict"`
	Why     string  `json:"reason,omitempty"`
	Figures string  `json:"figures,omitempty"`
	Seconds float64 `json:"seconds"`
	Load    string  `json:"load"` // load average of the machine over a minute, at the end
}

// report holds the rows. They are printed during the run.
type report struct {
	Target  string   `json:"target"`
	Results []result `json:"results"`
	out     io.Writer
}

func (r *report) begin() {
	fmt.Fprintf(r.out, "%s\n\n%-9s  %-32s %6s %6s  %s\n", r.Target, "VERDICT", "ATTACK", "SEC", "LOAD", "REFERENCES")
}

func (r *report) add(row result) {
	r.Results = append(r.Results, row)
	fmt.Fprintf(r.out, "%-9s  %-32s %6.1f %6s  %s\n%11s%s\n", row.Verdict, row.Name, row.Seconds, row.Load, row.Refs, "", row.Does)
	for _, text := range []string{row.Figures, row.Why} {
		if text != "" {
			fmt.Fprintf(r.out, "%11s= %s\n", "", strings.ReplaceAll(text, "\n", "\n             "))
		}
	}
}

func (r *report) count(verdict string) (n int) {
	for _, row := range r.Results {
		if row.Verdict == verdict {
			n++
		}
	}
	return n
}

func (r *report) end() {
	fmt.Fprintf(r.out, "\n%d attacks: %d held, %d succeeded, %d skipped, %d failed to run\n",
		len(r.Results), r.count(held), r.count(succeeded), r.count(skipped), r.count(failed))
	for _, verdict := range []string{succeeded, failed} {
		for _, row := range r.Results {
			if row.Verdict == verdict {
				fmt.Fprintf(r.out, "  %-9s %s: %s\n", verdict, row.Name, row.Why)
			}
		}
	}
}

// bad reports whether an attack succeeded or failed to run.
func (r *report) bad() bool {
	return slices.ContainsFunc(r.Results, func(row result) bool { return row.Verdict == succeeded || row.Verdict == failed })
}

// save writes all results as JSON.
func (r *report) save(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o600)
}
