package payments

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// D1, D3: what is to be asked next, by where the payments and refunds of an order
// are and where its money is wanted.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		payments, refunds              string // states, oldest first
		authorize, capture, void, keep string // the step for each
	}{
		{payments: ""},
		{payments: authorizing, authorize: authorize, void: void},
		{payments: authorized, capture: capture, void: void},
		{payments: captured},
		{payments: voided},
		{payments: declined},
		{payments: abandoned},
		{payments: "captured", refunds: pending, authorize: giveBack, capture: giveBack, void: giveBack, keep: giveBack},
		{payments: "captured", refunds: "done failed abandoned"},
		{payments: "captured", refunds: "failed done pending", authorize: giveBack, capture: giveBack, void: giveBack, keep: giveBack},
		{payments: "declined authorizing", authorize: authorize, void: void},
		{payments: "voided authorized", capture: capture, void: void},
		// A payment that a newer one replaced is voided first, for any goal.
		{payments: "authorized authorizing", authorize: void, capture: void, void: void, keep: void},
		{payments: "authorizing authorized", authorize: void, capture: void, void: void, keep: void},
	} {
		b := newBench(t)
		for state := range strings.FieldsSeq(row.payments) {
			b.begin(state)
		}
		for state := range strings.FieldsSeq(row.refunds) {
			b.back(100, state, nil)
		}
		for goal, step := range map[settlement.Goal]string{
			settlement.Authorize: row.authorize, settlement.Capture: row.capture, settlement.Void: row.void, settlement.Keep: row.keep,
		} {
			got := ""
			if c := b.Next(b.order, goal); c != nil {
				got = c.Step()
			}
			if got != step {
				t.Errorf("%s, refunds %s: %s asks %q, want %q", row.payments, row.refunds, goal, got, step)
			}
		}
	}
}

// D3: what an answer changes, by where the payment is when it comes: the event, the
// state, and the movements of money. Debits are above zero, credits below.
func TestRecord(t *testing.T) {
	t.Parallel()
	held := map[string]int64{accountHolds: 1000, accountPromises: -1000}
	let := map[string]int64{accountHolds: -1000, accountPromises: 1000}
	taken := map[string]int64{accountHolds: -1000, accountPromises: 1000, accountProvider: 1000, accountSales: -1000}
	news := map[string]struct {
		outcome settlement.Outcome
		moves   map[string]int64
	}{
		"authorize authorizing": {settlement.Authorized, held},
		"decline authorizing":   {settlement.Declined, nil},
		"capture authorized":    {settlement.Captured, taken},
		"void authorized":       {settlement.Voided, let},
		"void authorizing":      {settlement.Voided, nil},
		// Given up by a person, and done all the same.
		"capture abandoned": {settlement.Captured, taken},
		"void abandoned":    {settlement.Voided, let},
	}
	after := map[string]string{authorize: authorized, "decline": declined, capture: captured, void: voided}
	for _, step := range []string{authorize, "decline", capture, void} {
		for _, state := range []string{authorizing, authorized, captured, voided, declined, abandoned} {
			b := newBench(t)
			p := b.begin(state)
			if state == abandoned {
				p.reference = "ref"
			}
			c := &call{step: step, payment: *p, provider: b.till, reference: "ref"}
			if step == "decline" {
				c.step, c.declined = authorize, &Declined{Code: "no", Detail: "No."}
			}

			change := b.do(settlement.Answer{Call: c})
			twice := b.do(settlement.Answer{Call: c})

			want, is := news[step+" "+state]
			refused := change.Decline != nil && change.Decline.Code == "no"
			if change.Outcome != want.outcome || twice.Outcome != settlement.None || is && change.Amount != 1000 || refused != (is && step == "decline") {
				t.Errorf("%s when %s: %+v, then %+v", step, state, change, twice)
			}
			if end := map[bool]string{true: after[step], false: state}[is]; p.state != end {
				t.Errorf("%s when %s leaves %s", step, state, p.state)
			}
			if got := b.balance(); !maps.Equal(got, want.moves) {
				t.Errorf("%s when %s moves %v", step, state, got)
			}
		}
	}
}

// C8: a refund that the provider made counts once, in any state of its row, up to the captured
// amount.
func TestRecordRefund(t *testing.T) {
	t.Parallel()
	for state, is := range map[string]bool{pending: true, failed: true, abandoned: true, done: false} {
		b := newBench(t)
		b.begin(captured)
		r := b.back(400, state, nil)
		c := b.call(giveBack, b.payments[b.order][0], r)
		c.reference = "back"

		change := b.do(settlement.Answer{Call: c})
		again := b.do(settlement.Answer{Call: c})

		told := change.Outcome != settlement.None
		if told != is || again.Outcome != settlement.None || is && (change.Outcome != settlement.Refunded || change.Amount != 400) || r.state != done {
			t.Errorf("when %s: %+v, again %+v, and it is %s", state, change, again, r.state)
		}
		if got := b.balance(); is && !maps.Equal(got, map[string]int64{accountReturns: 400, accountProvider: -400}) {
			t.Errorf("when %s it moves %v", state, got)
		}
	}

	b := newBench(t)
	b.begin(captured)
	late := b.back(400, failed, nil)
	b.back(700, pending, nil)
	change := b.do(settlement.Answer{Call: b.call(giveBack, b.payments[b.order][0], late)})
	if change.Outcome != settlement.None || late.state != failed {
		t.Error("more than was captured is refunded")
	}
}

