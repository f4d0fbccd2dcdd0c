package notifications

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const inboxTag = "Notifications"

func (m *Module) inboxRoutes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/notifications", Name: "list-notifications", Tag: inboxTag,
		Role: identity.User, Scope: identity.NotificationsRead, Summary: "List your notifications, newest first",
		Doc: "One notification for each event of your orders that concerns you. The socket and the stream send the number of unread notifications whenever it changes.",
	}, m.listNotifications)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/notifications", Name: "mark-notifications", Tag: inboxTag,
		Role: identity.User, Scope: identity.NotificationsWrite, Summary: "Mark notifications as read",
		Doc:     "Marks all notifications, or with `upTo` only this one and older ones, so that a notification that arrived meanwhile stays unread.",
		Example: `{"read":true}`,
	}, m.markNotifications)
	web.Handle(api, web.Route{
		Method: http.MethodPatch, Path: "/v1/notifications/{id}", Name: "mark-notification", Tag: inboxTag,
		Role: identity.User, Scope: identity.NotificationsWrite, Summary: "Mark a notification as read or unread", Errors: []int{http.StatusNotFound},
		Example: `{"read":true}`,
	}, m.markNotification)
}

// Notification is the JSON form of a notification.
type Notification struct {
	ID        uuid.UUID      `json:"id"`
	Type      string         `json:"type" doc:"The event's type" example:"order.shipped"`
	OrderID   uuid.UUID      `json:"orderId"`
	Version   int64          `json:"version" doc:"The order's version after the event"`
	Message   string         `json:"message" example:"The order was shipped."`
	CreatedAt jsontime.Time  `json:"createdAt" doc:"The time of the event"`
	ReadAt    *jsontime.Time `json:"readAt" nullable:"true"`
}

func (m *Module) render(row *ent.Notification) Notification {
	n := Notification{
		ID: row.ID, Type: row.Type, OrderID: row.OrderID, Version: row.Version,
		Message: m.sentences[row.Type], CreatedAt: jsontime.At(row.At),
	}
	if row.ReadAt != nil {
		n.ReadAt = new(jsontime.At(*row.ReadAt))
	}
	return n
}

// Inbox is a page of a user's notifications.
type Inbox struct {
	_ struct{} `schema:"NotificationPage"`

	web.Page[Notification]
	Unread int64 `json:"unread" doc:"The number of unread notifications in the inbox"`
}

type inboxOutput struct {
	Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)"`
	Body Inbox
}

func (m *Module) listNotifications(ctx context.Context, in *struct {
	Unread string `query:"unread" enum:"true,false" doc:"true: only unread notifications; false: only read ones"`
	web.Paging
}) (*inboxOutput, error) {
	var only *bool
	if in.Unread != "" {
		only = new(in.Unread == "true")
	}
	var unread int64
	page, err := web.Keyset(ctx, in.Paging, func(before uuid.UUID, limit int) (rows []*ent.Notification, err error) {
		rows, unread, err = m.inbox(ctx, identity.MustFromContext(ctx).UserID, only, before, limit)
		return rows, err
	}, func(row *ent.Notification) (uuid.UUID, Notification) { return row.ID, m.render(row) })
	if err != nil {
		return nil, err
	}
	out := &inboxOutput{Link: page.Link}
	out.Body.Page, out.Body.Unread = page.Body, unread
	return out, nil
}

// InboxUpdate marks notifications of an inbox as read.
type InboxUpdate struct {
	Read bool       `json:"read" enum:"true" doc:"Always true"`
	UpTo *uuid.UUID `json:"upTo,omitzero" format:"uuid" doc:"The newest notification to mark"`
}

// InboxUpdateResult says how many notifications an InboxUpdate changed.
type InboxUpdateResult struct {
	Marked int64 `json:"marked" doc:"The number of notifications that were marked"`
}

// NotificationUpdate marks one notification as read or unread.
type NotificationUpdate struct {
	Read bool `json:"read"`
}

type marked struct{ Body InboxUpdateResult }

func (m *Module) markNotifications(ctx context.Context, in *struct {
	Body InboxUpdate
}) (*marked, error) {
	upTo := uuid.Nil
	if in.Body.UpTo != nil {
		upTo = *in.Body.UpTo
		if upTo == uuid.Nil {
			return nil, fault.Invalid(fault.Field{Pointer: "/upTo", Code: "format", Message: "is not the id of a notification"})
		}
	}
	out := &marked{}
	var err error
	out.Body.Marked, err = m.markAll(ctx, identity.MustFromContext(ctx).UserID, upTo)
	return out, err
}

func (m *Module) markNotification(ctx context.Context, in *struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body NotificationUpdate
}) (*struct{ Body Notification }, error) {
	row, err := m.mark(ctx, identity.MustFromContext(ctx).UserID, in.ID, in.Body.Read)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Notification }{m.render(row)}, nil
}
