package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const (
	grace = 24 * time.Hour // for which a replaced secret signs as well
	// maxEarlier is the number of secrets before the previous one that sign. Each is a part of a header.
	maxEarlier = 8
)

// rotate gives an endpoint a new secret. For a day messages are also signed with the replaced one,
// also if the new one is replaced in that day: the time that previousSecretUntil stated stays.
// The fault "too-many-secrets" means that too many secrets were replaced in one day.
func (m *Module) rotate(ctx context.Context, c identity.Caller, id uuid.UUID) (row *ent.Webhook, secret signature.Secret, err error) {
	secret = signature.NewSecret()
	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		old, err := m.lock(ctx, tx, c.UserID, id)
		if err != nil {
			return err
		}
		if err := retire(ctx, tx, old); err != nil {
			return err
		}
		at := postgres.Now()
		row, err = ent.On(tx).Webhook.UpdateOneID(id).SetSecret(secret).SetPreviousSecret(old.Secret).SetPreviousUntil(at.Add(grace)).
			SetUpdatedAt(at).Save(ctx)
		if err != nil {
			return fmt.Errorf("rotate the secret of webhook %s: %w", id, err)
		}
		return recordEndpoint(ctx, tx, auditRotated, row)
	})
	if err != nil {
		return nil, nil, err
	}
	m.log.InfoContext(ctx, "webhook secret rotated", "webhook_id", id, "user_id", c.UserID)
	return row, secret, nil
}

// retire keeps the previous secret of a locked endpoint, whose place another one takes, until its
// time is over. Secrets whose time is over are deleted.
func retire(ctx context.Context, tx pgx.Tx, old *ent.Webhook) error {
	if _, err := tx.Exec(ctx, `delete from webhook_secrets where webhook_id = $1 and until <= now()`, old.ID); err != nil {
		return fmt.Errorf("delete secrets of webhook %s: %w", old.ID, err)
	}
	if old.PreviousUntil == nil || !time.Now().Before(*old.PreviousUntil) {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		insert into webhook_secrets (id, webhook_id, secret, until) select $1, $2, $3, $4
		where (select count(*) from webhook_secrets where webhook_id = $2) < $5`,
		uuid.New(), old.ID, *old.PreviousSecret, *old.PreviousUntil, maxEarlier)
	if err != nil {
		return fmt.Errorf("keep a secret of webhook %s: %w", old.ID, err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.KindConflict, "too-many-secrets", "%d replaced secrets still sign messages, which is the maximum; wait until one expires.", maxEarlier+1)
	}
	return nil
}

// earlierSecrets selects the secrets before the previous one of a webhook w that still sign.
const earlierSecrets = `select s.secret from webhook_secrets s where s.webhook_id = w.id and s.until > now() order by s.until desc`

func (m *Module) earlierSecrets(ctx context.Context, id uuid.UUID) (list [][]byte, err error) {
	err = m.pool.QueryRow(ctx, `select array(`+earlierSecrets+`) from webhooks w where w.id = $1`, id).Scan(&list)
	if err != nil {
		return nil, fmt.Errorf("read the secrets of webhook %s: %w", id, err)
	}
	return list, nil
}
