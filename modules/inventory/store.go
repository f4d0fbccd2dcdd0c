package inventory

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/movement"
	"github.com/orderflow-dev/orderflow/ent/product"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// searchWindow is the number of products that one page of a search examines.
const searchWindow = 5_000

// filter is what a list shows.
type filter struct {
	active *bool
	text   string // part of the sku or the name, case-insensitive; empty for all
	after  string // a sku; "" is the start
	limit  int
}

// list returns a page in sku order and the sku to go on after, or "".
func (m *Module) list(ctx context.Context, f filter) (page []*ent.Product, next string, err error) {
	if f.text != "" {
		return m.search(ctx, f)
	}
	query := ent.On(m.pool).Product.Query().Where(product.DeletedAtIsNil(), product.IDGT(f.after))
	if f.active != nil {
		query.Where(product.Active(*f.active))
	}
	page, err = query.Order(product.ByID()).Limit(f.limit + 1).All(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("list products: %w", err)
	}
	if len(page) > f.limit {
		page = page[:f.limit]
		next = page[f.limit-1].ID
	}
	return page, next, nil
}

// search looks for text anywhere in the sku or the name. No index supports that, so a page
// examines at most one window of products, which limits its cost. A page of a larger catalogue
// may therefore be short or empty although more pages follow.
func (m *Module) search(ctx context.Context, f filter) (page []*ent.Product, next string, err error) {
	var hits []string
	var end *string // the last sku of the window, when the window is full
	err = m.pool.QueryRow(ctx, `
		with seen as materialized (
			select sku, name, active, deleted_at from products where sku > $1 order by sku limit $5
		)
		select array(select sku from seen
		             where (strpos(lower(sku), lower($3)) > 0 or strpos(lower(name), lower($3)) > 0)
		               and deleted_at is null and ($2::boolean is null or active = $2)
		             order by sku limit $4),
		       (select sku from seen order by sku offset $5::bigint - 1)`,
		f.after, f.active, f.text, f.limit+1, searchWindow).Scan(&hits, &end)
	if err != nil {
		return nil, "", fmt.Errorf("search products: %w", err)
	}

	switch {
	case len(hits) > f.limit:
		hits = hits[:f.limit]
		next = hits[f.limit-1]
	case end != nil:
		next = *end
	}
	page, err = ent.On(m.pool).Product.Query().
		Where(product.IDIn(hits...), product.DeletedAtIsNil()).Order(product.ByID()).All(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("read products: %w", err)
	}
	return page, next, nil
}

// movements returns a product's movements, newest first, and the id to go on
// after, or uuid.Nil.
func (m *Module) movements(ctx context.Context, sku string, after uuid.UUID, limit int) (page []*ent.Movement, next uuid.UUID, err error) {
	if _, err := live(ctx, m.pool, sku); err != nil {
		return nil, uuid.Nil, err
	}
	query := ent.On(m.pool).Movement.Query().Where(movement.Sku(sku))
	if after != uuid.Nil {
		query.Where(movement.IDLT(after))
	}
	page, err = query.Order(movement.ByID(sql.OrderDesc())).Limit(limit + 1).All(ctx)
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("list movements of %s: %w", sku, err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ID
	}
	return page, next, nil
}

// lockProduct locks and reads a product, which may be deleted.
func lockProduct(ctx context.Context, tx pgx.Tx, sku string) (*ent.Product, error) {
	if _, err := tx.Exec(ctx, `select from products where sku = $1 for no key update`, sku); err != nil {
		return nil, fmt.Errorf("lock product %s: %w", sku, err)
	}
	return ent.On(tx).Product.Get(ctx, sku)
}

func lockLive(ctx context.Context, tx pgx.Tx, sku string) (*ent.Product, error) {
	p, err := lockProduct(ctx, tx, sku)
	switch {
	case ent.IsNotFound(err) || err == nil && p.DeletedAt != nil:
		return nil, fault.NotFound("product")
	case err != nil:
		return nil, err
	}
	return p, nil
}

// live returns a product that is not deleted.
func live(ctx context.Context, q postgres.Querier, sku string) (*ent.Product, error) {
	p, err := ent.On(q).Product.Query().Where(product.ID(sku), product.DeletedAtIsNil()).Only(ctx)
	if ent.IsNotFound(err) {
		return nil, fault.NotFound("product")
	}
	return p, err
}
