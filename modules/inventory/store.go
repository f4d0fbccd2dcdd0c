package inventory

import (
	"context"
	"fmt"
	"strings"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/movement"
	"github.com/orderflow-dev/orderflow/ent/product"
	"github.com/orderflow-dev/orderflow/internal/words"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// windowSize is the number of products that one page of a search examines.
const windowSize = 5_000

// filter is what a list shows.
type filter struct {
	active *bool
	text   string // parts that must all occur in the sku or the name; empty for all
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

// search looks for the parts of the text anywhere in the sku or the name, by the rule of package
// words and not by the locale of the database. No index supports that, so a page
// examines at most one window of products, which limits its cost. A page of a larger catalogue
// may therefore be short or empty although more pages follow.
func (m *Module) search(ctx context.Context, f filter) (page []*ent.Product, next string, err error) {
	hits, last, err := m.searchWindow(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("search products: %w", err)
	}
	switch {
	case len(hits) > f.limit:
		hits = hits[:f.limit]
		next = hits[f.limit-1]
	default:
		next = last
	}
	page, err = ent.On(m.pool).Product.Query().
		Where(product.IDIn(hits...), product.DeletedAtIsNil()).Order(product.ByID()).All(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("read products: %w", err)
	}
	return page, next, nil
}

// searchWindow returns the skus that match, at most one more than the limit, and the last sku of the
// window if it is full.
func (m *Module) searchWindow(ctx context.Context, f filter) (hits []string, last string, err error) {
	parts := words.Phrases(f.text)
	if len(parts) == 0 {
		return nil, "", nil
	}
	rows, err := m.pool.Query(ctx, `
		select sku, name, deleted_at is null and ($2::boolean is null or active = $2)
		from products where sku > $1 order by sku limit $3`, f.after, f.active, windowSize)
	if err != nil {
		return nil, "", err
	}
	var (
		sku, name string
		listed    bool
		seen      int
	)
	_, err = pgx.ForEachRow(rows, []any{&sku, &name, &listed}, func() error {
		if seen++; seen == windowSize {
			last = sku
		}
		if listed && len(hits) <= f.limit && containsAll(words.Phrase(sku), words.Phrase(name), parts) {
			hits = append(hits, sku)
		}
		return nil
	})
	return hits, last, err
}

func containsAll(sku, name string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(sku, part) && !strings.Contains(name, part) {
			return false
		}
	}
	return true
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
