package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/batch"
)

// Advance does everything that the system has to do for an order: reserve stock,
// authorize the payment, confirm, start processing; capture the money of a shipped
// order, void that of an ended one, and make requested refunds. It may be called
// any number of times, by any number of nodes: the row says what is left.
//
// Concurrent calls share transactions; the provider is asked between them.
func (m *Module) Advance(ctx context.Context, id uuid.UUID) error {
	request := advanceRequest{order: id}
	for {
		call, err := m.advancing.Do(ctx, request)
		if err != nil || call == nil {
			return err
		}
		if err := call.Do(ctx); err != nil {
			return &unanswered{call, fmt.Errorf("%s order %s: %w", call.Step(), id, err)}
		}
		request.call = call
	}
}

// unanswered is the error of a call that the provider did not answer.
type unanswered struct {
	call settlement.Call
	error
}

func (e *unanswered) Unwrap() error { return e.error }

// advanceAll moves a batch of orders, in one transaction. Row locks are taken on
// orders by id and then on products by sku, here and everywhere, so no two
// transactions wait for each other; for the same reason the stock of declined
// orders goes back in a second transaction.
func (m *Module) advanceAll(ctx context.Context, requests []advanceRequest) ([]batch.Result[settlement.Call], error) {
	var (
		results []batch.Result[settlement.Call]
		undo    []uuid.UUID
	)
	err := m.withLocked(ctx, ordersOf(requests), func(u *unitOfWork) (err error) {
		if undo, err = u.advance(ctx, requests); err != nil {
			return err
		}
		results = u.nextCalls(requests)
		return nil
	})
	if err == nil && len(undo) > 0 {
		err = m.withLocked(ctx, undo, func(u *unitOfWork) error { return u.failDeclined(ctx) })
	}
	if err != nil {
		return nil, fmt.Errorf("advance %d orders: %w", len(requests), err)
	}
	return results, nil
}

func ordersOf(requests []advanceRequest) []uuid.UUID {
	ids := make([]uuid.UUID, len(requests))
	for i, r := range requests {
		ids[i] = r.order
	}
	return ids
}

// advance takes every order through the steps as far as it goes, and returns the
// declined ones, which must be undone.
func (u *unitOfWork) advance(ctx context.Context, requests []advanceRequest) (declined []uuid.UUID, err error) {
	if err := u.applyAnswers(requests); err != nil {
		return nil, err
	}
	if err := u.reserve(ctx); err != nil {
		return nil, err
	}
	for _, o := range u.orders {
		if o.Declined() {
			declined = append(declined, o.ID)
			continue
		}
		if err := o.proceed(); err != nil {
			return nil, err
		}
		if o.Outstanding() && !o.Status.Meaning().Automatic && u.nextCall(o) == nil {
			o.Unschedule()
		}
	}
	return declined, nil
}

// nextCalls returns what each request must ask now. Two requests for one order get
// a call each, which they may make at the same time.
func (u *unitOfWork) nextCalls(requests []advanceRequest) []batch.Result[settlement.Call] {
	results := make([]batch.Result[settlement.Call], len(requests))
	for i, r := range requests {
		if o := u.find(r.order); o != nil {
			results[i].Value = u.nextCall(o)
		}
	}
	return results
}

// applyAnswers records the provider's answers. A second worker's answer changes nothing.
func (u *unitOfWork) applyAnswers(requests []advanceRequest) error {
	for _, r := range requests {
		o := u.find(r.order)
		if r.call == nil || o == nil {
			continue
		}
		if _, err := u.settle(o, settlement.Answer{Call: r.call}); err != nil {
			return err
		}
	}
	return nil
}

// proceed confirms what is reserved and paid for, and hands it over to fulfilment.
func (o *lockedOrder) proceed() error {
	if o.Deleted {
		return nil
	}
	if o.Confirmable() {
		if err := o.record(o.Confirm()); err != nil {
			return err
		}
	}
	if o.Status != lifecycle.Confirmed {
		return nil
	}
	return o.record(o.StartProcessing())
}

// failDeclined fails the orders whose payment was declined, and gives their stock
// back (SPEC D2).
func (u *unitOfWork) failDeclined(ctx context.Context) error {
	var list []*lockedOrder
	for _, o := range u.orders {
		if o.Declined() {
			list = append(list, o)
		}
	}
	return u.failAll(ctx, list, func(o *lockedOrder) lifecycle.Failure {
		failure := lifecycle.Failure{Code: "payment-declined"}
		if d := u.payments.Declined(o.ID); d != nil {
			failure.Detail = fmt.Sprintf("The payment was declined: %s (%s)", d.Detail, d.Code)
		}
		return failure
	})
}

// failAll fails orders and gives their stock back.
func (u *unitOfWork) failAll(ctx context.Context, list []*lockedOrder, why func(*lockedOrder) lifecycle.Failure) error {
	if err := u.releaseStock(ctx, list); err != nil {
		return err
	}
	for _, o := range list {
		if err := o.record(o.Fail(why(o), "")); err != nil {
			return err
		}
	}
	return nil
}
