package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Available tells how many units of each sku could be reserved now: nil is not
// tracked, without end; a sku that is unknown or deleted is missing. It is read
// from the database without a lock, so it is a forecast: only Reserve promises.
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
