package orders

import (
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Order is the JSON form of an order.
type Order struct {
	ID            uuid.UUID        `json:"id"`
	UserID        uuid.UUID        `json:"userId" doc:"The user who owns the order"`
	Status        lifecycle.Status `json:"status"`
	PaymentStatus string           `json:"paymentStatus" enum:"NONE,AUTHORIZED,CAPTURED,PARTIALLY_REFUNDED,REFUNDED,VOIDED,DECLINED,REFUND_FAILED"`
	PaymentMethod *string          `json:"paymentMethod" doc:"A token of the payment provider"`
	Given
	OnShortage     string             `json:"onShortage" enum:"fail,hold"`
	Items          []Line             `json:"items" nullable:"false"`
	Total          money.Money        `json:"total"`
	Captured       money.Money        `json:"captured" doc:"The captured amount"`
	Refunded       money.Money        `json:"refunded" doc:"The part of the captured amount that was refunded"`
	Refunding      money.Money        `json:"refunding" doc:"The amount of pending refunds"`
	Tracking       *string            `json:"tracking" doc:"The carrier's tracking number"`
	Reason         *string            `json:"reason" doc:"The reason for the hold or the cancellation"`
	HeldFrom       *string            `json:"heldFrom" doc:"The status to which a release returns the order"`
	Failure        *lifecycle.Failure `json:"failure" doc:"Why processing failed"`
	Stalled        *string            `json:"stalled" doc:"The step that failed for good and has an open dead letter"`
	Steps          []OrderStep        `json:"steps,omitzero" required:"false" nullable:"false" doc:"The steps that decide before the payment, in their order; empty until the stock is reserved"`
	Version        int64              `json:"version" doc:"Increases by one with every event; the ETag"`
	AllowedActions []string           `json:"allowedActions,omitzero" required:"true" nullable:"false" doc:"The actions that the caller may perform now"`
	CreatedAt      jsontime.Time      `json:"createdAt"`
	UpdatedAt      jsontime.Time      `json:"updatedAt"`
}

// Line is the JSON form of one line of an order.
type Line = lifecycle.Line

// render returns the order as a caller may see it.
func (m *Module) render(full storage.Full, reader identity.Caller) Order {
	o := snapshot(full)
	o.AllowedActions = m.allowedActions(full.Row, reader)
	return o
}

// snapshot returns the order without the members that depend on the caller, as events have it.
func snapshot(full storage.Full) Order {
	row := full.Row
	o := Order{
		ID: row.ID, UserID: row.UserID,
		PaymentMethod: row.PaymentMethod, Given: givenOf(row),
		OnShortage: row.OnShortage, Items: full.Lines, Total: money.Money{Amount: row.Total, Currency: row.Currency},
		CreatedAt: jsontime.At(row.CreatedAt),
	}
	return o.show(full.State())
}

// show returns the order with all members that the state of the aggregate determines.
func (o Order) show(s lifecycle.State) Order {
	o.Status, o.HeldFrom, o.Reason, o.Failure = s.Status, storage.NilIfEmpty(string(s.HeldFrom)), s.Reason, s.Failure
	o.PaymentStatus = string(s.Payment.Status)
	o.Captured, o.Refunded, o.Refunding = s.In(s.Payment.Captured), s.In(s.Payment.Refunded), s.In(s.Payment.Refunding)
	o.Tracking, o.Stalled, o.Steps = s.Tracking, storage.NilIfEmpty(s.Stalled), showSteps(s.Steps)
	o.Version, o.UpdatedAt = s.Version, jsontime.At(s.UpdatedAt)
	return o
}

// roleOf returns the roles of a caller towards an order; an administrator may also be its owner.
func roleOf(row *ent.Order, c identity.Caller) (role lifecycle.Role) {
	if c.UserID == row.UserID {
		role |= lifecycle.Owner
	}
	if c.IsAdmin() {
		role |= lifecycle.Admin
	}
	return role
}

func visible(row *ent.Order, caller identity.Caller) bool {
	return row.DeletedAt == nil && roleOf(row, caller) != 0
}

// mayDo returns the roles in which a caller may change an order. Owners whose time to cancel is over
// (OwnerCancelsUntil) only read it.
func (m *Module) mayDo(row *ent.Order, c identity.Caller) lifecycle.Role {
	role := roleOf(row, c)
	if m.OwnerCancelsUntil == lifecycle.Processing && row.Status == string(lifecycle.Processing) {
		role &^= lifecycle.Owner
	}
	return role
}

func (m *Module) allowedActions(row *ent.Order, reader identity.Caller) []string {
	o := lifecycle.Order{State: storage.State(row), Deadlines: storage.Deadlines(row)}
	return o.AllowedActions(m.mayDo(row, reader))
}
