package auth

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// uses buffers the times when keys were used, so that requests do not wait for the write and a
// busy key costs one write per minute.
type uses struct {
	mu   sync.Mutex
	seen map[uuid.UUID]time.Time
}

const (
	useEvery = 5 * time.Second // how late lastUsedAt may be
	useLimit = 2 * time.Second // for the last write, when the process stops
)

func (u *uses) note(key uuid.UUID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen == nil {
		u.seen = map[uuid.UUID]time.Time{}
	}
	if at.After(u.seen[key]) {
		u.seen[key] = at
	}
}

func (u *uses) take() map[uuid.UUID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.seen
	u.seen = nil
	return taken
}

// writeLastUses writes the buffer once more after ctx has ended.
func (s *Sessions) writeLastUses(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), useLimit)
	defer cancel()
	if err := s.writeUses(last); err != nil {
		s.log.WarnContext(ctx, "when keys were last used is lost", "error", err)
	}
}

// writeUses writes the buffer, at most once a minute for each key on all nodes. It skips rows
// that another node is writing.
func (s *Sessions) writeUses(ctx context.Context) error {
	seen := s.uses.take()
	if len(seen) == 0 {
		return nil
	}
	keys := make([]uuid.UUID, 0, len(seen))
	for key := range seen {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	times := make([]time.Time, len(keys))
	for i, key := range keys {
		times[i] = seen[key]
	}

	_, err := s.pool.Exec(ctx, `
		with due as (
			select k.id, u.at from api_keys k join unnest($1::uuid[], $2::timestamptz[]) u (id, at) on u.id = k.id
			where k.last_used_at is null or k.last_used_at <= u.at - interval '1 minute'
			order by k.id for no key update of k skip locked)
		update api_keys k set last_used_at = due.at from due where k.id = due.id`, keys, times)
	if err != nil {
		for key, at := range seen {
			s.uses.note(key, at)
		}
		return fmt.Errorf("write when keys were used: %w", err)
	}
	return nil
}
