package users

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The kinds of notices (ASVS 5.0 6.3.7). Jobs keep them, so they never change. Module auth sends all but
// the second.
const (
	noticePassword   = "password-changed"
	noticeReset      = "password-was-reset"
	noticeLogin      = "new-login"
	noticeKeyCreated = "api-key-created"
	noticeKeyRotated = "api-key-rotated"
)

// deviceMemory is how long a network and program count as known after a log-in.
const deviceMemory = 90 * 24 * time.Hour

// Notify tells the owner of an account by e-mail what happened to it, once tx commits. Without a mailer
// it does nothing. The facts are "network", "device" and "key"; they are stored with the job, so they
// contain nothing that a user wrote.
//
// Of log-ins, "new-login", only those are told that come from another network or program than all
// log-ins of the last 90 days; the first log-in of an account is not.
func (m *Module) Notify(ctx context.Context, tx pgx.Tx, userID uuid.UUID, kind string, facts map[string]string) error {
	if m.mailer == nil {
		return nil
	}
	if _, known := notices[kind]; !known {
		return fmt.Errorf("there is no notice %q", kind)
	}
	if kind == noticeLogin {
		isNew, err := rememberDevice(ctx, tx, userID, facts[factNetwork], facts[factDevice])
		if err != nil || !isNew {
			return err
		}
	}
	return m.enqueue(ctx, tx, MailArgs{Message: kind, ID: userID, Facts: facts})
}

// rememberDevice records a log-in, and reports whether the account has logged in before, but not from
// there.
func rememberDevice(ctx context.Context, tx pgx.Tx, id uuid.UUID, network, device string) (isNew bool, err error) {
	var others, same int
	err = tx.QueryRow(ctx, `
		select count(*), count(*) filter (where network = $2 and device = $3 and seen_at > now() - $4::interval)
		from account_devices where user_id = $1`, id, network, device, deviceMemory).Scan(&others, &same)
	if err != nil {
		return false, fmt.Errorf("look for the device of %s: %w", id, err)
	}
	b := &pgx.Batch{}
	b.Queue(`
		insert into account_devices (user_id, network, device, seen_at) values ($1, $2, $3, now())
		on conflict (user_id, network, device) do update set seen_at = now()`, id, network, device)
	b.Queue(`delete from account_devices where user_id = $1 and seen_at < now() - $2::interval`, id, deviceMemory)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return false, fmt.Errorf("remember the device of %s: %w", id, err)
	}
	return others > 0 && same == 0, nil
}
