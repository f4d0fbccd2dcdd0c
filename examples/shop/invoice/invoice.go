// Package invoice lets customers pay later: every authorisation is granted, and the
// accounting of the shop collects the money. It calls no service and stores nothing.
package invoice

import (
	"context"

	"github.com/orderflow-dev/orderflow/app"
	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Name is the value of PAYMENT_PROVIDER, which is stored with every payment.
const Name = "invoice"

type provider struct{}

// New returns the provider; pass it to app.WithProvider.
func New(*app.Platform) (payments.Provider, error) { return provider{}, nil }

func (provider) Name() string { return Name }

func (provider) NeedsMethod() bool { return false }

// Authorize approves every authorisation. The reference is derived from the key, because a repeated
// call must return the same result.
func (provider) Authorize(_ context.Context, a payments.Authorization) (string, error) {
	return "invoice-" + a.Key, nil
}

func (provider) Capture(context.Context, payments.Capture) error { return nil }

func (provider) Void(context.Context, payments.Void) error { return nil }

func (provider) Refund(_ context.Context, r payments.Refund) (string, error) {
	return "credit-" + r.Key, nil
}
