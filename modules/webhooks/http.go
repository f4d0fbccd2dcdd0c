package webhooks

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const (
	tag  = "Webhooks"
	path = "/v1/webhooks"
	one  = path + "/{id}"
)

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: path, Name: "create-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite, ExtraScopes: carries,
		Summary: "Create a webhook", Status: http.StatusCreated, Errors: []int{http.StatusConflict},
		Doc: "Events are POSTed to the URL as CloudEvents, signed as Standard Webhooks 1.0 says. The secret is in this answer and never " +
			"again, so the answer is not kept for an Idempotency-Key: who did not get it deletes the webhook. Whatever is not a 2xx within " +
			"15 seconds is tried again for three days. 409 `too-many-webhooks` beyond 50, and beyond 50 about everybody's orders. Made with an API key, it ends with the key.",
	}, m.createWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path, Name: "list-webhooks", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "Your webhooks, newest first",
	}, m.listWebhooks)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: one, Name: "get-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "One of your webhooks",
	}, m.getWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: one, Name: "change-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Change a webhook",
		Doc: "A merge patch: what is absent stays. While a webhook is disabled, its deliveries are numbered and held; " +
			"enabling it sends none of them by itself, a replay does. An API key needs `events:read` as well for changing `url` or `types` and for enabling; the webhook is the key's from then on, and ends with it.",
	}, m.changeWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: one, Name: "delete-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Delete a webhook", Doc: "With its log. What is under way is not sent any more.",
	}, m.deleteWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: one + "/rotate-secret", Name: "rotate-webhook-secret", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Give a webhook a new secret",
		Doc: "For a day both sign: there are two signatures, with a space between. The secret is in this answer and never again, " +
			"so there is no Idempotency-Key.",
	}, m.rotateWebhookSecret)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: one + "/test", Name: "test-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite, ExtraScopes: carries,
		Summary: "Send a test now",
		Doc: "Posts an event of the type `webhook.test`, once, and tells what came of it within four seconds. It has no number and is not in the log. " +
			"429 `too-many-tests` while a test of this webhook, or three of your webhooks, are under way, or your webhooks take all that is sent for you at once.",
	}, m.testWebhook)
	m.deliveryRoutes(api)
	m.replayRoutes(api)
}

// Webhook is an endpoint as its owner sees it.
type Webhook struct {
	ID                  uuid.UUID      `json:"id" format:"uuid"`
	URL                 string         `json:"url" example:"https://example.com/hooks"`
	Description         string         `json:"description"`
	Types               []string       `json:"types" nullable:"false" doc:"Of events; empty is all"`
	Ordering            string         `json:"ordering" enum:"none,order" doc:"order: an order's deliveries are sent one after the other"`
	UserID              *uuid.UUID     `json:"userId" format:"uuid" nullable:"true" doc:"Whose orders; null: everybody's, for administrators"`
	Enabled             bool           `json:"enabled"`
	DisabledReason      *string        `json:"disabledReason" nullable:"true" doc:"manual: you did; gone: it answered 410; failing: it took nothing for three days, or one delivery never; credential: the API key that made it was revoked, expired or lost a scope, or your account was not active"`
	DisabledAt          *jsontime.Time `json:"disabledAt" nullable:"true"`
	FailingSince        *jsontime.Time `json:"failingSince" nullable:"true" doc:"The first failure since the last success"`
	CreatedByKeyID      *uuid.UUID     `json:"createdByKeyId" format:"uuid" nullable:"true" doc:"The API key that made it, or that last chose its URL or types or enabled it: it ends with the key. null: a session did"`
	LastNumber          int64          `json:"lastNumber" doc:"Of its newest delivery"`
	PreviousSecretUntil *jsontime.Time `json:"previousSecretUntil" nullable:"true" doc:"How long the secret before the last rotation signs as well"`
	CreatedAt           jsontime.Time  `json:"createdAt"`
	UpdatedAt           jsontime.Time  `json:"updatedAt"`
}

