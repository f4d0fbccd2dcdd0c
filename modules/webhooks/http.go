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
	api.NameEnum("DeliveryOrdering", "none", "order")
	api.NameEnum("DeliveryStatus", "pending", "waiting", "delivered", "failed", "held", "withheld")
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: path, Name: "create-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite, ExtraScopes: carries,
		Summary: "Create a webhook", Status: http.StatusCreated, Errors: []int{http.StatusConflict},
		Doc: "Events are POSTed to the URL as CloudEvents, signed according to Standard Webhooks 1.0. The secret is only in this response, " +
			"which is not stored, so the route has no Idempotency-Key: if the response is lost, delete the webhook and create another one. If the endpoint does not respond with 2xx within " +
			"15 seconds, the delivery is retried for three days. 409 `too-many-webhooks` if you have 50 webhooks, or if 50 webhooks of administrators exist for the orders of all users. A webhook that was created with an API key is disabled when the key is revoked or expires.",
		Codes:   []string{"too-many-webhooks"},
		Example: `{"url":"https://example.com/hooks","types":["order.shipped","payment.captured"],"ordering":"order"}`,
		Check: web.CheckBody(func(ctx context.Context, b WebhookRequest) error {
			return m.validate(ctx, identity.MustFromContext(ctx), &newEndpoint{url: b.URL, types: distinct(b.Types), user: b.UserID})
		}),
	}, m.createWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: path, Name: "list-webhooks", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "List your webhooks, newest first",
	}, m.listWebhooks)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: one, Name: "get-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "Read one of your webhooks",
	}, m.getWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: one, Name: "change-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Change a webhook",
		Doc: "A JSON merge patch: absent members are not changed. While a webhook is disabled, its deliveries are numbered and held; " +
			"enabling it does not send them, use a replay for that. 409 `too-many-webhooks` if 50 webhooks for the orders of all users are enabled. To change `url` or `types` or to enable the webhook, an API key also needs the scope `events:read`; from then on the webhook is disabled when this key is revoked or expires.",
		Codes:   []string{"too-many-webhooks"},
		Example: `{"types":["order.shipped"]}`,
		Check: web.CheckBody(func(ctx context.Context, b WebhookUpdate) error {
			return m.validateChange(ctx, change{url: b.URL, types: b.Types})
		}),
	}, m.changeWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: one, Name: "delete-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Delete a webhook", Doc: "Its deliveries are deleted as well. Pending deliveries are not sent.",
	}, m.deleteWebhook)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: one + "/rotate-secret", Name: "rotate-webhook-secret", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Rotate a webhook's secret",
		Doc: "For a day messages are also signed with the replaced secret, and with others that were replaced in that time; signatures are separated by spaces. The secret is only in this response, " +
			"so the route has no Idempotency-Key.",
		Codes: []string{"too-many-secrets"},
	}, m.rotateWebhookSecret)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: one + "/test", Name: "test-webhook", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite, ExtraScopes: carries,
		Summary: "Send a test event",
		Doc: "Posts an event of the type `webhook.test` once and returns the result within four seconds. It has no number and is not among the deliveries. " +
			"429 `too-many-tests` while a test of this webhook or tests of three of your webhooks are running, or while your webhooks use your whole share of concurrent deliveries.",
		Codes: []string{"too-many-tests"},
	}, m.testWebhook)
	m.deliveryRoutes(api)
	m.replayRoutes(api)
	m.userRoutes(api)
}

// Webhook is an endpoint as its owner sees it.
type Webhook struct {
	ID                  uuid.UUID      `json:"id" format:"uuid"`
	URL                 string         `json:"url" example:"https://example.com/hooks"`
	Description         string         `json:"description"`
	Types               []string       `json:"types" nullable:"false" doc:"Event types; if empty, all types"`
	Ordering            string         `json:"ordering" enum:"none,order" doc:"order: the deliveries of an order are sent in sequence; none: they may overtake each other"`
	UserID              *uuid.UUID     `json:"userId" format:"uuid" nullable:"true" doc:"The user whose orders the webhook is for; null: all users, for administrators only"`
	Enabled             bool           `json:"enabled"`
	DisabledReason      *string        `json:"disabledReason" nullable:"true" doc:"manual: disabled by you; gone: the endpoint responded with 410; failing: no delivery succeeded for three days, or one delivery exhausted its attempts; credential: the API key of the webhook was revoked, expired or lost a scope; account: the account was deactivated or deleted, or is no longer an administrator's and the webhook was for the orders of others"`
	DisabledAt          *jsontime.Time `json:"disabledAt" nullable:"true"`
	FailingSince        *jsontime.Time `json:"failingSince" nullable:"true" doc:"The time of the first failure since the last success"`
	CreatedByKeyID      *uuid.UUID     `json:"createdByKeyId" format:"uuid" nullable:"true" doc:"The API key that created or enabled the webhook or last changed its URL or types; the webhook is disabled with it. null: it was done with a session"`
	LastNumber          int64          `json:"lastNumber" doc:"The number of the newest delivery"`
	PreviousSecretUntil *jsontime.Time `json:"previousSecretUntil" nullable:"true" doc:"Until when messages are also signed with the previous secret"`
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

// WebhookRequest describes an endpoint to create.
type WebhookRequest struct {
	URL         string     `json:"url" format:"uri" minLength:"1" maxLength:"2000" doc:"An https URL with a public address" example:"https://example.com/hooks"`
	Description string     `json:"description,omitempty" maxLength:"500"`
	Types       []string   `json:"types,omitempty" maxItems:"100" nullable:"false" doc:"Event types; if empty, all types"`
	Ordering    string     `json:"ordering,omitempty" enum:"none,order" default:"none" doc:"order: the deliveries of an order are sent in sequence; none: they may overtake each other"`
	UserID      *uuid.UUID `json:"userId,omitempty" format:"uuid" nullable:"true" doc:"Administrators only: the user whose orders the webhook is for; if absent, all users"`
	Enabled     *bool      `json:"enabled,omitempty" nullable:"false" default:"true"`
}

type createWebhookInput struct {
	Body WebhookRequest
}

type newWebhookAnswer struct {
	Location string `header:"Location" doc:"The URL of the webhook"`
	Body     WebhookWithSecret
}

func (m *Module) createWebhook(ctx context.Context, in *createWebhookInput) (*newWebhookAnswer, error) {
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
		return m.list(ctx, caller.UserID, before, limit)
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

type changeWebhookInput struct {
	ByID
	Body WebhookUpdate
}

func (m *Module) changeWebhook(ctx context.Context, in *changeWebhookInput) (*webhookAnswer, error) {
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
	return nil, m.remove(ctx, identity.MustFromContext(ctx).UserID, in.ID)
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
