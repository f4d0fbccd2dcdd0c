package simulated_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/money"
)

func eur(cents int64) money.Money { return money.Money{Amount: cents, Currency: "EUR"} }

func paying(amount int64, method string) payments.Authorization {
	return payments.Authorization{Key: uuid.NewString() + ":authorize", OrderID: uuid.New(), Amount: eur(amount), Method: method}
}

// outcome is an error in one word.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := errors.AsType[*payments.Declined](err); ok {
		return "declined " + e.Code
	}
	if e, ok := errors.AsType[*payments.Rejected](err); ok {
		return "rejected " + e.Code
	}
	if _, ok := errors.AsType[*payments.Unavailable](err); ok {
		return "away"
	}
	return "retry"
}

func expect(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := outcome(err); got != want {
		t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
}

// held authorises, which must work.
func held(t *testing.T, b payments.Provider, a payments.Authorization) string {
	t.Helper()
	reference, err := b.Authorize(t.Context(), a)
	if err != nil || reference == "" {
		t.Fatalf("authorize: %q, %v", reference, err)
	}
	return reference
}

// SPEC D3: the same key has the same answer, also across a restart.
func TestSameAfterRestart_D3(t *testing.T) {
	t.Parallel()
	a := paying(100, "")
	one, two := simulated.NewBank(simulated.Options{}), simulated.NewBank(simulated.Options{})
	reference := held(t, one, a)
	if again := held(t, two, a); again != reference {
		t.Errorf("%s, then %s", reference, again)
	}
	r := payments.Refund{Key: "r" + a.Key, Reference: reference, Amount: eur(1)}

	first, err1 := one.Refund(t.Context(), r)
	second, err2 := two.Refund(t.Context(), r)

	if first != second || first == "" || err1 != nil || err2 != nil {
		t.Errorf("refunds %q %v, %q %v", first, err1, second, err2)
	}
}

// SPEC D2: a void that overtakes its authorisation is not forgotten.
func TestVoidBeforeAuthorize_D2(t *testing.T) {
	t.Parallel()
	for _, remember := range []bool{false, true} {
		b := simulated.NewBank(simulated.Options{Remember: remember})
		a := paying(100, "")
		for range 2 {
			expect(t, "void", b.Void(t.Context(), payments.Void{Key: "v" + a.Key, Of: a}), "ok")
		}

		_, err := b.Authorize(t.Context(), a)

		expect(t, "authorize", err, "declined voided")
		if n := len(b.Effects()); n != 0 {
			t.Errorf("%d effects, want none", n)
		}
	}
}

// A bank that remembers is as strict as a real one.
func TestStrict(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := simulated.NewBank(simulated.Options{Remember: true})
	a, other := paying(100, ""), paying(100, "")
	reference, voided := held(t, b, a), held(t, b, other)
	capture := func(key, reference string, m money.Money) error {
		return b.Capture(ctx, payments.Capture{Key: key, Reference: reference, Amount: m})
	}
	refund := func(key, reference string, m money.Money) error {
		_, err := b.Refund(ctx, payments.Refund{Key: key, Reference: reference, Amount: m})
		return err
	}
	more := a
	more.Amount = eur(101)
	_, err := b.Authorize(ctx, more)
	expect(t, "another amount", err, "rejected idempotency-mismatch")
	expect(t, "a key of another call", capture(a.Key, reference, a.Amount), "rejected idempotency-mismatch")

	expect(t, "no such payment", capture("c0", "pi_123", eur(1)), "rejected unknown-reference")
	expect(t, "more than held", capture("c1", reference, eur(101)), "rejected amount-too-large")
	expect(t, "another currency", capture("c2", reference, money.Money{Amount: 1, Currency: "USD"}), "rejected amount-too-large")
	expect(t, "refund too early", refund("r0", reference, eur(1)), "rejected not-captured")
	expect(t, "capture", capture("c3", reference, eur(90)), "ok")
	expect(t, "the same", capture("c3", reference, eur(90)), "ok")
	expect(t, "the same with less", capture("c3", reference, eur(80)), "rejected idempotency-mismatch")
	expect(t, "twice", capture("c4", reference, eur(10)), "rejected already-captured")
	expect(t, "void", b.Void(ctx, payments.Void{Key: "v0", Reference: reference, Of: a}), "rejected already-captured")
	expect(t, "refund", refund("r1", reference, eur(50)), "ok")
	expect(t, "the same", refund("r1", reference, eur(50)), "ok")
	expect(t, "too much", refund("r2", reference, eur(41)), "rejected amount-too-large")
	expect(t, "the rest", refund("r3", reference, eur(40)), "ok")

	expect(t, "void", b.Void(ctx, payments.Void{Key: "v1", Reference: voided, Of: other}), "ok")
	expect(t, "capture of void", capture("c5", voided, eur(1)), "rejected voided")
	_, err = b.Authorize(ctx, other)
	expect(t, "authorize after void", err, "declined voided")

	var story []string
	for _, e := range b.Effects() {
		story = append(story, fmt.Sprint(e.Kind, e.Amount.Amount))
	}
	if got, want := strings.Join(story, " "), "authorize100 authorize100 capture90 refund50 refund40 void100"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