// WebhookWithSecret is one with its secret, which is shown once.
type WebhookWithSecret struct {
	Webhook
	Secret string `json:"secret" doc:"Shown once; keep it safe" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

func render(w *ent.Webhook) Webhook {
	out := Webhook{
		ID: w.ID, URL: w.URL, Description: w.Description, Types: w.Types, Ordering: w.Ordering, UserID: w.UserID,
		Enabled: w.Enabled, DisabledReason: w.DisabledReason, DisabledAt: jsontime.AtOrNil(w.DisabledAt), FailingSince: jsontime.AtOrNil(w.FailingSince),
		CreatedByKeyID: w.KeyID, LastNumber: w.LastNumber, CreatedAt: jsontime.At(w.CreatedAt), UpdatedAt: jsontime.At(w.UpdatedAt),
	}
	if w.PreviousUntil != nil && time.Now().Before(*w.PreviousUntil) {
		out.PreviousSecretUntil = jsontime.AtOrNil(w.PreviousUntil)
	}
	return out
}

// NewWebhook describes an endpoint to create.
type NewWebhook struct {
	URL         string     `json:"url" format:"uri" minLength:"1" maxLength:"2000" doc:"https, with a public address" example:"https://example.com/hooks"`
	Description string     `json:"description,omitempty" maxLength:"500"`
	Types       []string   `json:"types,omitempty" maxItems:"100" nullable:"false" doc:"Of events; empty is all"`
	Ordering    string     `json:"ordering,omitempty" enum:"none,order" default:"none" doc:"order: an order's deliveries are sent one after the other"`
	UserID      *uuid.UUID `json:"userId,omitempty" format:"uuid" nullable:"true" doc:"Administrators only: whose orders; absent is everybody's"`
	Enabled     *bool      `json:"enabled,omitempty" nullable:"false" default:"true"`
}

type createInput struct {
	Body NewWebhook
}

type newWebhookAnswer struct {
	Location string `header:"Location" doc:"Where the webhook is"`
	Body     WebhookWithSecret
}

func (m *Module) createWebhook(ctx context.Context, in *createInput) (*newWebhookAnswer, error) {
	b := in.Body
	row, secret, err := m.create(ctx, identity.MustFromContext(ctx), newEndpoint{
		url: b.URL, description: b.Description, ordering: cmp.Or(b.Ordering, "none"), types: distinct(b.Types), user: b.UserID,
		enabled: b.Enabled == nil || *b.Enabled,
	})
	if err != nil {
		return nil, err
	}
	return &newWebhookAnswer{path + "/" + row.ID.String(), WebhookWithSecret{render(row), secret.Reveal()}}, nil
}

func distinct(list []string) []string {
	list = append([]string{}, list...)
	slices.Sort(list)
	return slices.Compact(list)
}

func (m *Module) listWebhooks(ctx context.Context, in *web.Paging) (*web.PageOf[Webhook], error) {
	caller := identity.MustFromContext(ctx)
	return web.Keyset(ctx, *in, func(before uuid.UUID, limit int) ([]*ent.Webhook, error) {
		return m.list(ctx, caller, before, limit)
	}, func(row *ent.Webhook) (uuid.UUID, Webhook) { return row.ID, render(row) })
}

// ByID names an endpoint in the path.
type ByID struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type webhookAnswer struct{ Body Webhook }

func (m *Module) getWebhook(ctx context.Context, in *ByID) (*webhookAnswer, error) {
	row, err := m.webhook(ctx, m.pool, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &webhookAnswer{render(row)}, nil
}

// WebhookUpdate is a merge patch of an endpoint.
type WebhookUpdate struct {
	URL         *string   `json:"url,omitempty" format:"uri" minLength:"1" maxLength:"2000" nullable:"false"`
	Description *string   `json:"description,omitempty" maxLength:"500" nullable:"false"`
	Types       *[]string `json:"types,omitempty" maxItems:"100" nullable:"false"`
	Ordering    *string   `json:"ordering,omitempty" enum:"none,order" nullable:"false"`
	Enabled     *bool     `json:"enabled,omitempty" nullable:"false"`
}

type patchInput struct {
	ByID
	Body WebhookUpdate
}

func (m *Module) changeWebhook(ctx context.Context, in *patchInput) (*webhookAnswer, error) {
	b := in.Body
	if b.Types != nil {
		b.Types = new(distinct(*b.Types))
	}
	row, err := m.change(ctx, identity.MustFromContext(ctx), in.ID, change{b.URL, b.Description, b.Ordering, b.Types, b.Enabled})
	if err != nil {
		return nil, err
	}
	return &webhookAnswer{render(row)}, nil
}

func (m *Module) deleteWebhook(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, m.remove(ctx, identity.MustFromContext(ctx), in.ID)
}

func (m *Module) rotateWebhookSecret(ctx context.Context, in *ByID) (*struct{ Body WebhookWithSecret }, error) {
	row, secret, err := m.rotate(ctx, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body WebhookWithSecret }{WebhookWithSecret{render(row), secret.Reveal()}}, nil
}

func (m *Module) testWebhook(ctx context.Context, in *ByID) (*struct{ Body TestResult }, error) {
	result, err := m.ping(ctx, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body TestResult }{result}, nil
}
