// Package stripe implements a payment provider with Stripe's official library (SPEC D3). A
// payment is a PaymentIntent that is created, confirmed, and captured later.
//
// Stripe stores the response to an idempotency key, including errors, for at least 24 hours. A
// repeated response may therefore be outdated, so the state of the intent is read again. And a
// stored 500 would be returned for a day, so the next key is tried. This is safe for an intent
// because Stripe authorises and captures it only once, and for a refund because existing
// refunds are checked first.
//
// After these 24 hours the key of an authorisation with a lost response is forgotten: a later
// void cannot find it, and Stripe releases it 7 days after its creation.
//
// Payments are off-session: one that requires authentication is declined. The method is a
// PaymentMethod without a Customer.
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
	SecretKey  string       // sk_... or rk_...; never part of errors and logs
	APIURL     string       // for tests; if empty, Stripe's API
	HTTPClient *http.Client // if nil, a client with a timeout
}

// Provider implements payments.Provider. The library's retries are off: jobs retry.
type Provider struct {
	client *stripe.Client
	secret string
}

// New returns a provider. It connects with the first call.
func New(o Options) *Provider {
	config := &stripe.BackendConfig{
		HTTPClient:        o.HTTPClient,
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull}, // it would log whole responses
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

// Authorize implements payments.Provider. The intent is created first and confirmed afterwards,
// so that its id is known before any money is authorised.
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

// create returns the intent of an authorisation, which may exist already.
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
			AllowRedirects: stripe.String("never"), // there is no browser to redirect
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

// confirmed returns whether a confirmed intent is authorised.
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

// Void implements payments.Provider. Without a reference it creates the same intent as
// Authorize with the same key, so that both get the same intent, and cancels it.
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

// look reads the current state of an intent.
func (p *Provider) look(ctx context.Context, id string) (*stripe.PaymentIntent, error) {
	intent, err := p.client.V1PaymentIntents.Retrieve(ctx, id, nil)
	if err != nil {
		return nil, p.explain(err)
	}
	return intent, nil
}

// unsettled returns the error for an intent that Stripe is still processing.
func unsettled(intent *stripe.PaymentIntent) error {
	return fmt.Errorf("stripe: %s is still %s", intent.ID, intent.Status)
}

// never reports whether Stripe rejects such an intent, so that none can exist.
func never(err error) bool {
	if rejected, ok := errors.AsType[*payments.Rejected](err); ok {
		return rejected.Code != payments.CodeMismatch
	}
	_, declined := errors.AsType[*payments.Declined](err)
	return declined
}
