package lifecycle

import (
	"slices"
	"time"
)

// StepStatus is where an added step stands in the present round of an order.
type StepStatus string

// The closed set of step statuses.
const (
	StepPending StepStatus = "pending" // has not decided yet
	StepPassed  StepStatus = "passed"
	StepFailed  StepStatus = "failed"
	StepHeld    StepStatus = "held"    // holds the order until a person completes the step
	StepSkipped StepStatus = "skipped" // an administrator skipped its dead letter
)

// StepStatuses lists every step status.
var StepStatuses = []StepStatus{StepPending, StepPassed, StepFailed, StepHeld, StepSkipped}

// VerdictKind is what a step decides.
type VerdictKind string

// The closed set of verdicts.
const (
	VerdictContinue VerdictKind = "continue"
	VerdictFail     VerdictKind = "fail"
	VerdictHold     VerdictKind = "hold"
)

// statusAfter is the status of a step after its verdict.
var statusAfter = map[VerdictKind]StepStatus{
	VerdictContinue: StepPassed,
	VerdictFail:     StepFailed,
	VerdictHold:     StepHeld,
}

// Verdict is the decision of a step.
type Verdict struct {
	Kind   VerdictKind
	Code   string // of a failure, in kebab-case
	Reason string
}

// Step is an added step of an order: a check between the reservation of its stock and its
// payment.
type Step struct {
	Name   string
	Status StepStatus
	Code   string // why it failed
	Reason *string
	At     *time.Time // when the status was decided; nil while it is pending
}

// done reports whether the step no longer keeps the order from its payment.
func (s Step) done() bool { return s.Status == StepPassed || s.Status == StepSkipped }

// Step returns an added step of the present round by its name.
func (s State) Step(name string) (Step, bool) {
	i := slices.IndexFunc(s.Steps, func(step Step) bool { return step.Name == name })
	if i < 0 {
		return Step{}, false
	}
	return s.Steps[i], true
}

// NextStep returns the step that must decide now, or "".
func (s State) NextStep() string {
	if s.Deleted || !s.Reserved || s.Status.Meaning().Stock != StockReserving {
		return ""
	}
	for _, step := range s.Steps {
		switch {
		case step.Status == StepPending:
			return step.Name
		case !step.done():
			return ""
		}
	}
	return ""
}

// HoldingStep returns the added step that the order is on hold for, or "": one that decided so,
// or one that ran out of attempts.
func (s State) HoldingStep() string {
	if !s.Status.Meaning().Suspended {
		return ""
	}
	for _, step := range s.Steps {
		if step.Status == StepHeld || step.Status == StepPending && step.Name == s.Stalled {
			return step.Name
		}
	}
	return ""
}

// FailedStep returns the step for which an order must fail that has not failed yet.
func (s State) FailedStep() (Step, bool) {
	if s.Status.Meaning().Stock != StockReserving {
		return Step{}, false
	}
	i := slices.IndexFunc(s.Steps, func(step Step) bool { return step.Status == StepFailed })
	if i < 0 {
		return Step{}, false
	}
	return s.Steps[i], true
}

// stepsDone reports whether no step keeps the order from its payment.
func (s State) stepsDone() bool {
	return !slices.ContainsFunc(s.Steps, func(step Step) bool { return !step.done() })
}

// pendingSteps are the steps of a round at its start.
func pendingSteps(names []string) (list []Step) {
	for _, name := range names {
		list = append(list, Step{Name: name, Status: StepPending})
	}
	return list
}

// withStep returns a copy of the steps in which one is replaced. States share their slices.
func withStep(list []Step, changed Step) []Step {
	list = slices.Clone(list)
	for i := range list {
		if list[i].Name == changed.Name {
			list[i] = changed
		}
	}
	return list
}
