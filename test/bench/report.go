package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
)

// report holds the results of a run. They are printed during the run, and written as JSON at the
// end.
type report struct {
	Facts   map[string]string `json:"facts"`
	Results []*Result         `json:"results"`

	print *printer
}

// Result is one measurement. Values that do not apply are absent.
type Result struct {
	Part    string   `json:"part"`
	What    string   `json:"what"`
	Clients int      `json:"clients,omitempty"`
	Rate    float64  `json:"perSecond,omitempty"`
	Latency *Latency `json:"latencyMs,omitempty"`
	Value   *float64 `json:"value,omitempty"`
	Unit    string   `json:"unit,omitempty"`
	Failed  int      `json:"failed,omitempty"`
}

func newReport(out io.Writer) *report {
	return &report{Facts: map[string]string{}, print: &printer{out: out, failed: map[string]*failure{}}}
}

func (r *report) fact(name, value string) {
	r.Facts[name] = value
	r.print.line("%-20s %s", name, value)
}

// step records a measurement of many requests.
func (r *report) step(part, what string, clients int, s step) {
	r.Results = append(r.Results, &Result{
		Part: part, What: what, Clients: clients, Rate: s.rate, Latency: &s.latency, Failed: s.failed,
	})
	many, rate := "", ""
	if clients > 0 {
		many = fmt.Sprint(clients)
	}
	if s.rate > 0 {
		rate = fmt.Sprintf("%.0f", s.rate)
	}
	l := s.latency
	r.print.line("%-50s %7s %9s %9.2f %9.2f %9.2f %9.2f %7d", what, many, rate, l.P50, l.P95, l.P99, l.Max, s.failed)
}

// value records a single number.
func (r *report) value(part, what string, clients int, value float64, unit string) {
	r.Results = append(r.Results, &Result{Part: part, What: what, Clients: clients, Value: &value, Unit: unit})
	many := ""
	if clients > 0 {
		many = fmt.Sprint(clients)
	}
	r.print.line("%-50s %7s %9s  %s", what, many, digits(value), unit)
}

// digits formats a number with three significant digits, or more for large integers.
func digits(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (r *report) title(format string, args ...any) { r.print.line("\n"+format, args...) }

// columns prints the header of a list of steps.
func (r *report) columns() {
	r.print.line("%-50s %7s %9s %9s %9s %9s %9s %7s", "", "clients", "per s", "p50 ms", "p95", "p99", "max", "failed")
}

// save writes all results as JSON.
func (r *report) save(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o600)
}

// printer writes lines and counts failures.
type printer struct {
	out io.Writer

	mu     sync.Mutex
	failed map[string]*failure
}

// failure is a kind of error with one example of it.
type failure struct {
	count  int
	sample string
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// fail counts an error; errors of the same kind are counted together.
func (p *printer) fail(kind, sample string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	f := p.failed[kind]
	if f == nil {
		f = &failure{sample: sample}
		p.failed[kind] = f
	}
	f.count++
}

// failures prints the failures and reports whether there were any.
func (p *printer) failures() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, kind := range slices.Sorted(maps.Keys(p.failed)) {
		f := p.failed[kind]
		p.line("\nFAILED %d times: %s\n  %s", f.count, kind, f.sample)
	}
	return len(p.failed) > 0
}
