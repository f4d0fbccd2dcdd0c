package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/periodic"
)

const (
	lookEvery = 400 * time.Millisecond
	lookLimit = 800 * time.Millisecond
	// A look goes back further than the last one, because a transaction commits
	// later than it writes. Transactions are cut off long before this.
	overlap = 15 * time.Second
	silence = 5 * time.Second // between two looks, after which nothing is believed

	sweepEvery = time.Minute
	sweepBatch = 1000
)

func (s *Sessions) run(ctx context.Context) error {
	err := periodic.Run(ctx,
		periodic.Task{Name: "look for revocations", Interval: lookEvery, Immediately: true, Wake: s.wakeups, Log: s.log, Run: s.poll},
		periodic.Task{Name: "delete old sessions and keys", Interval: sweepEvery, Immediately: true, Log: s.log, Run: s.sweep},
		periodic.Task{Name: "record uses of keys", Interval: useEvery, Immediately: true, Log: s.log, Run: s.writeUses},
	)
	s.writeLastUses(ctx)
	return err
}

// look starts a run of poll now.
func (s *Sessions) look() { s.wakeups.Send() }

type revocation struct {
	change
	user uuid.UUID
}

// change names a revocation by its row, and a session that ran out by its end.
type change struct {
	id         int64
	credential uuid.UUID // the session or the key, zero for all of the user's
	at         time.Time
}

// poll looks at the changes of the last seconds, forgets what they concern and
// announces each once.
func (s *Sessions) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()

	began := time.Now()
	recent, err := s.recent(ctx, overlap+s.memory.unlooked(began))
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []revocation
	for _, r := range recent {
		if _, known := s.announced[r.change]; !known {
			fresh = append(fresh, r)
			s.memory.evict(r.user, r.credential)
		}
		s.announced[r.change] = began
	}
	s.memory.vouch(began)
	for known, seen := range s.announced {
		if began.Sub(seen) > overlap {
			delete(s.announced, known)
		}
	}

	for _, r := range fresh {
		for _, tell := range s.listeners {
			tell(r.user, r.credential)
		}
	}
	return nil
}

// recent are the changes of that long. One that lies in the future, as the end of
// a key's life does, is not due yet. A session that ran out is a change as well: it has
// no row of its own, since each refresh moves its end.
func (s *Sessions) recent(ctx context.Context, long time.Duration) ([]revocation, error) {
	rows, err := s.pool.Query(ctx, `
		select id, user_id, coalesce(session_id, '00000000-0000-0000-0000-000000000000'), at
		from revocations where at > clock_timestamp() - $1::interval and at <= clock_timestamp()
		union all
		select 0, user_id, id, expires_at from sessions
		where expires_at > clock_timestamp() - $1::interval and expires_at <= clock_timestamp() and ended_at is null
		order by 1`, long)
	if err != nil {
		return nil, fmt.Errorf("look for revocations: %w", err)
	}
	defer rows.Close()

	var list []revocation
	for rows.Next() {
		var r revocation
		if err := rows.Scan(&r.id, &r.user, &r.credential, &r.at); err != nil {
			return nil, fmt.Errorf("look for revocations: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// sweeps clear away what nobody will ask for again, a batch at a time. A used
// refresh token stays until it expires: it still gives a thief away (SPEC A4).
var sweeps = []string{
	`delete from revocations where id in (
		select id from revocations where at < now() - interval '1 hour' order by at limit $1 for update skip locked)`,
	`delete from tickets where hash in (
		select hash from tickets where expires_at < now() order by expires_at limit $1 for update skip locked)`,
	`delete from refresh_tokens where hash in (
		select hash from refresh_tokens where expires_at < now() order by expires_at limit $1 for update skip locked)`,
	`delete from sessions where id in (
		select id from sessions where expires_at < now() - interval '7 days' order by expires_at limit $1 for update skip locked)`,
	`delete from api_keys where id in (
		select id from api_keys where revoked_at < now() - interval '90 days' order by revoked_at limit $1 for update skip locked)`,
}

func (s *Sessions) sweep(ctx context.Context) error {
	for _, statement := range sweeps {
		for {
			tag, err := s.pool.Exec(ctx, statement, sweepBatch)
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			if tag.RowsAffected() < sweepBatch {
				break
			}
		}
	}
	return nil
}
