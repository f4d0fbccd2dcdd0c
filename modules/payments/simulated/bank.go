// Package simulated is an in-process payment provider for development and tests (SPEC D3).
//
// The result of a call depends only on its key, amount and method, as with the test cards of a
// real provider. A reference contains everything that later calls need, so payments survive a
// restart without storage. In return it trusts references of payments that it has not seen.
// With a script or a journal, for tests, it stores everything and is as strict as a bank.
package simulated

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// The calls by name, as scripts and journals see them.
const (
	Authorize = "authorize"
	Capture   = "capture"
	Void      = "void"
	Refund    = "refund"
)

// Options for a bank. The zero value is for development and load tests: a call takes
// microseconds, memory is bounded, and only the test tokens fail.
type Options struct {
	// Script injects a fault into a call. n is the number of calls with that key, including this
	// one. nil injects nothing; a Fault describes the fault; any other error is returned without
	// an effect. It takes precedence over the faults of test methods and amounts. It may block,
	// for example until a test sends a signal; other calls continue meanwhile.
	Script func(call, key string, n int) error
	// Journal is called once for every effect, in the order of the effects of a payment. It must
	// not call the bank.
	Journal func(Effect)
	// Away simulates an outage: while it returns more than zero, every call fails with
	// *payments.Unavailable and this wait.
	Away func() time.Duration
	// NoTestTokens declines test methods and ignores test amounts, because a customer who pays
	// with one that fails would otherwise open the circuit breaker for all customers.
	NoTestTokens bool
	// Remember keeps all payments and effects in memory. Script and Journal imply it.
	Remember bool
}

// Effect is a movement of money.
type Effect struct {
	Kind      string      `json:"kind"` // authorize, capture, void, refund
	Key       string      `json:"key"`
	Reference string      `json:"reference"` // of the payment, also for a refund
	Amount    money.Money `json:"amount"`
	At        time.Time   `json:"at"`
}

// Bank implements payments.Provider.
type Bank struct {
	o    Options
	all  sync.Map                     // payments by id, with Remember
	keys sync.Map                     // requests by key, with Remember
	kept *lru.Cache[string, *payment] // without Remember, only payments with faults and voided ones

	mu      sync.Mutex
	effects []Effect
}

// kept is the maximum number of payments without Remember. They are only needed for minutes:
// for the number of calls, and for authorisations that arrive after their void.
const kept = 1 << 16

// NewBank returns a bank.
func NewBank(o Options) *Bank {
	o.Remember = o.Remember || o.Script != nil || o.Journal != nil
	cache, err := lru.New[string, *payment](kept)
	if err != nil {
		panic(err) // fails only for a size below one
	}
	return &Bank{o: o, kept: cache}
}

// Name implements payments.Provider.
func (b *Bank) Name() string { return "simulated" }

// NeedsMethod implements payments.Provider. Payments without a method succeed.
func (b *Bank) NeedsMethod() bool { return false }

// Authorize implements payments.Provider.
func (b *Bank) Authorize(ctx context.Context, a payments.Authorization) (string, error) {
	ref := b.refer(a)
	q := ask{call: Authorize, key: a.Key, ref: ref, said: a}
	return b.serve(ctx, q, func(p *payment) answer { return p.authorize(ref, a) })
}

// Capture implements payments.Provider.
func (b *Bank) Capture(ctx context.Context, c payments.Capture) error {
	ref, err := parse(c.Reference)
	if err != nil {
		return err
	}
	q := ask{call: Capture, key: c.Key, ref: ref, said: c}
	_, err = b.serve(ctx, q, func(p *payment) answer { return p.capture(ref, c.Amount) })
	return err
}

// Void implements payments.Provider.
func (b *Bank) Void(ctx context.Context, v payments.Void) error {
	ref := b.refer(v.Of)
	if v.Reference != "" {
		var err error
		if ref, err = parse(v.Reference); err != nil {
			return err
		}
	}
	// The same void may be repeated with the reference.
	q := ask{call: Void, key: v.Key, ref: ref, said: ref.id}
	_, err := b.serve(ctx, q, func(p *payment) answer { return p.void(ref, v.Reference != "") })
	return err
}

// Refund implements payments.Provider.
func (b *Bank) Refund(ctx context.Context, r payments.Refund) (string, error) {
	ref, err := parse(r.Reference)
	if err != nil {
		return "", err
	}
	q := ask{call: Refund, key: r.Key, ref: ref, said: r}
	return b.serve(ctx, q, func(p *payment) answer { return p.refund(ref, r.Key, r.Amount) })
}

// Effects returns all effects, with Remember.
func (b *Bank) Effects() []Effect {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Effect{}, b.effects...)
}

// ask is the state of one call.
type ask struct {
	call, key string
	ref       reference
	said      any // the request of the key; comparable
}

// serve determines the fault of a call, executes its effect once, and returns the result or the
// fault. It holds no lock while it waits.
func (b *Bank) serve(ctx context.Context, q ask, act func(*payment) answer) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("simulated %s: %w", q.call, err)
	}
	if b.o.Away != nil {
		if wait := b.o.Away(); wait > 0 {
			return "", payments.NewAway(wait, nil)
		}
	}
	if !b.sameAsBefore(q) {
		return "", &payments.Rejected{Code: payments.CodeMismatch, Detail: "The key was used for another call."}
	}

	p := b.payment(q)
	fault := b.faultOf(q, p)
	if !fault.happens() {
		return "", fault.late(ctx)
	}
	done := p.once(q, act, b.journal)
	if err := fault.late(ctx); err != nil {
		return "", err
	}
	return done.reference, done.err
}

// faultOf returns the fault of the script or else of the payment's test token.
func (b *Bank) faultOf(q ask, p *payment) Fault {
	if b.o.Script == nil && !q.ref.trait.counts() {
		return q.ref.trait.fault(q.call, 1)
	}
	n := p.count(q.key)
	if b.o.Script != nil {
		if err := b.o.Script(q.call, q.key, n); err != nil {
			if fault, ok := errors.AsType[Fault](err); ok {
				return fault
			}
			return Fault{Err: err}
		}
	}
	return q.ref.trait.fault(q.call, n)
}

func (b *Bank) sameAsBefore(q ask) bool {
	if !b.o.Remember {
		return true
	}
	before, _ := b.keys.LoadOrStore(q.key, q.said)
	return before == q.said
}

// payment returns the state of a payment. Without Remember, the state exists only for the call
// unless it has to be kept.
func (b *Bank) payment(q ask) *payment {
	if b.o.Remember {
		p, _ := b.all.LoadOrStore(q.ref.id, &payment{})
		return p.(*payment)
	}
	if p, ok := b.kept.Get(q.ref.id); ok {
		return p
	}
	p := &payment{}
	if q.call == Void || q.ref.trait.counts() {
		if before, ok, _ := b.kept.PeekOrAdd(q.ref.id, p); ok {
			return before
		}
	}
	return p
}

func (b *Bank) journal(e Effect) {
	if !b.o.Remember {
		return
	}
	e.At = time.Now().UTC()
	b.mu.Lock()
	b.effects = append(b.effects, e)
	b.mu.Unlock()
	if b.o.Journal != nil {
		b.o.Journal(e)
	}
}
