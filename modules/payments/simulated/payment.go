package simulated

import (
	"fmt"
	"sync"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// payment is the state of a payment; empty if it was made before a restart.
type payment struct {
	mu                 sync.Mutex
	state              state
	captured, refunded int64
	tries              map[string]int    // by key
	answers            map[string]answer // by key; the final ones
}

type state int

const (
	unseen state = iota // its authorisation has not arrived in this process
	refused
	held
	taken
	voided
)

// answer is final: a reference, nothing, a *payments.Declined or a *payments.Rejected.
type answer struct {
	reference string
	err       error
	moved     money.Money // what it moved; zero for nothing
}

func rejected(code, format string, args ...any) answer {
	return answer{err: &payments.Rejected{Code: code, Detail: fmt.Sprintf(format, args...)}}
}

// count returns the number of calls with a key, including this one.
func (p *payment) count(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries == nil {
		p.tries = map[string]int{}
	}
	p.tries[key]++
	return p.tries[key]
}

// once executes the first call with a key; further calls get its result. Calls of one payment
// are serialised.
func (p *payment) once(q ask, act func(*payment) answer, journal func(Effect)) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, asked := p.answers[q.key]
	undone := q.call == Authorize && p.state == voided && before.err == nil
	if asked && !undone {
		return before
	}
	done := act(p)
	if p.answers == nil {
		p.answers = map[string]answer{}
	}
	p.answers[q.key] = done
	if done.moved.Amount > 0 {
		journal(Effect{Kind: q.call, Key: q.key, Reference: q.ref.String(), Amount: done.moved})
	}
	return done
}

func (p *payment) authorize(ref reference, a payments.Authorization) answer {
	switch {
	case p.state == voided:
		return answer{err: &payments.Declined{Code: payments.CodeVoided, Detail: "The payment was called off before it came."}}
	case a.Amount.Amount <= 0:
		return rejected("invalid-amount", "An amount of %d cannot be authorised.", a.Amount.Amount)
	case p.state == taken: // it was authorised by another process
		return answer{reference: ref.String()}
	}
	if ref.trait == declines {
		p.state = refused
		return answer{err: decline(a)}
	}
	p.state = held
	return answer{reference: ref.String(), moved: a.Amount}
}

func (p *payment) capture(ref reference, amount money.Money) answer {
	switch {
	case p.state == voided:
		return rejected(payments.CodeVoided, "The payment was voided.")
	case p.state == refused:
		return rejected("not-authorized", "The payment was declined.")
	case p.state == taken:
		return rejected("already-captured", "The payment was captured before, with another key.")
	case !ref.covers(amount, ref.amount.Amount):
		return rejected("amount-too-large", "%d %s were authorised.", ref.amount.Amount, ref.amount.Currency)
	case ref.trait == captureFails:
		return rejected("capture-failed", "This payment is never captured.")
	}
	p.state, p.captured = taken, amount.Amount
	return answer{moved: amount}
}

// void with arrived false leaves a mark for an authorisation that may arrive later.
func (p *payment) void(ref reference, arrived bool) answer {
	switch {
	case p.state == taken:
		return rejected("already-captured", "The payment was captured; it can be refunded.")
	case p.state == voided, p.state == refused:
		return answer{}
	case ref.trait == voidFails:
		return rejected("void-failed", "This payment is never voided.")
	}
	holds := p.state == held || p.state == unseen && arrived
	p.state = voided
	if !holds {
		return answer{}
	}
	return answer{moved: ref.amount}
}

func (p *payment) refund(ref reference, key string, amount money.Money) answer {
	left := p.captured - p.refunded
	switch p.state {
	case taken:
	case unseen: // it may have been captured before a restart
		left = ref.amount.Amount - p.refunded
	default:
		return rejected("not-captured", "The payment was not captured.")
	}
	switch {
	case !ref.covers(amount, left):
		return rejected("amount-too-large", "Of the payment, %d %s can still be refunded.", left, ref.amount.Currency)
	case ref.trait == refundFails:
		return rejected("refund-failed", "This payment is never refunded.")
	}
	p.state, p.captured, p.refunded = taken, p.refunded+left, p.refunded+amount.Amount
	return answer{reference: "simre_" + digest(key), moved: amount}
}
