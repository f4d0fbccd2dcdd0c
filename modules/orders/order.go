package orders

import (
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Order is an order as the outside sees it.
type Order struct {
	ID             uuid.UUID        `json:"id"`
	UserID         uuid.UUID        `json:"userId" doc:"Whose order it is"`
	Status         lifecycle.Status `json:"status" enum:"PENDING,CONFIRMED,PROCESSING,SHIPPED,COMPLETED,ON_HOLD,FAILED,CANCELLED"`
	PaymentStatus  string           `json:"paymentStatus" enum:"NONE,AUTHORIZED,CAPTURED,PARTIALLY_REFUNDED,REFUNDED,VOIDED,DECLINED,REFUND_FAILED"`
	PaymentMethod  *string          `json:"paymentMethod" doc:"What pays: a token of the payment provider"`
	Reference      *string          `json:"reference" doc:"The caller's own number"`
	Note           *string          `json:"note"`
	Metadata       Metadata         `json:"metadata"`
	OnShortage     string           `json:"onShortage" enum:"fail,hold"`
	Items          []Line           `json:"items" nullable:"false"`
	Total          money.Money      `json:"total"`
	Captured       money.Money      `json:"captured" doc:"Money that was taken"`
	Refunded       money.Money      `json:"refunded" doc:"Of that, what went back"`
	Refunding      money.Money      `json:"refunding" doc:"Of that, what is on its way back"`
	Tracking       *string          `json:"tracking" doc:"The carrier's number"`
	Reason         *string          `json:"reason" doc:"Why it is on hold or was cancelled"`
	HeldFrom       *string          `json:"heldFrom" doc:"Where release leads back to"`
	Failure        *Failure         `json:"failure" doc:"Why it is FAILED"`
	Stalled        *string          `json:"stalled" doc:"The step that gave up and waits for an administrator; see dead letters"`
	Version        int64            `json:"version" doc:"Goes up by one with every event; the ETag"`
	AllowedActions []string         `json:"allowedActions,omitzero" required:"true" nullable:"false" doc:"What its reader may do with it now"`
	CreatedAt      jsontime.Time    `json:"createdAt"`
	UpdatedAt      jsontime.Time    `json:"updatedAt"`
}

// Line is one position, with name and price as they were when it was ordered.
type Line struct {
	SKU       string      `json:"sku"`
	Name      string      `json:"name"`
	Quantity  int64       `json:"quantity"`
	UnitPrice money.Money `json:"unitPrice"`
	Total     money.Money `json:"total"`
}

// Failure says why an order was given up.
type Failure struct {
	Code   string   `json:"code" example:"out-of-stock"`
	Detail string   `json:"detail"`
	SKUs   []string `json:"skus,omitempty" doc:"Which were short"`
}

// Metadata is the caller's own JSON object, kept as it came.
type Metadata json.RawMessage

// MarshalJSON writes what was kept, null when nothing was.
func (m Metadata) MarshalJSON() ([]byte, error) {
	if len(m) == 0 {
		return []byte("null"), nil
	}
	return m, nil
}

// UnmarshalJSON keeps an object; null is the same as absent.
func (m *Metadata) UnmarshalJSON(raw []byte) error {
	switch {
	case string(raw) == "null":
		*m = nil
	case len(raw) > 0 && raw[0] == '{':
		*m = append((*m)[:0], raw...)
	default:
		return errors.New("metadata must be an object")
	}
	return nil
}

// render shows a row and its lines to a reader.
func render(row *ent.Order, lines []Line, reader identity.Caller) Order {
	o := snapshot(row, lines)
	o.AllowedActions = allowedActions(row, reader)
	return o
}

// snapshot is the order as nobody in particular sees it, as events carry it.
func snapshot(row *ent.Order, lines []Line) Order {
	o := Order{
		ID: row.ID, UserID: row.UserID,
		Status: lifecycle.Status(row.Status), PaymentStatus: row.PaymentStatus,
		PaymentMethod: row.PaymentMethod, Reference: row.Reference, Note: row.Note, Metadata: Metadata(row.Metadata),
		OnShortage: row.OnShortage, Items: lines, Total: in(row, row.Total),
		Captured: in(row, row.Captured), Refunded: in(row, row.Refunded), Refunding: in(row, row.Refunding),
		Tracking: row.Tracking, Reason: row.Reason, HeldFrom: row.HeldFrom, Stalled: row.Stalled, Version: row.Version,
		CreatedAt: jsontime.At(row.CreatedAt), UpdatedAt: jsontime.At(row.UpdatedAt),
	}
	if row.FailureCode != nil {
		o.Failure = &Failure{Code: *row.FailureCode, Detail: deref(row.FailureDetail), SKUs: row.FailureSkus}
	}
	return o
}

// in is an amount in an order's currency.
func in(row *ent.Order, amount int64) money.Money {
	return money.Money{Amount: amount, Currency: row.Currency}
}

// party is what a caller is to an order: an administrator may own it as well.
func party(row *ent.Order, c identity.Caller) (who lifecycle.Who) {
	if c.UserID == row.UserID {
		who |= lifecycle.Owner
	}
	if c.IsAdmin() {
		who |= lifecycle.Admin
	}
	return who
}

func position(row *ent.Order) lifecycle.At {
	return lifecycle.At{Status: lifecycle.Status(row.Status), HeldFrom: lifecycle.Status(deref(row.HeldFrom))}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
