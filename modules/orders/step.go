package orders

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// Step is a check that an order passes after its stock was reserved and before its
// payment begins: a fraud check, an approval, a credit limit.
//
// Steps run one after the other, in the order in which they were added. Each one decides
// once per round of an order; a reopened order begins a new round (SPEC D8, D9).
type Step struct {
	// Name identifies the step in orders, events and dead letters: lower-case letters,
	// digits and hyphens. Orders keep it, so it never changes.
	Name string
	// Check decides about an order, outside any transaction. It is called again with the
	// same key after an error, and after a crash before its verdict was committed; two
	// nodes may call it at the same time. The first verdict that is committed counts.
	//
	// An error is retried with a backoff. After the last attempt the order is held, and a
	// dead letter waits for an administrator. queue.Snooze marks an error as an outage:
	// the attempt does not count. queue.Permanent marks one that a retry cannot fix.
	Check func(ctx context.Context, r StepRequest) (Verdict, error)
}

// StepRequest is what a step decides about.
type StepRequest struct {
	Step string
	// Key is "<order>:<round>:<step>". It is the same for each attempt, and for no other
	// order, round or step, so a service can use it as an idempotency key.
	Key string
	// Round is 1, and one more after each time that the order was reopened.
	Round int
	// Order is the order as it was committed before the request, without AllowedActions, which
	// depend on a caller.
	Order Order
}

// Verdict is the decision of a step. Continue, Fail and Hold construct it.
type Verdict = lifecycle.Verdict

// VerdictKind is what a step decides.
type VerdictKind = lifecycle.VerdictKind

// The closed set of verdicts.
const (
	VerdictContinue = lifecycle.VerdictContinue
	VerdictFail     = lifecycle.VerdictFail
	VerdictHold     = lifecycle.VerdictHold
)

// Limits of a verdict.
const (
	MaxCode   = 64  // bytes
	MaxReason = 500 // characters
)

// CheckVerdict returns an error unless the verdict can be recorded: its kind exists, a failure
// has a code in kebab-case, and a failure or a hold has a reason of 1 to MaxReason characters,
// none of them a control character.
func CheckVerdict(v Verdict) error {
	switch v.Kind {
	case VerdictContinue:
		return nil
	case VerdictHold:
		return checkReason(v.Reason)
	case VerdictFail:
		if len(v.Code) > MaxCode || !StepName.MatchString(v.Code) {
			return fmt.Errorf("the code of the verdict is not kebab-case, such as fraud-suspected, of at most %d bytes", MaxCode)
		}
		return checkReason(v.Reason)
	default:
		return errors.New("the verdict is neither continue, fail nor hold")
	}
}

// checkReason refuses control characters. NUL is one of them, which PostgreSQL cannot store.
func checkReason(reason string) error {
	n := utf8.RuneCountInString(reason)
	if strings.TrimSpace(reason) == "" || n > MaxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		return fmt.Errorf("the reason of the verdict does not have 1 to %d characters, none of them a control character", MaxReason)
	}
	return nil
}

// Continue lets processing go on.
func Continue() Verdict { return Verdict{Kind: VerdictContinue} }

// Fail ends the order as FAILED and returns its stock. The code is stable and in
// kebab-case, such as fraud-suspected; the reason is a sentence. Both are shown to the
// customer.
func Fail(code, reason string) Verdict {
	return Verdict{Kind: VerdictFail, Code: code, Reason: reason}
}

// Hold puts the order ON_HOLD until a person completes the step. The order keeps its stock. The
// reason is a sentence and is shown to the customer.
func Hold(reason string) Verdict { return Verdict{Kind: VerdictHold, Reason: reason} }

// Manual is a step that holds every order until a person completes it.
func Manual(name string) Step {
	return Step{Name: name, Check: func(context.Context, StepRequest) (Verdict, error) {
		return Hold("The step " + name + " must be completed."), nil
	}}
}

// stepNames are the configured steps, in their order; nil if there is none.
func (m *Module) stepNames() (names []string) {
	for _, s := range m.steps {
		names = append(names, s.Name)
	}
	return names
}

// UseSteps sets the steps before payment. It is called once, before anything runs: steps may
// belong to modules that are constructed after this one.
func (m *Module) UseSteps(steps []Step) { m.steps = steps }

// StepName is the form of a step's name.
var StepName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
