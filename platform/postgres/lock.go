package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Lock takes the advisory lock of a name until the end of tx, and waits for it. Nodes of different
// versions use the same lock for the same name, so a name never changes.
func Lock(ctx context.Context, tx pgx.Tx, name string) error {
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`, name); err != nil {
		return fmt.Errorf("lock %q: %w", name, err)
	}
	return nil
}
