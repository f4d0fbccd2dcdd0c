package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/httpstep"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// WithStep adds a step that every order passes after its stock was reserved and before its
// payment begins. Orders keep the name, so it never changes. A step that needs the database
// belongs to a module: see HasSteps.
//
// Steps run one after the other: those of the options in their order, then those of the
// modules, then those of STEPS_BEFORE_PAYMENT.
func WithStep(step orders.Step) Option {
	return func(e *extensions) { e.steps = append(e.steps, addedStep{step, "WithStep"}) }
}

// maxSteps bounds what each order has to pass. A job has 20 seconds for all of them.
const maxSteps = 16

// addedStep is a step with its origin, which errors name.
type addedStep struct {
	orders.Step
	from string
}

// checkSteps finds what is wrong with steps that follow others.
func checkSteps(before, list []addedStep) error {
	var errs []error
	for i, s := range list {
		earlier := slices.Concat(before, list[:i])
		switch {
		case !orders.StepName.MatchString(s.Name):
			errs = append(errs, fmt.Errorf("%s: step %q: a name is in lower-case letters and digits, with single hyphens between", s.from, s.Name))
		case slices.Contains(lifecycle.OwnSteps, s.Name):
			errs = append(errs, fmt.Errorf("%s: step %q: every order has a step of that name already", s.from, s.Name))
		case slices.ContainsFunc(earlier, func(e addedStep) bool { return e.Name == s.Name }):
			errs = append(errs, fmt.Errorf("%s: step %q: there are two of that name", s.from, s.Name))
		case s.Check == nil:
			errs = append(errs, fmt.Errorf("%s: step %q: its Check is nil", s.from, s.Name))
		}
	}
	return errors.Join(errs...)
}

// steps are those of the options, the modules and the settings. It is called after the modules
// were constructed.
func (n *node) steps() ([]orders.Step, error) {
	later, err := n.moduleSteps()
	configured, wrong := n.configuredSteps()
	if err := errors.Join(err, wrong); err != nil {
		return nil, err
	}
	later = append(later, configured...)
	if err := checkSteps(n.added.steps, later); err != nil {
		return nil, err
	}
	all := slices.Concat(n.added.steps, later)
	if len(all) > maxSteps {
		return nil, fmt.Errorf("there are %d steps before payment, more than %d", len(all), maxSteps)
	}
	steps := make([]orders.Step, len(all))
	for i, s := range all {
		steps[i] = s.Step
	}
	return steps, nil
}

func (n *node) moduleSteps() (list []addedStep, err error) {
	var errs []error
	for _, m := range n.modules {
		h, ok := m.(HasSteps)
		if !ok {
			continue
		}
		errs = append(errs, safely(m, func() {
			for _, s := range h.Steps() {
				list = append(list, addedStep{s, "module " + m.Name()})
			}
		}))
	}
	return list, errors.Join(errs...)
}

// configuredSteps makes the steps of STEPS_BEFORE_PAYMENT.
func (n *node) configuredSteps() (list []addedStep, err error) {
	const from = "STEPS_BEFORE_PAYMENT"
	var (
		secret signature.Secret
		watch  *stepWatch
	)
	for _, s := range n.cfg.Steps {
		if s.Manual {
			list = append(list, addedStep{orders.Manual(s.Name), from})
			continue
		}
		if watch == nil {
			if secret, err = signature.ParseSecret(n.cfg.StepsSecret.Reveal()); err != nil {
				return nil, fmt.Errorf("STEPS_SECRET: %w", err)
			}
			watch = newStepWatch(n.registry, n.log)
		}
		list = append(list, addedStep{httpstep.New(httpstep.Options{
			Name: s.Name, URL: s.URL.Reveal(), Secret: secret, UserAgent: "Orderflow/" + versionOf(), Tracers: n.tracers,
			Breaker: breaker.Options{OnChange: watch.changed}, Observe: watch.observe(s.Name),
		}), from})
	}
	return list, nil
}

// stepWatch publishes how the services of HTTP steps are.
type stepWatch struct {
	open    *prometheus.GaugeVec
	seconds *prometheus.HistogramVec
	log     *slog.Logger
}

func newStepWatch(r prometheus.Registerer, log *slog.Logger) *stepWatch {
	w := &stepWatch{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_step_breaker_open", Help: "1 while the service of a step is not asked because it does not answer."}, []string{"step"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "orderflow_step_seconds", Help: "How long the services of steps took, by step and outcome: a verdict or error.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 11)}, []string{"step", "outcome"}),
		log: log,
	}
	r.MustRegister(w.open, w.seconds)
	return w
}

// observe shows a step from the start on, also before its first request.
func (w *stepWatch) observe(step string) func(outcome string, took time.Duration) {
	w.open.WithLabelValues(step).Set(0)
	return func(outcome string, took time.Duration) {
		w.seconds.WithLabelValues(step, outcome).Observe(took.Seconds())
	}
}

// changed is for the circuit breakers.
func (w *stepWatch) changed(step, from, to string) {
	open := 0.0
	if to == "open" {
		open = 1
	}
	w.open.WithLabelValues(step).Set(open)
	w.log.LogAttrs(context.Background(), slog.LevelWarn, "step", slog.String("step", step), slog.String("was", from), slog.String("is", to))
}
