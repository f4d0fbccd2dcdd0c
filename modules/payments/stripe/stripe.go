// Package stripe is Stripe as a payment provider, through the official library
// (SPEC D3). A payment is a PaymentIntent: made, confirmed, and captured later.
//
// Stripe keeps the answer to an idempotency key, errors included, for 24 hours at
// least. Two things follow. What it answers a second time may be out of date, so
// where an intent stands is then read afresh. And a stored 500 would be answered for
// a day, so the next key is tried, which is safe for an intent because Stripe holds
// or takes its money once only, and for a refund because it is looked for first.
//
// After these 24 hours the key of a lost authorisation means nothing any more: a
// later void cannot find it, and Stripe itself lets it go, 7 days after it was made.
//
// The payer is not there to authenticate: a payment that needs it is declined. The
// method is a PaymentMethod that belongs to no Customer.
package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Options for a provider.
type Options struct {
	SecretKey  string       // sk_... or rk_...; it is in no error and no log
	APIURL     string       // for tests; Stripe's own when empty
	HTTPClient *http.Client // one with a time-out when nil
}

// Provider implements payments.Provider. The library's retries are off: jobs retry.
type Provider struct {
	client *stripe.Client
	secret string
}

// New makes a provider. It connects when it is asked.
func New(o Options) *Provider {
	config := &stripe.BackendConfig{
		HTTPClient:        o.HTTPClient,
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull}, // it would print whole answers
		MaxNetworkRetries: new(int64(0)),
		EnableTelemetry:   new(false),
	}
	if config.HTTPClient == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		config.HTTPClient = &http.Client{Timeout: 30 * time.Second, Transport: transport}
	}
	if o.APIURL != "" {
		config.URL = &o.APIURL
	}
	backends := &stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, config)}
	return &Provider{client: stripe.NewClient(o.SecretKey, stripe.WithBackends(backends)), secret: o.SecretKey}
}

// Name implements payments.Provider.
func (p *Provider) Name() string { return "stripe" }

// NeedsMethod implements payments.Provider.
func (p *Provider) NeedsMethod() bool { return true }

// Authorize implements payments.Provider. The intent is made first and confirmed
// after: an intent that nobody confirmed holds no money, so its id is known before
// any is held.
func (p *Provider) Authorize(ctx context.Context, a payments.Authorization) (string, error) {
	intent, err := p.create(ctx, a)
	if err != nil {
		return "", err
	}
	params := &stripe.PaymentIntentConfirmParams{ErrorOnRequiresAction: new(true)}
	id := intent.ID
	replayed, err := p.once(&params.Params, a.Key+":confirm", func() (*stripe.APIResource, error) {
		var err error
		intent, err = p.client.V1PaymentIntents.Confirm(ctx, id, params)
		return &intent.APIResource, err
	})
	if unexpected(err) || err == nil && replayed {
		intent, err = p.look(ctx, id)
	}
	if err == nil {
		err = p.confirmed(intent)
	}
	if err != nil {
		return "", err
	}
	return id, nil
}

// create makes the intent of an authorisation, or finds the one that was made.
func (p *Provider) create(ctx context.Context, a payments.Authorization) (intent *stripe.PaymentIntent, err error) {
	amount, err := units(a.Amount)
	if err != nil {
		return nil, err
	}
	params := &stripe.PaymentIntentCreateParams{
		Amount:        &amount,
		Currency:      currency(a.Amount),
		CaptureMethod: stripe.String(stripe.PaymentIntentCaptureMethodManual),
		PaymentMethod: &a.Method,
		AutomaticPaymentMethods: &stripe.PaymentIntentCreateAutomaticPaymentMethodsParams{
			Enabled:        new(true),
			AllowRedirects: stripe.String("never"), // there is nobody to redirect
		},
		Metadata: map[string]string{"order_id": a.OrderID.String(), "key": a.Key},
	}
	_, err = p.once(&params.Params, a.Key+":create", func() (*stripe.APIResource, error) {
		var err error
		intent, err = p.client.V1PaymentIntents.Create(ctx, params)
		return &intent.APIResource, err
	})
	return intent, err
}

