package orders

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// FoldCounts merges the rows that count orders by status, and returns the number of rows that
// it merged.
func (m *Module) FoldCounts(ctx context.Context) (folded int, err error) {
	err = postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		folded, err = storage.FoldCounts(ctx, tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("fold counts: %w", err)
	}
	return folded, nil
}
