package simulated

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Fault is what goes wrong with a call. It is an error, so that a script can return
// it as well as any other.
type Fault struct {
	Err   error         // what the caller gets instead of the answer
	Lost  bool          // the effect happens all the same; only its answer is lost
	Hang  bool          // the caller hears nothing until its context ends
	Delay time.Duration // what the caller hears comes so late
}

func (f Fault) Error() string {
	if f.Err == nil {
		return "simulated: the answer is late or lost"
	}
	return f.Err.Error()
}

func (f Fault) Unwrap() error { return f.Err }

// happens tells whether the call has its effect.
func (f Fault) happens() bool { return f.Lost || f.Err == nil && !f.Hang }

// late waits for as long as the fault wants, and returns what it puts in place of
// the answer: nil for nothing.
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

// trait is how a payment misbehaves, "" for not at all.
type trait string

const (
	retry        trait = "retry"        // the first two tries of each call fail
	down         trait = "down"         // it is never authorised; what may yet come can be voided
	timeout      trait = "timeout"      // each call happens, but the first try never hears so
	slow         trait = "slow"         // each answer takes 2 s
	captureFails trait = "captureFails" // rejected
	voidFails    trait = "voidFails"    // rejected
	refundFails  trait = "refundFails"  // rejected
	declines     trait = "declines"     // by the code that belongs to the method or amount
)

// Methods are Stripe's test cards for a decline, with and without the brand that
// Stripe has in some names (pm_card_visa_chargeDeclined), and ours for what Stripe
// cannot show. Every other method is paid.
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

// amounts show the same as methods do, whatever the currency, when the method shows
// nothing. The first ones are the ends of the numbers of Stripe's test cards:
// 4000 0000 0000 9995 has insufficient funds, and so has 4,099.95.
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

// token is what a payment shows: its method or, when that is an ordinary one, its amount.
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

// decline says why a payment is refused. A misspelt token of ours is, too: paid
// without a word, it would prove nothing.
func decline(a payments.Authorization) *payments.Declined {
	name := token(a)
	if d, ok := declineCodes[name]; ok {
		return &d
	}
	return &payments.Declined{Code: "resource-missing", Detail: "There is no payment method " + name + "."}
}

// counts tells whether it matters how often a call was tried.
func (t trait) counts() bool { return t == retry || t == timeout }

// fault is what a trait does to the nth try of a call.
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
