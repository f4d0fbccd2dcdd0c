package payments

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/money"
)

// Orders is the part of the orders module that the routes need.
type Orders interface {
	// Visible returns the fault of an order that the caller may not see.
	Visible(ctx context.Context, caller identity.Caller, order uuid.UUID) error
	// Refund requests a refund of an amount, or of the price of units by sku.
	Refund(ctx context.Context, caller identity.Caller, order uuid.UUID, amount *money.Money, skus []string, units []int64, reason string, key idempotency.Key[settlement.Refund]) (idempotency.Result[settlement.Refund], error)
}

// RefundItem is a number of units of one sku.
type RefundItem struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"64"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"500000000"`
}

// RefundResponse is the JSON form of a refund.
type RefundResponse struct {
	_ struct{} `schema:"Refund"`

	ID        uuid.UUID     `json:"id"`
	OrderID   uuid.UUID     `json:"orderId"`
	Status    string        `json:"status" enum:"PENDING,DONE,FAILED,ABANDONED"`
	Amount    money.Money   `json:"amount"`
	Items     []RefundItem  `json:"items" doc:"The requested units; empty if an amount was requested"`
	Reason    string        `json:"reason"`
	Failure   *string       `json:"failure" doc:"The provider's error code, if the refund failed"`
	CreatedAt jsontime.Time `json:"createdAt"`
}

// RefundID implements settlement.Refund.
func (r RefundResponse) RefundID() uuid.UUID { return r.ID }

func renderRefund(r *refund) RefundResponse {
	out := RefundResponse{
		ID: r.id, OrderID: r.order, Status: strings.ToUpper(r.state), Amount: r.money(),
		Reason: r.reason, Failure: r.code, CreatedAt: jsontime.At(r.createdAt),
	}
	for _, sku := range slices.Sorted(maps.Keys(r.items)) {
		out.Items = append(out.Items, RefundItem{sku, r.items[sku]})
	}
	return out
}

// refunds returns an order's refunds, oldest first.
func (m *Module) refunds(ctx context.Context, order uuid.UUID) ([]RefundResponse, error) {
	rows, err := m.pool.Query(ctx, selectRefunds, []uuid.UUID{order})
	if err != nil {
		return nil, wrap("refunds", order, err)
	}
	list, err := collectRefunds(rows)
	if err != nil {
		return nil, wrap("refunds", order, err)
	}
	out := make([]RefundResponse, len(list))
	for i, r := range list {
		out[i] = renderRefund(r)
	}
	return out, nil
}