// D4: a refund that will not be made fails, with the provider's code; nothing else
// does, and nothing twice.
func TestFail(t *testing.T) {
	t.Parallel()
	for cause, code := range map[error]string{
		errors.New("cut"): "provider-error",
		fmt.Errorf("x: %w", &Rejected{Code: "charge-disputed", Detail: "No."}): "charge-disputed",
	} {
		b := newBench(t)
		p := b.begin(captured)
		r := b.back(400, pending, nil)

		other := b.do(settlement.Exhausted{Call: b.call(capture, p, nil), Cause: cause})
		change := b.do(settlement.Exhausted{Call: b.call(giveBack, p, r), Cause: cause})
		again := b.do(settlement.Exhausted{Call: b.call(giveBack, p, r), Cause: cause})

		if other.Outcome != settlement.None || again.Outcome != settlement.None || change.Outcome != settlement.RefundFailed ||
			change.Amount != 400 || r.state != failed || *r.code != code {
			t.Errorf("%v: %+v, %s %s", cause, change, r.state, *r.code)
		}
		if change.Refunding != 0 || change.FailedRefunds != 1 {
			t.Errorf("%d pending, %d failed", change.Refunding, change.FailedRefunds)
		}
	}
}

// C8: units are refunded once, by sku; a refund that failed holds none.
func TestUnitsAreRefundedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.begin(captured)
	b.back(100, done, map[string]int64{"A": 1})
	b.back(100, pending, map[string]int64{"A": 1})
	b.back(100, failed, map[string]int64{"A": 1})
	b.back(100, pending, nil) // by amount: of no unit in particular
	ordered := map[string]int64{"A": 3, "B": 1}

	request := func(items map[string]int64) error {
		_, err := b.Apply(b.order, settlement.RequestRefund{Amount: 100, Items: items, Ordered: ordered, Reason: "broken", By: "admin:x"})
		return err
	}
	one := request(map[string]int64{"A": 1, "B": 1})
	two := request(map[string]int64{"A": 1})

	f, told := fault.As(two)
	if one != nil || !told || f.Code != "refund-exceeds-order" || f.Extra["refundable"] != int64(0) || f.Extra["sku"] != "A" {
		t.Errorf("%v, then %+v", one, f)
	}
	if ordered["A"] != 3 {
		t.Error("the order was changed")
	}
}

// D4: an administrator may retry failed refunds, up to the captured amount, and skip every
// unsettled request.
func TestRetryAndAbandon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.begin(captured)
	one, two, three := b.back(400, failed, nil), b.back(500, failed, nil), b.back(100, failed, nil)

	due := b.do(settlement.RetryRefunds{Left: 600}).Amount
	b.do(settlement.Abandon{})

	if due != 500 || one.state != pending || two.state != abandoned || three.state != pending {
		t.Errorf("%d due, %s %s %s", due, one.state, two.state, three.state)
	}
	b = newBench(t)
	b.begin(captured)
	again := b.back(100, failed, map[string]int64{"A": 1})
	b.back(300, done, map[string]int64{"A": 3})
	if due := b.do(settlement.RetryRefunds{Left: 600, Ordered: map[string]int64{"A": 3}}).Amount; due != 0 || again.state != failed {
		t.Errorf("%d due, for units that were refunded", due)
	}
	for _, state := range []string{authorizing, authorized} {
		b := newBench(t)
		p := b.begin(state)
		b.do(settlement.Abandon{})
		if p.state != abandoned || b.Next(b.order, settlement.Void) != nil {
			t.Errorf("%s became %s", state, p.state)
		}
	}
}

// D4: what a provider says and what a job makes of it.
func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err       error
		permanent bool
		wait      time.Duration
	}{
		{err: errors.New("cut")},
		{err: context.DeadlineExceeded},
		{err: &Rejected{Code: "no"}, permanent: true},
		{err: fmt.Errorf("x: %w", NewAway(3*time.Second, nil)), wait: 3 * time.Second},
	} {
		b := newBench(t)
		b.begin(authorized)
		b.till.err = row.err
		for _, goal := range []settlement.Goal{settlement.Capture, settlement.Void} {
			err := b.Next(b.order, goal).Do(t.Context())
			if wait, later := queue.IsSnooze(err); !errors.Is(err, row.err) || queue.IsPermanent(err) != row.permanent || wait != row.wait || later != (row.wait > 0) {
				t.Errorf("%v becomes %v", row.err, err)
			}
		}
	}

	b := newBench(t)
	b.begin(authorizing)
	b.till.err = &Declined{Code: "no"}
	if err := b.Next(b.order, settlement.Authorize).Do(t.Context()); err != nil { // an answer like any other
		t.Error(err)
	}
	if err := b.Next(b.order, settlement.Void).Do(t.Context()); !queue.IsPermanent(err) { // a void cannot be declined
		t.Error(err)
	}
}