// confirmed tells whether a confirmed intent holds money.
func (p *Provider) confirmed(intent *stripe.PaymentIntent) error {
	switch intent.Status {
	case stripe.PaymentIntentStatusRequiresCapture, stripe.PaymentIntentStatusSucceeded:
		return nil
	case stripe.PaymentIntentStatusCanceled:
		return &payments.Declined{Code: payments.CodeVoided, Detail: "The payment was called off."}
	case stripe.PaymentIntentStatusRequiresAction:
		return &payments.Declined{Code: payments.CodeAuthentication, Detail: "The payment needs the payer to authenticate."}
	case stripe.PaymentIntentStatusRequiresPaymentMethod:
		if e := intent.LastPaymentError; e != nil {
			return p.declined(e)
		}
		return &payments.Declined{Code: "payment-method-unusable", Detail: "The payment needs another payment method."}
	default:
		return unsettled(intent)
	}
}

// Capture implements payments.Provider.
func (p *Provider) Capture(ctx context.Context, c payments.Capture) error {
	amount, err := units(c.Amount)
	if err != nil {
		return err
	}
	params := &stripe.PaymentIntentCaptureParams{AmountToCapture: &amount}
	_, err = p.once(&params.Params, c.Key, func() (*stripe.APIResource, error) {
		intent, err := p.client.V1PaymentIntents.Capture(ctx, c.Reference, params)
		return &intent.APIResource, err
	})
	if !unexpected(err) {
		return err
	}
	intent, failed := p.look(ctx, c.Reference)
	switch {
	case failed != nil:
		return failed
	case intent.Status == stripe.PaymentIntentStatusSucceeded && intent.AmountReceived == amount:
		return nil
	case intent.Status == stripe.PaymentIntentStatusSucceeded:
		return &payments.Rejected{Code: "already-captured", Detail: fmt.Sprintf("%s was captured with another amount.", intent.ID)}
	case intent.Status == stripe.PaymentIntentStatusCanceled:
		return &payments.Rejected{Code: payments.CodeVoided, Detail: fmt.Sprintf("%s is canceled (%s); an authorisation lasts 7 days.", intent.ID, intent.CancellationReason)}
	case intent.Status == stripe.PaymentIntentStatusProcessing:
		return unsettled(intent)
	default:
		return err
	}
}

// Void implements payments.Provider. Without a reference it makes the same intent
// as Authorize, with the same key, which gives the one that Authorize made or will be
// given, and cancels that.
func (p *Provider) Void(ctx context.Context, v payments.Void) error {
	id := v.Reference
	if id == "" {
		intent, err := p.create(ctx, v.Of)
		if never(err) {
			return nil
		}
		if err != nil {
			return err
		}
		id = intent.ID
	}
	params := &stripe.PaymentIntentCancelParams{}
	_, err := p.once(&params.Params, v.Key, func() (*stripe.APIResource, error) {
		intent, err := p.client.V1PaymentIntents.Cancel(ctx, id, params)
		return &intent.APIResource, err
	})
	if !unexpected(err) {
		return err
	}
	intent, failed := p.look(ctx, id)
	switch {
	case failed != nil:
		return failed
	case intent.Status == stripe.PaymentIntentStatusCanceled:
		return nil
	case intent.Status == stripe.PaymentIntentStatusSucceeded:
		return &payments.Rejected{Code: "already-captured", Detail: fmt.Sprintf("%s was captured; it can be refunded.", id)}
	case intent.Status == stripe.PaymentIntentStatusProcessing:
		return unsettled(intent)
	default:
		return err
	}
}

// look reads where an intent stands now.
func (p *Provider) look(ctx context.Context, id string) (*stripe.PaymentIntent, error) {
	intent, err := p.client.V1PaymentIntents.Retrieve(ctx, id, nil)
	if err != nil {
		return nil, p.explain(err)
	}
	return intent, nil
}

// unsettled is for an intent that Stripe has not made up its mind about.
func unsettled(intent *stripe.PaymentIntent) error {
	return fmt.Errorf("stripe: %s is still %s", intent.ID, intent.Status)
}

// never tells that Stripe will not make such an intent, and so never has.
func never(err error) bool {
	if rejected, ok := errors.AsType[*payments.Rejected](err); ok {
		return rejected.Code != payments.CodeMismatch
	}
	_, declined := errors.AsType[*payments.Declined](err)
	return declined
}
