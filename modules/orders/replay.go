package orders

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// A kept answer is given again to somebody who may still see what it shows (SPEC C3, A5).

func orderDeleted() *fault.Error {
	return fault.New(fault.Conflict, "order-deleted", "The order that this request placed was deleted.")
}

// stillVisible is for acts on one order: who may not see it any more is answered as the
// act would answer. A demoted administrator's own order shows what they may do now.
func (m *Module) stillVisible(caller identity.Caller, id uuid.UUID, deletedToo bool) func(context.Context, postgres.Querier, idempotency.Answer) (idempotency.Answer, error) {
	return func(ctx context.Context, q postgres.Querier, kept idempotency.Answer) (idempotency.Answer, error) {
		row, err := db(q).Order.Get(ctx, id)
		switch {
		case ent.IsNotFound(err):
			return kept, fault.Absent("order")
		case err != nil:
			return kept, fmt.Errorf("read order %s: %w", id, err)
		case roleOf(row, caller) == 0, row.DeletedAt != nil && !deletedToo:
			return kept, fault.Absent("order")
		case !kept.Demoted || kept.Status != http.StatusOK:
			return kept, nil
		}
		var o Order
		if err := json.Unmarshal(kept.Body, &o); err != nil {
			return kept, fmt.Errorf("read a kept order: %w", err)
		}
		o.AllowedActions = allowedActions(row, caller)
		kept.Body, err = web.Marshal(o)
		return kept, err
	}
}

// stillPlaced is for the answer that names one new order.
func stillPlaced(ctx context.Context, q postgres.Querier, kept idempotency.Answer) (idempotency.Answer, error) {
	id, err := uuid.Parse(strings.TrimPrefix(kept.Headers["Location"], "/v1/orders/"))
	if err != nil {
		return kept, nil //nolint:nilerr // a refusal: it names no order of this request
	}
	gone, err := deletedAmong(ctx, q, []uuid.UUID{id})
	if err == nil && gone[id] {
		err = orderDeleted()
	}
	return kept, err
}

// stillPlacedMany is for the answer to many: in the place of deleted orders there is why
// they do not show.
func stillPlacedMany(ctx context.Context, q postgres.Querier, kept idempotency.Answer) (idempotency.Answer, error) {
	if kept.Status != http.StatusOK {
		return kept, nil
	}
	var page web.Page[struct {
		Index  int             `json:"index"`
		Status int             `json:"status"`
		Order  json.RawMessage `json:"order,omitempty"`
		Error  json.RawMessage `json:"error,omitempty"`
	}]
	if err := json.Unmarshal(kept.Body, &page); err != nil {
		return kept, fmt.Errorf("read the kept answer to many orders: %w", err)
	}
	ids := make([]uuid.UUID, len(page.Data))
	for i, r := range page.Data {
		var o struct{ ID uuid.UUID }
		if len(r.Order) > 0 {
			if err := json.Unmarshal(r.Order, &o); err != nil {
				return kept, fmt.Errorf("read the kept order %d of many: %w", i, err)
			}
		}
		ids[i] = o.ID
	}
	gone, err := deletedAmong(ctx, q, ids)
	if err != nil || len(gone) == 0 {
		return kept, err
	}
	problem, err := web.Marshal(web.ProblemOf(ctx, orderDeleted()))
	if err != nil {
		return kept, err
	}
	for i := range page.Data {
		if gone[ids[i]] {
			r := &page.Data[i]
			r.Status, r.Order, r.Error = http.StatusConflict, nil, problem
		}
	}
	kept.Body, err = web.Marshal(page)
	return kept, err
}

// deletedAmong asks for each id by itself: without statistics the planner would read the
// whole table for a list.
func deletedAmong(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := q.Query(ctx, `
		select o.id from unnest($1::uuid[]) as i (id)
		cross join lateral (select id, deleted_at from orders where orders.id = i.id limit 1) o
		where o.deleted_at is not null`, ids)
	if err != nil {
		return nil, fmt.Errorf("look for deleted orders: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("look for deleted orders: %w", err)
	}
	gone := make(map[uuid.UUID]bool, len(list))
	for _, id := range list {
		gone[id] = true
	}
	return gone, nil
}
