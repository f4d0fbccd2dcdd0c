// Package invoice lets customers pay later: every authorisation is granted, and the
// accounting of the shop collects the money. It calls nobody, so it keeps nothing.
package invoice

import (
	"context"

	"github.com/orderflow-dev/orderflow/app"
	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Name is what PAYMENT_PROVIDER selects, and what every payment keeps.
const Name = "invoice"

type provider struct{}

// New makes the provider; pass it to app.WithProvider.
func New(*app.Platform) (payments.Provider, error) { return provider{}, nil }

func (provider) Name() string { return Name }

func (provider) NeedsMethod() bool { return false }

// Authorize grants everything. The reference follows from the key, because a call that is
// repeated must get the same answer.
func (provider) Authorize(_ context.Context, a payments.Authorization) (string, error) {
	return "invoice-" + a.Key, nil
}

func (provider) Capture(context.Context, payments.Capture) error { return nil }

func (provider) Void(context.Context, payments.Void) error { return nil }

func (provider) Refund(_ context.Context, r payments.Refund) (string, error) {
	return "credit-" + r.Key, nil
}
