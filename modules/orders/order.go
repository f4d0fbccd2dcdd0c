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

// Order is an order as the outside sees it.
type Order struct {
	ID            uuid.UUID        `json:"id"`
	UserID        uuid.UUID        `json:"userId" doc:"Whose order it is"`
	Status        lifecycle.Status `json:"status"`
	PaymentStatus string           `json:"paymentStatus" enum:"NONE,AUTHORIZED,CAPTURED,PARTIALLY_REFUNDED,REFUNDED,VOIDED,DECLINED,REFUND_FAILED"`
	PaymentMethod *string          `json:"paymentMethod" doc:"What pays: a token of the payment provider"`
	Given
	OnShortage     string             `json:"onShortage" enum:"fail,hold"`
	Items          []Line             `json:"items" nullable:"false"`
	Total          money.Money        `json:"total"`
	Captured       money.Money        `json:"captured" doc:"Money that was taken"`
	Refunded       money.Money        `json:"refunded" doc:"Of that, what went back"`
	Refunding      money.Money        `json:"refunding" doc:"Of that, what is on its way back"`
	Tracking       *string            `json:"tracking" doc:"The carrier's number"`
	Reason         *string            `json:"reason" doc:"Why it is on hold or was cancelled"`
	HeldFrom       *string            `json:"heldFrom" doc:"Where release leads back to"`
	Failure        *lifecycle.Failure `json:"failure" doc:"Why it is FAILED"`
	Stalled        *string            `json:"stalled" doc:"The step that gave up and waits for an administrator; see dead letters"`
	Version        int64              `json:"version" doc:"Goes up by one with every event; the ETag"`
	AllowedActions []string           `json:"allowedActions,omitzero" required:"true" nullable:"false" doc:"What its reader may do with it now"`
	CreatedAt      jsontime.Time      `json:"createdAt"`
	UpdatedAt      jsontime.Time      `json:"updatedAt"`
}

// Line is one line of an order, as the API shows it.
type Line = lifecycle.Line

// render shows a row and its lines to a reader.
func render(row *ent.Order, lines []Line, reader identity.Caller) Order {
	o := snapshot(row, lines)
	o.AllowedActions = allowedActions(row, reader)
	return o
}

// snapshot is the order without what depends on a reader, as events carry it.
func snapshot(row *ent.Order, lines []Line) Order {
	o := Order{
		ID: row.ID, UserID: row.UserID,
		PaymentMethod: row.PaymentMethod, Given: givenOf(row),
		OnShortage: row.OnShortage, Items: lines, Total: money.Money{Amount: row.Total, Currency: row.Currency},
		CreatedAt: jsontime.At(row.CreatedAt),
	}
	return o.show(storage.State(row))
}

// show returns the order with everything that the state of the aggregate determines.
func (o Order) show(s lifecycle.State) Order {
	o.Status, o.HeldFrom, o.Reason, o.Failure = s.Status, storage.NilIfEmpty(string(s.HeldFrom)), s.Reason, s.Failure
	o.PaymentStatus = string(s.Payment.Status)
	o.Captured, o.Refunded, o.Refunding = s.In(s.Payment.Captured), s.In(s.Payment.Refunded), s.In(s.Payment.Refunding)
	o.Tracking, o.Stalled = s.Tracking, storage.NilIfEmpty(s.Stalled)
	o.Version, o.UpdatedAt = s.Version, jsontime.At(s.UpdatedAt)
	return o
}

// roleOf is what a caller is to an order: an administrator may own it as well.
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

func allowedActions(row *ent.Order, reader identity.Caller) []string {
	o := lifecycle.Order{State: storage.State(row), Deadlines: storage.Deadlines(row)}
	return o.AllowedActions(roleOf(row, reader))
}
