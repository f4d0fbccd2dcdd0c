package webhooks

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) deliveryRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: one + "/deliveries", Name: "list-deliveries", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "List a webhook's deliveries, newest first",
		Doc: "With `status` or `type`, a page examines at most 5,000 deliveries, so it may be short or empty and still have a " +
			"`nextCursor`. Deliveries are kept for 30 days unless the operator configures another period.",
	}, m.listDeliveries)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: one + "/deliveries/{number}", Name: "get-delivery", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "Read a delivery with its attempts, newest first",
	}, m.getDelivery)
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: one + "/deliveries/{number}/resend", Name: "resend-delivery", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite, ExtraScopes: carries,
		Summary: "Send a delivery again", Status: http.StatusAccepted, Errors: []int{http.StatusConflict},
		Doc:   "The number and the webhook-id stay the same. 409 is `webhook-disabled` or `delivery-under-way`.",
		Codes: []string{"delivery-under-way", "webhook-disabled"},
	}, deliveryResent, m.resendDelivery)
}

// Delivery is the delivery of one event to one endpoint.
type Delivery struct {
	Number    int64          `json:"number" doc:"Numbers the webhook's deliveries without gaps"`
	MessageID string         `json:"messageId" doc:"The webhook-id of all attempts of the delivery"`
	EventID   string         `json:"eventId" example:"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11/3"`
	OrderID   uuid.UUID      `json:"orderId" format:"uuid"`
	Type      string         `json:"type" example:"order.confirmed"`
	Status    string         `json:"status" enum:"pending,waiting,delivered,failed,held,withheld" doc:"waiting: an earlier delivery of the same order is not finished; held: the webhook was disabled; withheld: you may no longer see the order"`
	Tries     int64          `json:"tries" doc:"The number of attempts since the delivery was created or last resent"`
	NextTryAt *jsontime.Time `json:"nextTryAt" nullable:"true"`
	CreatedAt jsontime.Time  `json:"createdAt"`
	SettledAt *jsontime.Time `json:"settledAt" nullable:"true"`
}

// DeliveryWithAttempts is one with what came of each try.
type DeliveryWithAttempts struct {
	Delivery
	Attempts []Attempt `json:"attempts" nullable:"false" doc:"The last 100 attempts, newest first"`
}

func renderDelivery(d *ent.WebhookDelivery) Delivery {
	return Delivery{
		Number: d.Number, MessageID: messageID(d.ID), EventID: d.OrderID.String() + "/" + strconv.FormatInt(d.Version, 10),
		OrderID: d.OrderID, Type: d.Type, Status: d.Status, Tries: d.Tries, NextTryAt: jsontime.AtOrNil(d.DueAt),
		CreatedAt: jsontime.At(d.CreatedAt), SettledAt: jsontime.AtOrNil(d.SettledAt),
	}
}

func renderAttempt(a *ent.WebhookAttempt) Attempt {
	return Attempt{At: jsontime.At(a.At), DurationMS: a.DurationMs, StatusCode: a.StatusCode, Error: a.Error, Answer: a.Answer}
}

type deliveriesInput struct {
	ByID
	web.Paging
	Status  []string  `query:"status,explode" enum:"pending,waiting,delivered,failed,held,withheld" maxItems:"6" doc:"Only these; repeat the parameter or separate several by commas"`
	Type    []string  `query:"type,explode" maxItems:"50" doc:"Only these; repeat the parameter or separate several by commas"`
	OrderID uuid.UUID `query:"orderId" format:"uuid"`
}

func (m *Module) listDeliveries(ctx context.Context, in *deliveriesInput) (*web.PageOf[Delivery], error) {
	hook, err := m.webhook(ctx, m.pool, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	f := filter{statuses: in.Status, kinds: in.Type, order: in.OrderID, limit: in.Limit}
	if c := identity.MustFromContext(ctx); !c.IsAdmin() && (hook.UserID == nil || *hook.UserID != c.UserID) { // it was about others' orders
		f.user = c.UserID
	}
	return web.KeysetFrom(ctx, in.Paging, func(before int64) ([]Delivery, int64, error) {
		f.before = before
		rows, below, err := m.deliveries(ctx, hook.ID, hook.LastNumber, f)
		data := make([]Delivery, len(rows))
		for i, row := range rows {
			data[i] = renderDelivery(row)
		}
		return data, below, err
	})
}

// ByNumber names a delivery in the path.
type ByNumber struct {
	ByID
	Number int64 `path:"number" minimum:"1"`
}

func (m *Module) getDelivery(ctx context.Context, in *ByNumber) (*struct{ Body DeliveryWithAttempts }, error) {
	hook, err := m.webhook(ctx, m.pool, identity.MustFromContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	row, err := m.delivery(ctx, m.pool, identity.MustFromContext(ctx), hook.ID, in.Number)
	if err != nil {
		return nil, err
	}
	attempts, err := m.attempts(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	out := DeliveryWithAttempts{Delivery: renderDelivery(row), Attempts: make([]Attempt, len(attempts))}
	for i, a := range attempts {
		out.Attempts[i] = renderAttempt(a)
	}
	return &struct{ Body DeliveryWithAttempts }{out}, nil
}

var deliveryResent = web.Responder[*ent.WebhookDelivery, Delivery]{
	Body: func(_ context.Context, d *ent.WebhookDelivery) Delivery { return renderDelivery(d) },
}

func (m *Module) resendDelivery(ctx context.Context, in *ByNumber, key idempotency.Key[*ent.WebhookDelivery]) (idempotency.Result[*ent.WebhookDelivery], error) {
	return m.resend(ctx, identity.MustFromContext(ctx), in.ID, in.Number, key)
}
