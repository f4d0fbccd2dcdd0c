package webhooks

import (
	"cmp"
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

func (m *Module) replayRoutes(api *web.API) {
	const replays = one + "/replays"
	web.HandleIdempotent(api, web.Route{
		Method: http.MethodPost, Path: replays, Name: "create-replay", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite, ExtraScopes: carries,
		Summary: "Send a range of deliveries again", Status: http.StatusAccepted, Errors: []int{http.StatusConflict},
		Doc: "The range is given by numbers or by times. Deliveries keep their numbers and webhook-ids and are sent at a limited rate. A replay survives crashes; " +
			"`Location` shows its progress. 409 is `webhook-disabled` or `replay-running`.",
		Codes:   []string{"replay-running", "webhook-disabled"},
		Example: `{"since":"2026-01-31T12:00:00Z","rate":10}`,
		Check: web.CheckBody(func(_ context.Context, w ReplayRequest) error {
			_, err := m.stretchOf(w)
			return err
		}),
	}, replayBegun, m.createReplay)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: replays, Name: "list-replays", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "List a webhook's replays, newest first",
	}, m.listReplays)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: replays + "/{replayId}", Name: "get-replay", Tag: tag, Role: identity.User, Scope: identity.WebhooksRead,
		Summary: "Read the progress of a replay",
	}, m.getReplay)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: replays + "/{replayId}/cancel", Name: "cancel-replay", Tag: tag, Role: identity.User, Scope: identity.WebhooksWrite,
		Summary: "Cancel a replay", Doc: "Deliveries that were started are not stopped. Repeating the request is safe.",
	}, m.cancelReplay)
}

// Replay is a replayRange of deliveries that is sent again.
type Replay struct {
	ID         uuid.UUID      `json:"id" format:"uuid"`
	Status     string         `json:"status" enum:"running,done,cancelled,stopped" doc:"stopped: the webhook was disabled, or the API key of the request was revoked or expired"`
	From       int64          `json:"from" doc:"The first number"`
	To         int64          `json:"to" doc:"The last number; less than from if there is nothing to send"`
	Types      []string       `json:"types" nullable:"false"`
	Statuses   []string       `json:"statuses" nullable:"false"`
	Rate       int64          `json:"rate" doc:"Deliveries per second"`
	Position   int64          `json:"position" doc:"The last number that was processed"`
	Sent       int64          `json:"sent" doc:"The number of deliveries that were sent again so far"`
	CreatedAt  jsontime.Time  `json:"createdAt"`
	FinishedAt *jsontime.Time `json:"finishedAt" nullable:"true"`
}

func renderReplay(r *ent.WebhookReplay) Replay {
	return Replay{
		ID: r.ID, Status: r.Status, From: r.FromNumber, To: r.ToNumber, Types: r.Types, Statuses: r.Statuses, Rate: r.Rate,
		Position: r.Position, Sent: r.Sent, CreatedAt: jsontime.At(r.CreatedAt), FinishedAt: jsontime.AtOrNil(r.FinishedAt),
	}
}

// ReplayRequest is a range of deliveries to send again.
type ReplayRequest struct {
	From   *int64        `json:"from,omitempty" minimum:"1" nullable:"false" doc:"The first number"`
	To     *int64        `json:"to,omitempty" minimum:"1" nullable:"false" doc:"The last number"`
	Since  jsontime.Time `json:"since,omitzero" doc:"Deliveries created at this time or later"`
	Until  jsontime.Time `json:"until,omitzero" doc:"Deliveries created at this time or earlier"`
	Types  []string      `json:"types,omitempty" maxItems:"100" nullable:"false" doc:"Only these"`
	Status []string      `json:"status,omitempty" enum:"delivered,failed,held,withheld" maxItems:"4" nullable:"false" doc:"Only deliveries with these statuses"`
	Rate   int64         `json:"rate,omitempty" minimum:"1" maximum:"100" default:"10" doc:"Deliveries per second"`
}

type replayInput struct {
	ByID
	Body ReplayRequest
}

var replayBegun = web.Responder[*ent.WebhookReplay, Replay]{
	Location: func(r *ent.WebhookReplay) string {
		return path + "/" + r.WebhookID.String() + "/replays/" + r.ID.String()
	},
	Body: func(_ context.Context, r *ent.WebhookReplay) Replay { return renderReplay(r) },
}

func (m *Module) createReplay(ctx context.Context, in *replayInput, key idempotency.Key[*ent.WebhookReplay]) (none idempotency.Result[*ent.WebhookReplay], err error) {
	s, err := m.stretchOf(in.Body)
	if err != nil {
		return none, err
	}
	return m.replay(ctx, identity.MustFromContext(ctx), in.ID, s, key)
}

func (m *Module) stretchOf(w ReplayRequest) (replayRange, error) {
	s := replayRange{since: w.Since.Std(), until: w.Until.Std(), types: distinct(w.Types), statuses: distinct(w.Status), rate: cmp.Or(w.Rate, 10)}
	if w.From != nil {
		s.from = *w.From
	}
	if w.To != nil {
		s.to = *w.To
	}
	wrong := m.unknownTypes(s.types)
	switch {
	case s.from == 0 && s.to == 0 && w.Since.IsZero() && w.Until.IsZero():
		wrong = append(wrong, fault.Field{Pointer: "/from", Code: "required", Message: "from or since is required"})
	case (s.from > 0 || s.to > 0) && (!w.Since.IsZero() || !w.Until.IsZero()):
		wrong = append(wrong, fault.Field{Pointer: "/since", Code: "invalid", Message: "must not be combined with from and to"})
	case s.to > 0 && s.to < s.from:
		wrong = append(wrong, fault.Field{Pointer: "/to", Code: "invalid", Message: "is before from"})
	case !w.Since.IsZero() && !w.Until.IsZero() && s.until.Before(s.since):
		wrong = append(wrong, fault.Field{Pointer: "/until", Code: "invalid", Message: "is before since"})
	}
	if len(wrong) > 0 {
		return s, fault.Invalid(wrong...)
	}
	return s, nil
}

type replaysInput struct {
	ByID
	web.Paging
}

func (m *Module) listReplays(ctx context.Context, in *replaysInput) (*web.PageOf[Replay], error) {
	if _, err := m.webhook(ctx, m.pool, identity.MustFromContext(ctx), in.ID); err != nil {
		return nil, err
	}
	return web.Keyset(ctx, in.Paging, func(before uuid.UUID, limit int) ([]*ent.WebhookReplay, error) {
		return m.replays(ctx, in.ID, before, limit)
	}, func(row *ent.WebhookReplay) (uuid.UUID, Replay) { return row.ID, renderReplay(row) })
}

// ByReplay names a replay in the path.
type ByReplay struct {
	ByID
	ReplayID uuid.UUID `path:"replayId" format:"uuid"`
}

type replayAnswer struct{ Body Replay }

func (m *Module) getReplay(ctx context.Context, in *ByReplay) (*replayAnswer, error) {
	if _, err := m.webhook(ctx, m.pool, identity.MustFromContext(ctx), in.ID); err != nil {
		return nil, err
	}
	row, err := m.replayOf(ctx, m.pool, in.ID, in.ReplayID)
	if err != nil {
		return nil, err
	}
	return &replayAnswer{renderReplay(row)}, nil
}

func (m *Module) cancelReplay(ctx context.Context, in *ByReplay) (*replayAnswer, error) {
	row, err := m.cancel(ctx, identity.MustFromContext(ctx), in.ID, in.ReplayID)
	if err != nil {
		return nil, err
	}
	return &replayAnswer{renderReplay(row)}, nil
}
