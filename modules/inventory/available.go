package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Available returns the units of each sku that could be reserved now: nil if the stock is not
// tracked; unknown and deleted skus are absent. It reads without a lock, so the result may
// change before Reserve.
func (m *Module) Available(ctx context.Context, skus []string) (map[string]*int64, error) {
	rows, err := m.pool.Query(ctx, `select sku, available from products where sku = any($1) and deleted_at is null`, skus)
	if err != nil {
		return nil, fmt.Errorf("read what is available: %w", err)
	}
	left := make(map[string]*int64, len(skus))
	var sku string
	var units *int64
	_, err = pgx.ForEachRow(rows, []any{&sku, &units}, func() error {
		left[sku] = units
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is available: %w", err)
	}
	return left, nil
}
