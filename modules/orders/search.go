package orders

import (
	"context"
	"fmt"
	"strings"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The newest orders that a search looks through before it asks the index of
// words. Common words are found among them; what is not is rare.
const searchWindow = 2000

// search finds orders by words (SPEC C5), in a time that does not grow with the
// table (G2). One plan cannot do that: walking the newest orders is right for a
// common word and hopeless for a rare one, the inverted index the other way
// round, and the planner knows too little of words to choose. So it walks a
// bounded window, and only if that does not fill the page asks the index.
func (m *Module) search(ctx context.Context, q postgres.Querier, f Filter) ([]*ent.Order, error) {
	ids, whole, err := m.searchNewest(ctx, q, f)
	if err == nil && !whole && len(ids) <= f.Limit {
		ids, err = m.searchIndex(ctx, f)
	}
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return db(q).Order.Query().Where(order.IDIn(ids...)).Order(order.ByID(sql.OrderDesc())).All(ctx)
}

// searchNewest looks for the words in a window of the orders that fit otherwise;
// whole tells that there are no more of those. The fences (offset 0) keep the
// planner from anything but looking the orders up one by one, newest first, until
// there are enough.
func (m *Module) searchNewest(ctx context.Context, q postgres.Querier, f Filter) (ids []uuid.UUID, whole bool, err error) {
	args := []any{searched(f.Words), f.Limit + 1, searchWindow}
	var parts []string
	for _, s := range orEvery(f.Statuses) {
		parts = append(parts, "(select o.id from orders o where "+conditions(f, s, &args)+" order by o.id desc limit $3)")
	}

	var seen int
	err = q.QueryRow(ctx, `
		with newest as materialized (
			select id from (`+strings.Join(parts, " union all ")+`) as n order by id desc limit $3
		)
		select (select count(*) from newest), array(
			select n.id from (select id from newest order by id desc offset 0) as n
			cross join lateral (select from order_terms t where t.order_id = n.id and t.terms @> $1 offset 0) as hit
			limit $2)`, args...).Scan(&seen, &ids)
	return ids, seen < searchWindow, err
}

// searchIndex asks the inverted index for all orders with the words, and then
// which of them fit otherwise.
func (m *Module) searchIndex(ctx context.Context, f Filter) (ids []uuid.UUID, err error) {
	args := []any{searched(f.Words), f.Limit + 1}
	fits := conditions(f, "", &args)
	if len(f.Statuses) > 0 {
		args = append(args, f.Statuses)
		fits += fmt.Sprintf(" and o.status = any($%d)", len(args))
	}

	err = postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`set local enable_seqscan = off`) // or the planner reads all words instead of the index
		b.Queue(`
			with hits as materialized (select order_id from order_terms where terms @> $1)
			select fit.id from hits
			cross join lateral (select o.id from orders o where o.id = hits.order_id and `+fits+` offset 0) as fit
			order by fit.id desc limit $2`, args...,
		).Query(func(rows pgx.Rows) (err error) {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	return ids, err
}
