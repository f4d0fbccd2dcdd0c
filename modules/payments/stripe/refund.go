package stripe

import (
	"cmp"
	"context"

	"github.com/stripe/stripe-go/v85"

	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Refund implements payments.Provider. A refund counts as made when Stripe has accepted it,
// although the payer's bank may take days and may still reject it.
func (p *Provider) Refund(ctx context.Context, r payments.Refund) (string, error) {
	amount, err := units(r.Amount)
	if err != nil {
		return "", err
	}
	params := &stripe.RefundCreateParams{
		PaymentIntent: &r.Reference,
		Amount:        &amount,
		Metadata:      map[string]string{refundKey: r.Key},
	}
	var refund *stripe.Refund
	_, err = p.once(&params.Params, r.Key, func() (*stripe.APIResource, error) {
		var err error
		if *params.IdempotencyKey != r.Key {
			// The previous call returned 500 but may have made the refund.
			if refund, err = p.findRefund(ctx, r); refund != nil || err != nil {
				return nil, err
			}
		}
		refund, err = p.client.V1Refunds.Create(ctx, params)
		return &refund.APIResource, err
	})
	if err != nil {
		return "", err
	}
	if refund.Status == stripe.RefundStatusFailed || refund.Status == stripe.RefundStatusCanceled {
		code := cmp.Or(kebab(string(refund.FailureReason)), "refund-failed")
		return "", &payments.Rejected{Code: code, Detail: refund.ID + " is " + string(refund.Status) + "."}
	}
	return refund.ID, nil
}

// refundKey is the metadata key under which a refund stores its idempotency key.
const refundKey = "key"

// findRefund returns the refund of a payment with this key, or nil.
func (p *Provider) findRefund(ctx context.Context, r payments.Refund) (*stripe.Refund, error) {
	list := p.client.V1Refunds.List(ctx, &stripe.RefundListParams{PaymentIntent: &r.Reference})
	for refund, err := range list.All(ctx) {
		if err != nil {
			return nil, err
		}
		if refund.Metadata[refundKey] == r.Key {
			return refund, nil
		}
	}
	return nil, nil //nolint:nilnil // nil means not found
}
