// Package simulated is a payment provider that lives in this process (SPEC D3).
//
// What it answers follows from the call alone: from the key, the amount and the
// method, as with the test cards of a real one. A reference holds what a later call
// must know, so a payment that was made before a restart is as good as a fresh one
// and nothing has to be stored. In return it takes the word of a reference whose
// payment it never saw. With a script or a journal, for tests, it remembers
// everything and is as strict as a bank.
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

// Options for a bank. The zero value is a bank for development and for load: a call
// costs microseconds, memory is bounded, and only the test tokens misbehave.
type Options struct {
	// Script says what goes wrong with a call. n is how often that key has been asked,
	// this time included. nil is for nothing, a Fault says exactly what, any other
	// error is what the caller gets while nothing happens. It goes before what the
	// method or the amount would show. It may wait for a signal of the test's; other
	// calls go on meanwhile.
	Script func(call, key string, n int) error
	// Journal hears of every effect, once, in the order in which they happen to a
	// payment. It must not call the bank.
	Journal func(Effect)
	// Away, while it answers above zero, makes every call *payments.Unavailable with that wait.
	Away func() time.Duration
	// Remember keeps every payment and every effect for as long as the bank lives.
	// Script and Journal imply it.
	Remember bool
}

// Effect is money that moved.
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
	all  sync.Map                     // of every payment by id, when remembering
	keys sync.Map                     // what every key was used for, when remembering
	kept *lru.Cache[string, *payment] // otherwise, only those that misbehave or were voided

	mu      sync.Mutex
	effects []Effect
}

// kept payments, at most, in a bank that does not remember. What matters of them
// matters for minutes: how often a call was tried, and that a payment was voided
// while it may still be on its way.
const kept = 1 << 16

// NewBank makes a bank.
func NewBank(o Options) *Bank {
	o.Remember = o.Remember || o.Script != nil || o.Journal != nil
	cache, err := lru.New[string, *payment](kept)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Bank{o: o, kept: cache}
}

// Name implements payments.Provider.
func (b *Bank) Name() string { return "simulated" }

// NeedsMethod implements payments.Provider: without a method, anything is paid.
func (b *Bank) NeedsMethod() bool { return false }

// Authorize implements payments.Provider.
func (b *Bank) Authorize(ctx context.Context, a payments.Authorization) (string, error) {
	ref := refer(a)
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
	ref := refer(v.Of)
	if v.Reference != "" {
		var err error
		if ref, err = parse(v.Reference); err != nil {
			return err
		}
	}
	// The same void may be asked again once the reference is known.
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

// Effects lists what happened since the bank was made, when it remembers.
func (b *Bank) Effects() []Effect {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Effect{}, b.effects...)
}

// ask is a call on its way through the bank.
type ask struct {
	call, key string
	ref       reference
	said      any // what the key stands for; comparable
}

// serve decides what happens, lets it happen once, and answers or fails to. No lock
// is held while anybody waits.
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

// faultOf asks the script, and then what the payment is meant to show.
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

// payment finds or opens the account of a payment. A bank that does not remember
// opens one for the length of the call, unless there is something to keep.
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
