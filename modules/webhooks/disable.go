package webhooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// holdAtOnce limits the deliveries that one statement changes.
const holdAtOnce = 2000

// disable stops sending to an endpoint, whose row the caller has locked. New deliveries are
// numbered and held, and pending ones are held as well.
func disable(ctx context.Context, tx pgx.Tx, id uuid.UUID, why string) error {
	var owner uuid.UUID
	err := tx.QueryRow(ctx, `update webhooks set enabled = false, disabled_reason = $2, disabled_at = $3, updated_at = $3
		where id = $1 and enabled returning owner_id`, id, why, postgres.Now()).Scan(&owner)
	if err == nil {
		err = recordDisabled(ctx, tx, id, owner, why)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("disable webhook %s: %w", id, err)
	}
	_, err = hold(ctx, tx, id)
	return err
}

// hold holds the pending deliveries of an endpoint, up to a limit. The sweep and the
// deliveries' own jobs hold the rest.
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

// disabled logs and counts a disabled endpoint for operators.
func (m *Module) disabled(ctx context.Context, id uuid.UUID, why string) {
	m.metrics.disablings.WithLabelValues(why).Inc()
	m.log.WarnContext(ctx, "webhook disabled", "webhook_id", id, "reason", why)
}
