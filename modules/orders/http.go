package orders

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const tag = "Orders"

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders", Name: "place-order", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Place an order", Status: http.StatusCreated, Errors: []int{http.StatusConflict},
		Doc: "Accepts an order at the catalogue's names and prices. After the 201 it is durable and will be processed.",
	}, m.postOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders", Name: "list-orders", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "List orders, newest first",
		Doc:     "Your own orders; administrators see everybody's.",
	}, m.getOrders)
	m.quoteRoutes(api) // before {id}, which would hide them
	m.bulkRoutes(api)
	m.statsRoutes(api)
	m.exportRoutes(api)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}", Name: "get-order", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Read an order", Errors: []int{http.StatusNotFound, http.StatusNotModified},
	}, m.getOrder)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/orders/{id}/events", Name: "get-order-events", Tag: tag, Role: identity.User, Scope: identity.OrdersRead,
		Summary: "Read an order's history", Errors: []int{http.StatusNotFound},
	}, m.getHistory)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/cancel", Name: "cancel-order", Tag: tag, Role: identity.User, Scope: identity.OrdersWrite,
		Summary: "Cancel an order", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "Gives the stock back in the same commit, and lets the money go by a durable job. An order that is cancelled already is answered as it is.",
	}, m.postCancel)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/orders/{id}/status", Name: "set-order-status", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Move an order on", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "Ships, completes, holds, releases, reopens or cancels, by the status that it is to have.",
	}, m.patchStatus)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/hold", Name: "hold-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Put an order on hold", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "It keeps its stock and its authorisation until it is released or cancelled.",
	}, m.postHold)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/orders/{id}/release", Name: "release-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Let a held order go on where it was", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
	}, m.postRelease)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/orders/{id}", Name: "delete-order", Tag: tag, Role: identity.Admin, Scope: identity.OrdersWrite,
		Summary: "Take an order out of sight", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		Doc: "A live order is cancelled first. Its history and its money stay on record.",
	}, m.deleteOrder)
	m.deadRoutes(api)
}

type placeInput struct {
	idempotency.Header
	Body Wanted
}

func (m *Module) postOrder(ctx context.Context, in *placeInput) (*idempotency.Output[Order], error) {
	key, err := in.KeyOf(ctx, "POST /v1/orders", in.Body)
	if err != nil {
		return nil, err
	}
	answer, err := m.Place(ctx, identity.Must(ctx), in.Body, key)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[Order](answer), nil
}

// Narrow is what lists and exports can be narrowed by.
type Narrow struct {
	UserID      uuid.UUID      `query:"userId" format:"uuid" doc:"Administrators only: whose orders"`
	Status      []StatusFilter `query:"status,explode" doc:"Repeat for several"`
	Reference   string         `query:"reference" maxLength:"100" doc:"Exactly this reference"`
	CreatedFrom web.Time       `query:"createdFrom" doc:"Created at this time or later"`
	CreatedTo   web.Time       `query:"createdTo" doc:"Created at this time or earlier"`
	Q           string         `query:"q" maxLength:"200" doc:"Words that all occur in the reference, the note, the skus or the names"`
}

func (n Narrow) filter() Filter {
	return Filter{
		UserID: n.UserID, Statuses: distinct(n.Status), Reference: n.Reference, Words: n.Q,
		From: time.Time(n.CreatedFrom), To: time.Time(n.CreatedTo),
	}
}

type listInput struct {
	web.Paging
	Narrow
}

func (m *Module) getOrders(ctx context.Context, in *listInput) (*web.PageOf[Order], error) {
	f := in.filter()
	f.Limit = in.Limit
	if in.Cursor != "" {
		last, err := web.DecodeCursor(in.Cursor, 1)
		if err != nil {
			return nil, err
		}
		if f.Before, err = uuid.Parse(last[0]); err != nil {
			return nil, web.BadCursor()
		}
	}

	page, more, err := m.List(ctx, identity.Must(ctx), f)
	if err != nil {
		return nil, err
	}
	next := ""
	if more {
		next = web.EncodeCursor(page[len(page)-1].ID.String())
	}
	return web.Paged(ctx, page, next), nil
}

