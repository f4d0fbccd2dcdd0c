package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
)

const (
	cleanEvery  = 10 * time.Minute
	cleanAtOnce = 2000
)

// CleanOnce deletes what is older than Keep, and endpoints that were deleted with all
// that was theirs, a few thousand rows at a time (SPEC G2). Ids rise with time, so
// the primary keys find what is old.
func (m *Module) CleanOnce(ctx context.Context) error {
	old := uuidv7.First(time.Now().Add(-m.keep))
	for _, statement := range []string{
		`delete from webhook_deliveries where id = any (array(select id from webhook_deliveries where id < $1
			order by id limit $2 for update skip locked))`,
		`delete from webhook_attempts where id = any (array(select id from webhook_attempts where id < $1
			order by id limit $2 for update skip locked))`,
		`delete from webhook_replays where id = any (array(select id from webhook_replays where id < $1 and status <> 'running'
			order by id limit $2 for update skip locked))`,
		`delete from webhook_deliveries where id = any (array(select d.id from webhooks w join webhook_deliveries d on d.webhook_id = w.id
			where w.deleted_at is not null and $1::uuid is not null limit $2 for update of d skip locked))`,
		`delete from webhooks w where w.deleted_at is not null and $1::uuid is not null and $2 > 0
			and not exists (select from webhook_deliveries d where d.webhook_id = w.id)`,
		`delete from webhook_secrets where id = any (array(select id from webhook_secrets where until < now() and $1::uuid is not null
			limit $2 for update skip locked))`,
	} {
		if err := m.deleteAll(ctx, statement, old); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) deleteAll(ctx context.Context, statement string, old uuid.UUID) error {
	for {
		tag, err := m.pool.Exec(ctx, statement, old, cleanAtOnce)
		if err != nil {
			return fmt.Errorf("clean the webhooks: %w", err)
		}
		if tag.RowsAffected() < cleanAtOnce {
			return nil
		}
	}
}
