package webhooks

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// holdAtOnce is how many deliveries change in one statement.
const holdAtOnce = 2000

// disable stops sending to an endpoint, whose row the caller has locked. What comes
// from now on is numbered and held, as is what was under way.
func disable(ctx context.Context, tx pgx.Tx, id uuid.UUID, why string) error {
	_, err := tx.Exec(ctx, `update webhooks set enabled = false, disabled_reason = $2, disabled_at = $3, updated_at = $3
		where id = $1 and enabled`, id, why, postgres.Now())
	if err != nil {
		return fmt.Errorf("disable webhook %s: %w", id, err)
	}
	_, err = hold(ctx, tx, id)
	return err
}

// hold takes back what is under way to an endpoint, up to a bound: the sweep, and the
// jobs themselves, find the rest.
func hold(ctx context.Context, tx pgx.Tx, id uuid.UUID) (n int64, err error) {
	tag, err := tx.Exec(ctx, `
		update webhook_deliveries set status = 'held', due_at = null, settled_at = $3
		where id = any (array(select id from webhook_deliveries where webhook_id = $1 and status in ('pending', 'waiting') limit $2))`,
		id, holdAtOnce, postgres.Now())
	if err != nil {
		return 0, fmt.Errorf("hold the deliveries of webhook %s: %w", id, err)
	}
	return tag.RowsAffected(), nil
}

// disabled says so where operators look.
func (m *Module) disabled(ctx context.Context, id uuid.UUID, why string) {
	m.metrics.disablings.WithLabelValues(why).Inc()
	m.Out.WarnContext(ctx, "webhook disabled", "webhook_id", id, "reason", why)
}
