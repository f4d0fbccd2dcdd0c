package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/httpstep"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// stepped is a module with steps.
type stepped struct {
	named
	steps []orders.Step
}

func (m stepped) Steps() []orders.Step { return m.steps }

// broken is a module whose steps panic.
type broken struct{ named }

func (broken) Steps() []orders.Step { panic("no table") }

// All faults of steps are reported together, before the start, with the origin of each step.
func TestWrongSteps(t *testing.T) {
	t.Parallel()
	step := func(name string) Option { return WithStep(orders.Manual(name)) }
	module := func(name string, steps ...string) Option {
		m := stepped{named: named{name: name}}
		for _, s := range steps {
			m.steps = append(m.steps, orders.Manual(s))
		}
		return added(m)[0]
	}
	manual := func(names ...string) (list config.Steps) {
		for _, name := range names {
			list = append(list, config.Step{Name: name, Manual: true})
		}
		return list
	}
	var many []Option
	for i := range 17 {
		many = append(many, step(fmt.Sprint("s", i)))
	}
	for name, row := range map[string]struct {
		options []Option
		steps   config.Steps
		want    []string
	}{
		"nothing":    {nil, nil, nil},
		"good":       {[]Option{step("fraud"), module("a", "credit")}, manual("approval"), nil},
		"names":      {[]Option{step("Fraud"), step("fraud_check"), step(""), module("a", "b--c")}, nil, []string{`WithStep: step "Fraud": a name is`, `WithStep: step "fraud_check"`, `WithStep: step ""`, `module a: step "b--c": a name is`}},
		"reserved":   {[]Option{step("authorize"), module("a", "process", "reserve")}, manual("capture", "void", "refund"), []string{`WithStep: step "authorize": every order has`, `module a: step "process"`, `module a: step "reserve"`, `STEPS_BEFORE_PAYMENT: step "capture"`, `"void"`, `"refund"`}},
		"two":        {[]Option{step("fraud"), step("fraud"), module("a", "fraud"), module("b", "x", "x")}, manual("y", "y", "fraud"), []string{`WithStep: step "fraud": there are two`, `module a: step "fraud": there are two`, `module b: step "x": there are two`, `STEPS_BEFORE_PAYMENT: step "y": there are two`, `STEPS_BEFORE_PAYMENT: step "fraud": there are two`}},
		"no check":   {[]Option{WithStep(orders.Step{Name: "fraud"})}, nil, []string{`WithStep: step "fraud": its Check is nil`}},
		"panic":      {added(broken{named{name: "a"}}), nil, []string{"module a: no table"}},
		"too many":   {many, nil, []string{"there are 17 steps before payment, more than 16"}},
		"no secret":  {nil, config.Steps{{Name: "fraud", URL: "https://fraud.internal"}}, []string{"STEPS_SECRET: is not whsec_"}},
		"everything": {[]Option{step("Fraud"), WithProvider("none", nil)}, manual("void"), []string{`"Fraud"`, `"void"`, `"none"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Config{Issuer: "test", Audience: "test", PaymentProvider: "simulated", Steps: row.steps}

			_, err := newProgram(&cfg, extensionsOf(row.options))

			if (err == nil) != (row.want == nil) {
				t.Fatalf("it says %v", err)
			}
			for _, want := range row.want {
				if strings.Count(err.Error(), want) != 1 {
					t.Errorf("it says\n%v\nand not once\n%s", err, want)
				}
			}
		})
	}
}

// What the settings accept as a name or a secret, the steps accept too: each of the packages
// has its own copy of the two forms, because config imports no module.
//
//nolint:paralleltest // say changes the environment of the process
func TestSettingsOfStepsAgree(t *testing.T) {
	for _, name := range []string{"a", "fraud", "fraud-check", "a1-2b", "", "A", "1a", "a-", "-a", "a--b", "a_b", "a.b", "ä", "a\n"} {
		var steps config.Steps
		err := steps.UnmarshalText([]byte(name + "=manual"))
		if (err == nil) != orders.StepName.MatchString(name) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for size := 22; size <= 66; size++ {
		secret := signature.NewSecret()
		for len(secret) < size {
			secret = append(secret, secret...)
		}
		revealed := secret[:size].Reveal()
		_, err := signature.ParseSecret(revealed)
		said := say(t, map[string]string{"PORT": "1", "STEPS_SECRET": revealed}, "")
		if (err == nil) == strings.Contains(said, "STEPS_SECRET") {
			t.Errorf("%d bytes: %v, %s", size, err, said)
		}
	}
}

// The order is that of the options, the modules, the settings. A service that fails is shown in
// metrics and in the log.
func TestSteps(t *testing.T) {
	t.Parallel()
	var header http.Header
	answer := http.StatusOK
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer)
		_, _ = io.WriteString(w, `{"verdict":"continue"}`)
	}))
	t.Cleanup(service.Close)
	secret := signature.NewSecret()
	cfg := &config.Config{StepsSecret: config.Secret(secret.Reveal()), Steps: config.Steps{
		{Name: "fraud", URL: config.Secret(service.URL)}, {Name: "approval", Manual: true}, {Name: "credit", URL: config.Secret(service.URL)},
	}}
	var log bytes.Buffer
	n := newNode(cfg, usual, slog.New(slog.NewTextHandler(&log, nil)), noop.NewTracerProvider())
	n.added = extensionsOf([]Option{WithStep(orders.Manual("first")), WithStep(orders.Manual("second"))})
	n.modules = []Module{stepped{named{name: "a"}, []orders.Step{orders.Manual("third")}}, named{name: "b"}}

	steps, err := n.steps()
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, s := range steps {
		names = append(names, s.Name)
	}
	if want := []string{"first", "second", "third", "fraud", "approval", "credit"}; !slices.Equal(names, want) {
		t.Fatalf("the order is %q", names)
	}
	check := func(i int) error {
		_, err := steps[i].Check(context.WithoutCancel(t.Context()), orders.StepRequest{Step: names[i], Key: "x:1:" + names[i], Round: 1})
		return err
	}
	if v, err := steps[4].Check(t.Context(), orders.StepRequest{}); err != nil || v.Kind != orders.VerdictHold {
		t.Errorf("the manual step: %+v, %v", v, err)
	}
	if err := check(3); err != nil || header.Get("User-Agent") != "Orderflow/"+versionOf() || header.Get("Webhook-Signature") == "" {
		t.Errorf("the service: %v, %v", err, header)
	}
	answer = http.StatusInternalServerError
	for range 10 {
		if err := check(3); err == nil {
			t.Error("a failure is a verdict")
		}
	}
	if wait, ok := queue.IsSnooze(check(3)); !ok || wait <= 0 || wait > httpstep.Timeout {
		t.Errorf("the wait is %v, %v", wait, ok)
	}
	answer = http.StatusOK
	if err := check(5); err != nil {
		t.Errorf("the breaker of another step is open: %v", err)
	}

	for name, want := range map[string]float64{
		"orderflow_step_breaker_open step:fraud":             1,
		"orderflow_step_breaker_open step:credit":            0,
		"orderflow_step_seconds outcome:continue step:fraud": 1,
		"orderflow_step_seconds outcome:error step:fraud":    10,
	} {
		if got, ok := gathered(t, n)[name]; !ok || got != want {
			t.Errorf("%s is %v in %v", name, got, gathered(t, n))
		}
	}
	if !strings.Contains(log.String(), "msg=step step=fraud was=closed is=open") || strings.Contains(log.String(), "127.0.0.1") {
		t.Errorf("the log is %s", log.String())
	}
}

// gathered are the node's metrics: the values of gauges and the counts of histograms.
func gathered(t *testing.T, n *node) map[string]float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + ":" + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
