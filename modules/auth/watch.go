package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/periodic"
)

const (
	lookEvery = 400 * time.Millisecond
	lookLimit = 800 * time.Millisecond
	// A poll overlaps the previous one, because a transaction commits later than it writes. The
	// overlap is longer than the timeout of transactions.
	overlap = 15 * time.Second
	silence = 5 * time.Second // between two polls, after which the cache is not used

	sweepEvery = time.Minute
	sweepBatch = 1000

	shortenEvery = time.Hour
)

func (s *Sessions) run(ctx context.Context) error {
	err := periodic.Run(ctx,
		periodic.Task{Name: "look for revocations", Interval: lookEvery, Immediately: true, Wake: s.wakeups, Log: s.log, Run: s.poll},
		periodic.Task{Name: "delete old sessions and keys", Interval: sweepEvery, Immediately: true, Log: s.log, Run: s.sweep},
		periodic.Task{Name: "shorten sessions", Interval: shortenEvery, Immediately: true, Log: s.log, Run: s.shorten},
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

// change identifies a revocation by its row, and an expired session by its end.
type change struct {
	id         int64
	credential uuid.UUID // the session or the key; zero for all of the user
	at         time.Time
}

// poll reads the changes of the last seconds, evicts the credentials concerned and announces
// each change once.
func (s *Sessions) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()

	began := time.Now()
	recent, err := s.recent(ctx, overlap+s.memory.sinceLastPoll(began))
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
	s.memory.markFresh(began)
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

// recent returns the changes of this period. Changes in the future, such as the expiry of a
// key, are not due yet. An expired session is a change as well, but has no row, because each
// refresh moves its end. The subqueries make the times constants, so that they bound a range of an
// index; the case keeps the planner from the partial index of all open sessions.
func (s *Sessions) recent(ctx context.Context, long time.Duration) ([]revocation, error) {
	rows, err := s.pool.Query(ctx, `
		select id, user_id, coalesce(session_id, '00000000-0000-0000-0000-000000000000'), at
		from revocations where at > (select clock_timestamp() - $1::interval) and at <= (select clock_timestamp())
		union all
		select 0, user_id, id, expires_at from sessions
		where expires_at > (select clock_timestamp() - $1::interval) and expires_at <= (select clock_timestamp()) and case when ended_at is null then true else false end
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

// shorten ends sessions at their maximum age. Sessions expire no later than that by themselves,
// except for those that a node of the previous version opened or refreshed, and those from before
// the setting was lowered.
func (s *Sessions) shorten(ctx context.Context) error {
	for {
		tag, err := s.pool.Exec(ctx, `
			update sessions set expires_at = greatest(created_at + $1::interval, now()) where id in (
				select id from sessions where ended_at is null and expires_at > greatest(created_at + $1::interval, now())
				limit $2 for update skip locked)`, s.maxAge, sweepBatch)
		if err != nil {
			return fmt.Errorf("shorten sessions: %w", err)
		}
		if tag.RowsAffected() < sweepBatch {
			return nil
		}
	}
}

// sweeps delete rows that are no longer needed, in batches. The rows of refresh tokens that a node
// of the previous version made are kept until they expire, because a second use reveals a theft
// (SPEC A4).
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
