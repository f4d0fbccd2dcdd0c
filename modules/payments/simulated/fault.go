package simulated

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Fault is an injected fault of a call. It implements error, so that a script can return it.
type Fault struct {
	Err   error         // returned in place of the result
	Lost  bool          // the effect happens; only the response is lost
	Hang  bool          // the call does not return before its context ends
	Delay time.Duration // delays the response
}

// Error returns the text of Err, or one for a fault without Err.
func (f Fault) Error() string {
	if f.Err == nil {
		return "simulated: the answer is late or lost"
	}
	return f.Err.Error()
}

// Unwrap returns Err, which may be nil.
func (f Fault) Unwrap() error { return f.Err }

// happens reports whether the call has its effect.
func (f Fault) happens() bool { return f.Lost || f.Err == nil && !f.Hang }

// late waits for the fault's delay and returns the error in place of the result, or nil.
func (f Fault) late(ctx context.Context) error {
	if f.Delay <= 0 && !f.Hang {
		return f.Err
	}
	var rings <-chan time.Time
	if !f.Hang {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		rings = timer.C
	}
	select {
	case <-rings:
		return f.Err
	case <-ctx.Done():
		return fmt.Errorf("simulated: no answer: %w", ctx.Err())
	}
}

var (
	errLine = errors.New("simulated: the line was cut, try again")
	errDown = errors.New("simulated: no response")
)

// trait is the simulated fault of a payment; empty for none.
type trait string

const (
	retry        trait = "retry"        // the first two attempts of each call fail
	down         trait = "down"         // it is never authorised; the outcome stays unknown until it is voided
	timeout      trait = "timeout"      // each call has its effect, but the first attempt gets no response
	slow         trait = "slow"         // each response takes 2 s
	captureFails trait = "captureFails" // rejected
	voidFails    trait = "voidFails"    // rejected
	refundFails  trait = "refundFails"  // rejected
	declines     trait = "declines"     // with the code of the method or amount
)

// Methods are Stripe's test cards for declines, with and without the brand that some names
// contain (pm_card_visa_chargeDeclined), and additional ones for faults that Stripe cannot
// simulate. All other methods succeed.
const (
	card = "pm_card_"
	ours = "pm_sim_"
)

var traits = map[string]trait{
	ours + "retry": retry, ours + "down": down, ours + "timeout": timeout, ours + "slow": slow,
	ours + "captureFails": captureFails, ours + "voidFails": voidFails, ours + "refundFails": refundFails,
}

var declineCodes = map[string]payments.Declined{
	card + "chargeDeclined":                      {Code: "generic-decline", Detail: "Your card was declined."},
	card + "chargeDeclinedInsufficientFunds":     {Code: "insufficient-funds", Detail: "Your card has insufficient funds."},
	card + "chargeDeclinedLostCard":              {Code: "lost-card", Detail: "Your card was declined."},
	card + "chargeDeclinedStolenCard":            {Code: "stolen-card", Detail: "Your card was declined."},
	card + "chargeDeclinedExpiredCard":           {Code: "expired-card", Detail: "Your card has expired."},
	card + "chargeDeclinedIncorrectCvc":          {Code: "incorrect-cvc", Detail: "Your card's security code is incorrect."},
	card + "chargeDeclinedProcessingError":       {Code: "processing-error", Detail: "An error occurred while processing your card."},
	card + "chargeDeclinedFraudulent":            {Code: "fraudulent", Detail: "Your card was declined."},
	card + "chargeDeclinedVelocityLimitExceeded": {Code: "card-velocity-exceeded", Detail: "Your card was declined for making repeated attempts too frequently."},
	card + "authenticationRequired":              {Code: payments.CodeAuthentication, Detail: "Your card requires authentication."},
}

// amounts simulate the same faults in any currency if the method is not a test token. The first
// ones are the last digits of Stripe's test cards: 4000 0000 0000 9995 has insufficient funds,
// and so has 4,099.95.
var amounts = map[int64]string{
	400002: card + "chargeDeclined",
	409995: card + "chargeDeclinedInsufficientFunds",
	409987: card + "chargeDeclinedLostCard",
	409979: card + "chargeDeclinedStolenCard",
	400069: card + "chargeDeclinedExpiredCard",
	400127: card + "chargeDeclinedIncorrectCvc",
	406975: card + "chargeDeclinedVelocityLimitExceeded",
	403184: card + "authenticationRequired",

	400119: ours + "retry",
	400500: ours + "down",
	400504: ours + "timeout",
	400200: ours + "slow",
	400301: ours + "captureFails",
	400302: ours + "voidFails",
	400303: ours + "refundFails",
}

// token returns the test token of a payment: its method or else its amount.
func token(a payments.Authorization) string {
	name := a.Method
	if rest, branded := strings.CutPrefix(name, card+"visa_"); branded {
		name = card + rest
	}
	_, declined := declineCodes[name]
	if declined || strings.HasPrefix(name, ours) {
		return name
	}
	return amounts[a.Amount.Amount]
}

func traitOf(a payments.Authorization) trait {
	name := token(a)
	if t, ok := traits[name]; ok || name == "" {
		return t
	}
	return declines
}

// decline returns why a payment is declined. A misspelt test token is declined as well, because
// a test with it would otherwise succeed without testing anything.
func decline(a payments.Authorization) *payments.Declined {
	name := token(a)
	if d, ok := declineCodes[name]; ok {
		return &d
	}
	return &payments.Declined{Code: "resource-missing", Detail: "There is no payment method " + name + "."}
}

// counts reports whether the number of attempts matters.
func (t trait) counts() bool { return t == retry || t == timeout }

// fault returns the fault of the nth attempt of a call.
func (t trait) fault(call string, n int) Fault {
	switch {
	case t == retry && n <= 2:
		return Fault{Err: errLine}
	case t == down && call == Authorize:
		return Fault{Err: errDown}
	case t == timeout && n == 1:
		return Fault{Lost: true, Hang: true}
	case t == slow:
		return Fault{Delay: 2 * time.Second}
	default:
		return Fault{}
	}
}
