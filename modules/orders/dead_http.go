package orders

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const deadTag = "Dead letters"

func (m *Module) deadRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/dead-letters", Name: "list-dead-letters", Tag: deadTag, Role: identity.Admin, Scope: identity.DeadLettersRead,
		Summary: "List dead letters, oldest first",
		Doc:     "A dead letter is a job that failed for good. Lists open dead letters, or resolved ones with `resolved=true`.",
	}, m.listDeadLetters)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/dead-letters/bulk", Name: "resolve-dead-letters", Tag: deadTag, Role: identity.Admin, Scope: identity.DeadLettersWrite,
		Summary: "Resolve many dead letters",
		Doc:     "Resolves up to 500 open dead letters, each order in its own transaction, and fewer if the time limit is reached; repeat the request for the rest. Resolved dead letters are not changed, so repeating the request is safe. With `dryRun` it only lists the dead letters that match.",
		Example: `{"action":"retry","filter":{"step":"capture"},"dryRun":true}`,
	}, m.resolveDeadLetters)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/dead-letters/{id}", Name: "get-dead-letter", Tag: deadTag, Role: identity.Admin, Scope: identity.DeadLettersRead,
		Summary: "Read a dead letter", Errors: []int{http.StatusNotFound},
	}, m.getDeadLetter)
	for _, r := range []struct {
		how, summary, doc, code string
	}{
		{retry, "Retry the step of a dead letter", "A failed order is reopened; any other order continues at the step that stalled.", "order-deleted"},
		{skip, "Skip the step of a dead letter", "The order is not changed, and the step is not attempted again.", "resolved"},
		{cancel, "Cancel the order of a dead letter", "Only while the order can be cancelled.", "illegal-transition"},
	} {
		web.HandleIdempotent(api, web.Route{
			Method: http.MethodPost, Path: "/v1/dead-letters/{id}/" + r.how, Name: r.how + "-dead-letter", Tag: deadTag, Role: identity.Admin, Scope: identity.DeadLettersWrite,
			Summary: r.summary, Doc: r.doc + " Returns the order.", Errors: []int{http.StatusNotFound, http.StatusConflict},
			Codes: []string{"resolved", r.code}, Example: `{"reason":"the provider confirmed it by phone"}`,
		}, orderChanged, m.resolveDeadLetter(r.how))
	}
}

type listDeadLettersInput struct {
	web.Paging
	Step     string    `query:"step" pattern:"^[a-z][a-z0-9]*(-[a-z0-9]+)*$" maxLength:"64" doc:"reserve, process, authorize, capture, void, refund, or the name of an added step"`
	OrderID  uuid.UUID `query:"orderId" format:"uuid"`
	Resolved bool      `query:"resolved" doc:"List resolved dead letters instead of open ones"`
}

func (m *Module) listDeadLetters(ctx context.Context, in *listDeadLettersInput) (*web.PageOf[DeadLetter], error) {
	f := DeadLetterQuery{Step: in.Step, Resolved: in.Resolved}
	if in.OrderID != uuid.Nil {
		f.Orders = []uuid.UUID{in.OrderID}
	}
	return web.Keyset(ctx, in.Paging, func(after uuid.UUID, limit int) ([]DeadLetter, error) {
		f.After, f.Limit = after, limit
		return m.DeadLetters(ctx, f)
	}, func(l DeadLetter) (uuid.UUID, DeadLetter) { return l.ID, l })
}

// DeadLetterPath is the input that all routes of one dead letter share.
type DeadLetterPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) getDeadLetter(ctx context.Context, in *DeadLetterPath) (*struct{ Body DeadLetter }, error) {
	l, err := m.letter(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body DeadLetter }{l}, nil
}

type resolveDeadLetterInput struct {
	DeadLetterPath
	Body *DeadLetterResolutionRequest
}

// DeadLetterResolutionRequest is the body of a request to resolve a dead letter.
type DeadLetterResolutionRequest struct {
	Reason *string `json:"reason,omitzero" minLength:"1" maxLength:"500" doc:"Required for skip"`
}

func (m *Module) resolveDeadLetter(how string) func(context.Context, *resolveDeadLetterInput, idempotency.Key[Order]) (idempotency.Result[Order], error) {
	return func(ctx context.Context, in *resolveDeadLetterInput, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
		return m.Resolve(ctx, identity.MustFromContext(ctx), in.ID, how, optional(in.Body).Reason, key)
	}
}

// DeadLetterBulkRequest is an action on all dead letters that match a filter.
type DeadLetterBulkRequest struct {
	Action string           `json:"action" enum:"retry,skip,cancel"`
	Filter DeadLetterFilter `json:"filter"`
	Reason *string          `json:"reason,omitzero" minLength:"1" maxLength:"500" doc:"Required for skip"`
	DryRun bool             `json:"dryRun,omitempty" doc:"Only list the dead letters that match"`
}

// DeadLetterFilter selects open dead letters; a member that is absent selects all.
type DeadLetterFilter struct {
	IDs      []uuid.UUID   `json:"ids,omitempty" maxItems:"500"`
	OrderIDs []uuid.UUID   `json:"orderIds,omitempty" maxItems:"500"`
	Step     string        `json:"step,omitempty" pattern:"^[a-z][a-z0-9]*(-[a-z0-9]+)*$" maxLength:"64" doc:"reserve, process, authorize, capture, void, refund, or the name of an added step"`
	Error    string        `json:"error,omitempty" maxLength:"200" doc:"A part of the error"`
	From     jsontime.Time `json:"createdFrom,omitzero"`
	To       jsontime.Time `json:"createdTo,omitzero"`
}

func (m *Module) resolveDeadLetters(ctx context.Context, in *struct{ Body DeadLetterBulkRequest }) (*web.PageOf[DeadLetterResult], error) {
	f := in.Body.Filter
	results, err := m.ResolveMany(ctx, identity.MustFromContext(ctx), DeadLetterQuery{
		IDs: f.IDs, Orders: f.OrderIDs, Step: f.Step, Error: f.Error, From: time.Time(f.From), To: time.Time(f.To),
	}, in.Body.Action, in.Body.Reason, in.Body.DryRun)
	if err != nil {
		return nil, err
	}
	return web.Paged(ctx, results, ""), nil
}

// TransformSchema adds what struct tags cannot express: resolvedAt may be null.
func (DeadLetter) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["resolvedAt"].Nullable = true
	return s
}
