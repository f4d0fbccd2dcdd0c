package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/batch"
)

// Advance does everything that the system has to do for an order: it runs the pipeline and
// makes the requests that are due, until nothing is left. It may be called any number of times,
// by any number of nodes: the rows say what is left.
//
// Concurrent calls share transactions; requests are made between them.
func (m *Module) Advance(ctx context.Context, id uuid.UUID) error {
	asked := advanceRequest{order: id}
	for {
		due, err := m.advancing.Do(ctx, asked)
		if err != nil || due == nil {
			return err
		}
		if err := due.Do(ctx); err != nil {
			return &unanswered{due, fmt.Errorf("%s order %s: %w", due.Step(), id, err)}
		}
		asked.made = due
	}
}

// unanswered is the error of a request that has no result.
type unanswered struct {
	request request
	error
}

func (e *unanswered) Unwrap() error { return e.error }

// advanceAll moves a batch of orders, in one transaction. Row locks are taken on
// orders by id and then on products by sku, here and everywhere, so no two
// transactions wait for each other; for the same reason the stock of rejected
// orders goes back in a second transaction.
func (m *Module) advanceAll(ctx context.Context, requests []advanceRequest) ([]batch.Result[request], error) {
	var (
		results []batch.Result[request]
		undo    []uuid.UUID
	)
	err := m.withLocked(ctx, ordersOf(requests), func(u *unitOfWork) (err error) {
		if undo, err = u.advance(ctx, requests); err != nil {
			return err
		}
		results = u.nextRequests(requests)
		return nil
	})
	if err == nil && len(undo) > 0 {
		err = m.withLocked(ctx, undo, func(u *unitOfWork) error { return u.failRejected(ctx) })
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

// advance applies the results of requests, takes every order through the pipeline as far as it
// goes, and returns the orders that a step or the payment provider rejected, which must be undone.
func (u *unitOfWork) advance(ctx context.Context, requests []advanceRequest) (rejected []uuid.UUID, err error) {
	for _, r := range requests {
		if o := u.find(r.order); o != nil && r.made != nil {
			if err := r.made.apply(u, o); err != nil {
				return nil, err
			}
		}
	}
	for _, stage := range pipeline {
		if err := stage(u, ctx); err != nil {
			return nil, err
		}
	}
	for _, o := range u.orders {
		if _, failed := u.rejection(o); failed {
			rejected = append(rejected, o.ID)
			continue
		}
		if o.Outstanding() && !o.Status.Meaning().Automatic && u.next(o) == nil {
			o.Unschedule()
		}
	}
	return rejected, nil
}

// nextRequests returns what each caller must request now. Two callers of one order get a
// request each, which they may make at the same time.
func (u *unitOfWork) nextRequests(requests []advanceRequest) []batch.Result[request] {
	results := make([]batch.Result[request], len(requests))
	for i, r := range requests {
		if o := u.find(r.order); o != nil {
			results[i].Value = u.next(o)
		}
	}
	return results
}

// rejection returns why an order must fail: an added step or the payment provider rejected it.
func (u *unitOfWork) rejection(o *lockedOrder) (failure lifecycle.Failure, rejected bool) {
	if step, failed := o.FailedStep(); failed {
		failure.Code = step.Code
		if step.Reason != nil {
			failure.Detail = *step.Reason
		}
		return failure, true
	}
	if !o.Declined() {
		return failure, false
	}
	failure.Code = "payment-declined"
	if d := u.payments.Declined(o.ID); d != nil {
		failure.Detail = fmt.Sprintf("The payment was declined: %s (%s)", d.Detail, d.Code)
	}
	return failure, true
}

// failRejected fails the orders that were rejected, and returns their stock (SPEC D2).
func (u *unitOfWork) failRejected(ctx context.Context) error {
	var list []*lockedOrder
	for _, o := range u.orders {
		if _, rejected := u.rejection(o); rejected {
			list = append(list, o)
		}
	}
	return u.failAll(ctx, list, func(o *lockedOrder) lifecycle.Failure {
		failure, _ := u.rejection(o)
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
