package orders

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// termsRule is the number of the rule by which package words cuts texts. It increases when the rule
// changes; order_terms_outdated is an index of the rows with a lower number.
const termsRule = 2

// ReindexOnce cuts the texts of orders again whose terms follow an earlier rule, and returns their
// number. Nodes of the previous version may still write such terms. Any number of nodes may do it at once.
func (m *Module) ReindexOnce(ctx context.Context) (found int, err error) {
	err = postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select order_id from order_terms where rule < 2 order by order_id limit $1 for update skip locked`, sweepAtOnce)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if found = len(ids); err != nil || found == 0 {
			return err
		}
		return reindex(ctx, tx, ids)
	})
	if err != nil {
		return 0, fmt.Errorf("cut the terms of orders again: %w", err)
	}
	return found, nil
}

func reindex(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	list, err := db(tx).Order.Query().Where(order.IDIn(ids...)).All(ctx)
	if err != nil {
		return err
	}
	complete, err := storage.Complete(ctx, tx, list)
	if err != nil {
		return err
	}
	found := make([]uuid.UUID, len(complete))
	cut := make([]string, len(complete))
	for i, o := range complete {
		found[i], cut[i] = o.Row.ID, strings.Join(terms(o.Row, o.Lines), " ")
	}
	// Terms without an order, which verify reports, only get the number.
	_, err = tx.Exec(ctx, `
		update order_terms t set rule = $4, terms = case when n.id is null then t.terms else string_to_array(n.words, ' ') end
		from unnest($1::uuid[]) as i (id) left join unnest($2::uuid[], $3::text[]) as n (id, words) on n.id = i.id
		where t.order_id = i.id`, ids, found, cut, termsRule)
	return err
}
