package orders

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/breaker"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
)

// request is what a step of an order does outside any transaction: it calls a service. The
// transaction before it decides that it is due (next), the one after it applies the result.
// A request may be made more than once, and by two workers at the same time.
type request interface {
	// Step names the step. Dead letters store it.
	Step() string
	// Key is the same for the same request, and for no other.
	Key() string
	// Do makes the request. It returns nil when there is a result to apply; errors are of the
	// three kinds of the package queue.
	Do(ctx context.Context) error
	// apply records the result on the locked order. The result of a request that is no longer
	// due changes nothing.
	apply(u *unitOfWork, o *lockedOrder) error
	// giveUp records on the locked order that the request ran out of attempts. It returns false
	// when another worker has recorded that already.
	giveUp(ctx context.Context, u *unitOfWork, o *lockedOrder, attempts int, cause error) (recorded bool, err error)
}

// pipeline is the processing of an order, stage by stage. Each stage does within the
// transaction what is due for the orders that are locked, and does nothing to the others, so
// the whole list is run over each batch of orders:
//
//	reserve      takes stock for an order that has none
//	begin        begins the payment of an order whose added steps are done
//	confirm      confirms an order that is reserved, checked and paid for
//	process      hands a confirmed order over to fulfilment
//
// Between two runs the requests are made that next returns: those of the added steps, one after
// the other; authorize; and capture, void or refund when the status asks for them.
var pipeline = []func(*unitOfWork, context.Context) error{
	(*unitOfWork).reserve,
	each((*unitOfWork).beginPayment),
	each((*unitOfWork).confirm),
	each((*unitOfWork).startProcessing),
}

// each makes a stage of what is done order by order.
func each(do func(u *unitOfWork, o *lockedOrder) error) func(*unitOfWork, context.Context) error {
	return func(u *unitOfWork, _ context.Context) error {
		for _, o := range u.orders {
			if err := do(u, o); err != nil {
				return err
			}
		}
		return nil
	}
}

// next returns the request that is due for an order, or nil.
func (u *unitOfWork) next(o *lockedOrder) request {
	if step := o.NextStep(); step != "" {
		return u.check(o, step)
	}
	if call := u.payments.Next(o.ID, goals[o.MoneyTarget()]); call != nil {
		return &paymentRequest{call, o.UserID}
	}
	return nil
}

// beginPayment begins the payment of an order for which nothing else is missing. A begun
// payment has a next call.
func (u *unitOfWork) beginPayment(o *lockedOrder) error {
	if !o.Payable() || u.payments.Next(o.ID, settlement.Authorize) != nil {
		return nil
	}
	_, err := u.settle(o, settlement.Begin{Total: o.In(o.Total), Method: o.row.PaymentMethod})
	return err
}

func (u *unitOfWork) confirm(o *lockedOrder) error {
	if o.Deleted || !o.Confirmable() {
		return nil
	}
	return o.record(o.Confirm())
}

func (u *unitOfWork) startProcessing(o *lockedOrder) error {
	if o.Deleted || o.Status != lifecycle.Confirmed {
		return nil
	}
	return o.record(o.StartProcessing())
}

// paymentRequest is a call of the payment provider.
type paymentRequest struct {
	settlement.Call
	payer uuid.UUID
}

// Do makes the call on behalf of the payer, whose failures do not make the provider unavailable
// to others (SPEC D4).
func (r *paymentRequest) Do(ctx context.Context) error {
	return r.Call.Do(breaker.For(ctx, r.payer.String()))
}

func (r *paymentRequest) apply(u *unitOfWork, o *lockedOrder) error {
	_, err := u.settle(o, settlement.Answer{Call: r.Call})
	return err
}

// giveUp fails an order that was not confirmed yet, with everything undone. A later order
// stays as it is until an administrator decides about the call.
func (r *paymentRequest) giveUp(ctx context.Context, u *unitOfWork, o *lockedOrder, attempts int, cause error) (recorded bool, err error) {
	if o.Status.Meaning().Stock == lifecycle.StockReserving {
		return true, u.failUnconfirmed(ctx, o, r.Step(), "payment-failed", attempts)
	}
	return u.stallSettlement(o, r.Call, cause)
}

// failUnconfirmed fails an order that was not confirmed yet and undoes what was done for it.
func (u *unitOfWork) failUnconfirmed(ctx context.Context, o *lockedOrder, step, code string, attempts int) error {
	if err := u.releaseStock(ctx, u.orders); err != nil {
		return err
	}
	return o.record(o.Fail(lifecycle.Failure{
		Code: code, Detail: fmt.Sprintf("Processing failed after %d attempts.", attempts),
	}, step))
}

// stallSettlement leaves the order as it is until an administrator decides about
// the call. A refund fails; another pending refund is still made.
func (u *unitOfWork) stallSettlement(o *lockedOrder, call settlement.Call, cause error) (recorded bool, err error) {
	o.Unschedule()
	stalledAt := o.Stalled
	change, err := u.settle(o, settlement.Exhausted{Call: call, Cause: cause})
	if err != nil {
		return false, err
	}
	if change.Outcome == settlement.None && stalledAt == call.Step() {
		return false, nil // another job of the order has recorded it already
	}
	if call.Step() == lifecycle.StepRefund && u.next(o) != nil {
		o.Schedule()
	}
	o.Record(o.Stall(call.Step()))
	return true, nil
}