func distinct(list []StatusFilter) (statuses []lifecycle.Status) {
	for _, s := range list {
		statuses = append(statuses, lifecycle.Status(s))
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

// OrderInput is the part that all routes of one order share.
type OrderInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type getInput struct {
	OrderInput
	IfNoneMatch string `header:"If-None-Match"`
}

type getOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *Order
}

func (m *Module) getOrder(ctx context.Context, in *getInput) (*getOutput, error) {
	o, err := m.Get(ctx, identity.Must(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := &getOutput{Status: http.StatusOK, ETag: web.ETag(o.Version), Body: &o}
	if web.NotModified(in.IfNoneMatch, out.ETag) {
		out.Status, out.Body = http.StatusNotModified, nil
	}
	return out, nil
}

func (m *Module) getHistory(ctx context.Context, in *OrderInput) (*web.PageOf[events.Message], error) {
	list, err := m.History(ctx, identity.Must(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	messages := make([]events.Message, len(list))
	for i, e := range list {
		messages[i] = e.Message()
	}
	return web.Paged(ctx, messages, ""), nil
}

type cancelInput struct {
	OrderInput
	idempotency.Header
	IfMatch string `header:"If-Match" doc:"Only if the order still has this ETag"`
	Body    *struct {
		Reason *string `json:"reason,omitzero" maxLength:"500"`
	}
}

func (m *Module) postCancel(ctx context.Context, in *cancelInput) (*idempotency.Output[Order], error) {
	seen, err := seenVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	key, err := in.KeyOf(ctx, "POST /v1/orders/"+in.ID.String()+"/cancel", in.Body)
	if err != nil {
		return nil, err
	}
	var reason *string
	if in.Body != nil {
		reason = in.Body.Reason
	}
	answer, err := m.Cancel(ctx, identity.Must(ctx), in.ID, reason, seen, key)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[Order](answer), nil
}

type statusInput struct {
	OrderInput
	IfMatch string `header:"If-Match" doc:"Only if the order still has this ETag"`
	Body    Move
}

func (m *Module) patchStatus(ctx context.Context, in *statusInput) (*idempotency.Output[Order], error) {
	seen, err := seenVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	answer, err := m.SetStatus(ctx, identity.Must(ctx), in.ID, in.Body, seen)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[Order](answer), nil
}

type holdInput struct {
	OrderInput
	idempotency.Header
	IfMatch string `header:"If-Match" doc:"Only if the order still has this ETag"`
	Body    struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500"`
	}
}

func (m *Module) postHold(ctx context.Context, in *holdInput) (*idempotency.Output[Order], error) {
	seen, err := seenVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	key, err := in.KeyOf(ctx, "POST /v1/orders/"+in.ID.String()+"/hold", in.Body)
	if err != nil {
		return nil, err
	}
	answer, err := m.Hold(ctx, identity.Must(ctx), in.ID, in.Body.Reason, seen, key)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[Order](answer), nil
}

type releaseInput struct {
	OrderInput
	idempotency.Header
	IfMatch string `header:"If-Match" doc:"Only if the order still has this ETag"`
}

func (m *Module) postRelease(ctx context.Context, in *releaseInput) (*idempotency.Output[Order], error) {
	seen, err := seenVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	key, err := in.KeyOf(ctx, "POST /v1/orders/"+in.ID.String()+"/release", nil)
	if err != nil {
		return nil, err
	}
	answer, err := m.Release(ctx, identity.Must(ctx), in.ID, seen, key)
	if err != nil {
		return nil, err
	}
	return idempotency.Out[Order](answer), nil
}

type deleteInput struct {
	OrderInput
	IfMatch string `header:"If-Match" doc:"Only if the order still has this ETag"`
}

func (m *Module) deleteOrder(ctx context.Context, in *deleteInput) (*struct{}, error) {
	seen, err := seenVersion(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return nil, m.Delete(ctx, identity.Must(ctx), in.ID, seen)
}

// seenVersion is the version that If-Match asks for, nil for any.
func seenVersion(header string) (*int64, error) {
	version, anyVersion, present, err := web.ParseIfMatch(header)
	if err != nil || !present || anyVersion {
		return nil, err
	}
	return &version, nil
}
