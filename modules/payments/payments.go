// Package payments moves the money of orders, through a provider, exactly once.
//
// What is to be asked of the provider is written before it is asked, and what it
// answered after, each in a transaction of the order's; the asking itself happens
// outside of any. Every question has a key of its own that never changes, so a
// crash between the two ends in the same question again and the same answer
// (SPEC D3). Whoever changes the money of an order holds the order's row lock,
// which is the only lock that this package relies on.
package payments

import (
	"context"
	"errors"
	"fmt"

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

// NeedsMethod tells whether an order with a price must name what pays.
func (m *Module) NeedsMethod() bool { return m.provider.NeedsMethod() }

// Call is a question to the provider. It is an alias of a type without a name, so
// that orders can speak of the same type without importing this package.
type Call = interface {
	// Step names what is asked: authorize, capture, void or refund.
	Step() string
	// Key tells one question from another; it is the provider's key for it.
	Key() string
	// Do asks, outside any transaction. It returns nil when there is an answer for
	// Record, "declined" included; an error is of queue's three kinds.
	Do(ctx context.Context) error
}

// call is one question to the provider and, once asked, its answer.
type call struct {
	step      string // authorize, capture, void, refund
	payment   payment
	refund    *refund
	provider  Provider
	reference string    // the answer
	declined  *Declined // or this one; to an authorisation only
}

// The steps by name, as dead letters show them.
const (
	authorize = "authorize"
	capture   = "capture"
	void      = "void"
	giveBack  = "refund"
)

func (c *call) Step() string { return c.step }

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

// kind sorts a provider's errors into those of jobs (SPEC D4).
func kind(err error) error {
	if err == nil {
		return nil
	}
	if away, ok := errors.AsType[*Away](err); ok {
		return queue.Later(away.Wait, err)
	}
	if _, ok := errors.AsType[*Rejected](err); ok {
		return queue.Permanent(err)
	}
	if _, ok := errors.AsType[*Declined](err); ok {
		return queue.Permanent(err)
	}
	return fmt.Errorf("payment provider: %w", err)
}
