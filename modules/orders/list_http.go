package orders

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// OrderFilters are the filters of lists and exports.
type OrderFilters struct {
	UserID      uuid.UUID      `query:"userId" format:"uuid" doc:"Administrators only: the orders of this user"`
	Status      []StatusFilter `query:"status,explode" doc:"Only this status; repeat the parameter or separate several by commas"`
	Reference   string         `query:"reference" maxLength:"100" doc:"Only orders with exactly this reference"`
	CreatedFrom jsontime.Param `query:"createdFrom" doc:"Created at this time or later; a date means midnight UTC"`
	CreatedTo   jsontime.Param `query:"createdTo" doc:"Created at this time or earlier; a date means midnight UTC, the beginning of the day"`
	Q           string         `query:"q" format:"words" maxLength:"200" doc:"Words that must all occur in the reference, the note, the skus or the product names"`
}

func (n OrderFilters) filter() Filter {
	return Filter{
		UserID: n.UserID, Statuses: distinct(n.Status), Reference: n.Reference, Words: n.Q,
		From: n.CreatedFrom.Std(), To: n.CreatedTo.Std(),
	}
}

type listOrdersInput struct {
	web.Paging
	OrderFilters
}

func (m *Module) listOrders(ctx context.Context, in *listOrdersInput) (*web.PageOf[Order], error) {
	f := in.filter()
	f.Limit = in.Limit
	return web.KeysetFrom(ctx, in.Paging, func(before uuid.UUID) (page []Order, next uuid.UUID, err error) {
		f.Before = before
		page, more, err := m.List(ctx, identity.MustFromContext(ctx), f)
		if more {
			next = page[len(page)-1].ID
		}
		return page, next, err
	})
}

func distinct(list []StatusFilter) (statuses []lifecycle.Status) {
	for _, s := range list {
		statuses = append(statuses, lifecycle.Status(s))
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}
