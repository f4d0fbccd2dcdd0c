package orders

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/words"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The number of newest orders that a search examines before it uses the index of terms. Common
// terms occur among them; other terms are rare.
const searchWindow = 2000

// search finds orders by words (SPEC C5) in a time that does not depend on the size of the
// table (G2). No single plan can do that: scanning the newest orders is fast for common words
// and slow for rare ones, the inverted index is the opposite, and the planner has no statistics
// to choose. So search scans a window of limited size, and uses the index only if the window
// does not fill the page.
func (m *Module) search(ctx context.Context, q postgres.Querier, f Filter) ([]storage.Full, error) {
	if len(words.Query(f.Words)) == 0 {
		return nil, nil
	}
	ids, whole, err := m.searchNewest(ctx, q, f)
	if err == nil && !whole && len(ids) <= f.Limit {
		ids, err = m.searchIndex(ctx, f)
	}
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	list, err := storage.Read(ctx, q, ids)
	slices.SortFunc(list, func(a, b storage.Full) int { return bytes.Compare(b.Row.ID[:], a.Row.ID[:]) })
	return list, err
}

// searchNewest looks for the words in a window of the orders that match the rest of the filter;
// whole is true if the window has all of these. The optimization fences (offset 0) make the
// planner look orders up one by one, newest first, until the page is full.
func (m *Module) searchNewest(ctx context.Context, q postgres.Querier, f Filter) (ids []uuid.UUID, whole bool, err error) {
	args := []any{words.Query(f.Words), f.Limit + 1, searchWindow}
	var parts []string
	for _, r := range ranges(f, &args) {
		parts = append(parts, "(select o.id from orders o where "+r.Where+" order by "+r.Order+" limit $3)")
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

// searchIndex reads all orders with the words from the inverted index, and then filters them.
func (m *Module) searchIndex(ctx context.Context, f Filter) (ids []uuid.UUID, err error) {
	args := []any{words.Query(f.Words), f.Limit + 1}
	fits := conditions(f, "", &args)
	if len(f.Statuses) > 0 {
		args = append(args, f.Statuses)
		fits += fmt.Sprintf(" and o.status = any($%d)", len(args))
	}

	err = postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`set local enable_seqscan = off`) // otherwise the planner scans the table instead of using the index
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