// D3: only the provider that has the money is asked about it.
func TestAnotherProvidersPayment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.begin(authorized).provider = "stripe"

	err := b.Next(b.order, settlement.Capture).Do(t.Context())

	if !queue.IsPermanent(err) || b.till.asked != 0 {
		t.Errorf("asked %d times: %v", b.till.asked, err)
	}
}

// D3: every question has a key of its own, which never changes.
func TestKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.begin(authorized)
	seen := map[string]bool{}
	for _, goal := range []settlement.Goal{settlement.Capture, settlement.Void} {
		key := b.Next(b.order, goal).Key()
		if key != b.Next(b.order, goal).Key() || !strings.HasPrefix(key, p.id.String()+":") {
			t.Errorf("key is %s", key)
		}
		seen[key] = true
	}
	p.state = captured
	for range 2 {
		r := b.back(100, pending, nil)
		if key := b.Next(b.order, settlement.Keep).Key(); key != r.id.String()+":refund" {
			t.Errorf("key is %s", key)
		}
		seen[b.Next(b.order, settlement.Keep).Key()] = true
		r.state = done
	}
	if len(seen) != 4 {
		t.Errorf("keys %v", seen)
	}
}

// C8, E1: for any sequence of events, the accounts show the state of the money: the authorised
// holds, and as the provider's balance the captured amount without refunds. No amount is booked
// twice.
func TestAccounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		b := newBench(t)
		var calls []settlement.Call // may be answered late, or twice
		for range rapid.IntRange(1, 40).Draw(r, "acts") {
			switch rapid.SampledFrom([]string{"begin", "next", "next", "record", "record", "record", "decline", "fail", "refund", "retry", "abandon"}).Draw(r, "act") {
			case "begin":
				if b.Next(b.order, settlement.Void) == nil { // reopened: nothing is under way
					b.begin(authorizing)
				}
			case "next":
				if c := b.Next(b.order, rapid.SampledFrom([]settlement.Goal{settlement.Authorize, settlement.Capture, settlement.Void, settlement.Keep}).Draw(r, "goal")); c != nil {
					calls = append(calls, c)
				}
			case "record", "decline", "fail":
				if len(calls) == 0 {
					continue
				}
				b.respond(r, rapid.SampledFrom(calls).Draw(r, "call").(*call))
			case "refund":
				b.refundSome(rapid.Int64Range(1, 1000).Draw(r, "amount"))
			case "retry":
				b.do(settlement.RetryRefunds{Left: b.left()})
			default:
				b.do(settlement.Abandon{})
			}
		}
		b.checkAccounts(r)
	})
}

// respond gives a call one of the answers that it may get.
func (b *bench) respond(r *rapid.T, c *call) {
	switch outcome := rapid.IntRange(0, 3).Draw(r, "outcome"); {
	case outcome == 0 && c.step == authorize:
		c.declined = &Declined{Code: "no"}
		b.do(settlement.Answer{Call: c})
	case outcome == 1:
		b.do(settlement.Exhausted{Call: c, Cause: errors.New("cut")})
	default:
		if c.reference == "" {
			c.reference = "ref"
		}
		b.do(settlement.Answer{Call: c})
	}
}

func (b *bench) refundSome(amount int64) {
	for _, p := range b.payments[b.order] {
		if p.state == captured && amount <= b.left() {
			b.do(settlement.RequestRefund{Amount: amount, Reason: "broken", By: "admin:x"})
			return
		}
	}
}

// left is what of the captured money is neither refunded nor on its way.
func (b *bench) left() (n int64) {
	for _, p := range b.payments[b.order] {
		if p.state == captured {
			n += p.amount
		}
	}
	for _, r := range b.refunds[b.order] {
		if r.state == pending || r.state == done {
			n -= r.amount
		}
	}
	return n
}

func (b *bench) checkAccounts(r *rapid.T) {
	want := map[string]int64{}
	for _, p := range b.payments[b.order] {
		switch {
		case p.state == authorized, p.state == abandoned && p.reference != "":
			want[accountHolds] += p.amount
			want[accountPromises] -= p.amount
		case p.state == captured:
			want[accountProvider] += p.amount
			want[accountSales] -= p.amount
		}
	}
	for _, f := range b.refunds[b.order] {
		if f.state == done {
			want[accountReturns] += f.amount
			want[accountProvider] -= f.amount
		}
	}
	maps.DeleteFunc(want, func(_ string, n int64) bool { return n == 0 })
	if got := b.balance(); !maps.Equal(got, want) {
		r.Errorf("accounts %v, want %v", got, want)
	}
	if b.left() < 0 {
		r.Errorf("%d too much refunded", -b.left())
	}
	seen := map[string]bool{}
	for _, t := range b.transfers {
		key := t.source.String() + t.kind
		if seen[key] || t.amount <= 0 || t.debit == t.credit {
			r.Errorf("transfer %+v", t)
		}
		seen[key] = true
	}
}
