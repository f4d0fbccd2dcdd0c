// Package payments executes the payments of orders through a provider, exactly once.
//
// A request to the provider is stored before it is made, and its result afterwards, each in a
// transaction of the order; the request itself is made outside of any transaction. Every
// request has an idempotency key that never changes, so a crash in between leads to the same
// request and the same result again (SPEC D3). The caller of this package holds the lock of the
// order's row, which is the only lock that the package relies on.
package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Deps are the dependencies of the module. All of them are required.
type Deps struct {
	Pool     *postgres.Pool
	Provider Provider
}

// Module is the payments module.
type Module struct {
	pool     *postgres.Pool
	provider Provider
}

// New returns the module. It starts no goroutine.
func New(d Deps) *Module { return &Module{pool: d.Pool, provider: d.Provider} }

// NeedsMethod reports whether an order that is not free must have a payment method.
func (m *Module) NeedsMethod() bool { return m.provider.NeedsMethod() }

// CheckAmount returns why the provider will never take an amount, or "".
func (m *Module) CheckAmount(amount money.Money) string { return CheckAmount(m.provider, amount) }

// call is one request to the provider and, after it was made, its result.
type call struct {
	step      settlement.Step
	payment   payment
	refund    *refund
	provider  Provider
	reference string    // the result
	declined  *Declined // alternatively, for an authorisation
}

// The steps by name, as dead letters and the ledger store them.
const (
	authorize = settlement.StepAuthorize
	capture   = settlement.StepCapture
	void      = settlement.StepVoid
	giveBack  = settlement.StepRefund
)

func (c *call) Step() settlement.Step { return c.step }

func (c *call) Key() string {
	if c.refund != nil {
		return c.refund.id.String() + ":" + c.step
	}
	return c.payment.key(c.step)
}

func (c *call) Do(ctx context.Context) (err error) {
	p := &c.payment
	if name := c.provider.Name(); name != p.provider {
		return queue.Permanent(fmt.Errorf("payment %s was made with %s, and this node asks %s", p.id, p.provider, name))
	}
	switch c.step {
	case authorize:
		c.reference, err = c.provider.Authorize(ctx, p.authorization())
		if declined, ok := errors.AsType[*Declined](err); ok {
			c.declined, err = declined, nil
		}
	case capture:
		err = c.provider.Capture(ctx, Capture{c.Key(), p.reference, p.money()})
	case void:
		err = c.provider.Void(ctx, Void{c.Key(), p.reference, p.authorization()})
	case giveBack:
		c.reference, err = c.provider.Refund(ctx, Refund{c.Key(), p.reference, c.refund.money()})
	}
	return kind(err)
}

// kind converts a provider's errors to the error kinds of jobs (SPEC D4).
func kind(err error) error {
	if err == nil {
		return nil
	}
	if away, ok := errors.AsType[*Unavailable](err); ok {
		return queue.Snooze(away.RetryAfter, err)
	}
	if _, ok := errors.AsType[*Rejected](err); ok {
		return queue.Permanent(err)
	}
	if _, ok := errors.AsType[*Declined](err); ok {
		return queue.Permanent(err)
	}
	return fmt.Errorf("payment provider: %w", err)
}
