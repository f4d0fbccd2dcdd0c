package notifications

import (
	"context"
	"fmt"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/notification"
	"github.com/orderflow-dev/orderflow/ent/predicate"
	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/internal/uuidv7"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// FillInboxes creates notifications from events until ctx ends: one row for each event and
// user, also after failures and with any number of nodes (SPEC E7).
func (m *Module) FillInboxes(ctx context.Context) error { return m.inboxes.Run(ctx) }

// fillInboxes inserts the notifications of a page. Their ids increase in the order of the log,
// which is also the order of the inbox.
func (m *Module) fillInboxes(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	var ids, users, orders []uuid.UUID
	var versions []int64
	var types []string
	var at []time.Time
	for _, e := range list {
		if !m.notes[e.Type] {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
		ids, users, orders = append(ids, id), append(users, e.UserID), append(orders, e.OrderID)
		versions, types, at = append(versions, e.Version), append(types, e.Type), append(at, e.At)
	}
	if len(ids) == 0 {
		return nil
	}
	// All writers lock the counts in the same order, which prevents deadlocks.
	_, err := tx.Exec(ctx, `
		with new as (
			insert into notifications (id, user_id, order_id, version, type, at)
			select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::timestamptz[])
			on conflict (order_id, version, user_id) do nothing
			returning user_id
		)
		insert into inbox_counts as c (user_id, unread)
		select user_id, count(*) from new group by user_id order by user_id
		on conflict (user_id) do update set unread = c.unread + excluded.unread, changed = pg_current_xact_id()`,
		ids, users, orders, versions, types, at)
	if err != nil {
		return fmt.Errorf("write %d notifications: %w", len(ids), err)
	}
	return nil
}

// inbox returns a page of a user's notifications, newest first, and the number of unread ones.
func (m *Module) inbox(ctx context.Context, user uuid.UUID, unread *bool, before uuid.UUID, limit int) (page []*ent.Notification, count int64, err error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	query := ent.On(m.pool).Notification.Query().Where(ofUser(user, before))
	switch {
	case unread != nil && *unread:
		query.Where(notification.ReadAtIsNil())
	case unread != nil:
		query.Where(notification.ReadAtNotNil())
	}
	page, err = query.Order(notification.ByUserID(sql.OrderDesc()), notification.ByID(sql.OrderDesc())).Limit(limit).All(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("read the inbox of %s: %w", user, err)
	}
	err = m.pool.QueryRow(ctx, `select coalesce((select unread from inbox_counts where user_id = $1), 0)`, user).Scan(&count)
	if err != nil {
		return nil, 0, fmt.Errorf("count the inbox of %s: %w", user, err)
	}
	return page, count, nil
}

// ofUser is the range of an index of (user_id, id) up to before. The planner takes a row comparison for
// many rows, whatever it knows about the user, so it reads the range in its order up to the limit
// instead of sorting the whole inbox (SPEC E31).
func ofUser(user, before uuid.UUID) predicate.Notification {
	return func(s *sql.Selector) {
		s.Where(sql.P(func(b *sql.Builder) {
			row := "(" + s.C(notification.FieldUserID) + ", " + s.C(notification.FieldID) + ")"
			b.WriteString(row + " >= (").Arg(user).WriteString(", ").Arg(uuid.Nil).WriteString(") AND ").
				WriteString(row + " < (").Arg(user).WriteString(", ").Arg(before).WriteString(")")
		}))
	}
}

// mark marks one notification as read or unread and returns it. It is idempotent.
func (m *Module) mark(ctx context.Context, user, id uuid.UUID, read bool) (row *ent.Notification, err error) {
	err = m.marking(ctx, user, func(tx pgx.Tx) (int64, error) {
		row, err = ent.On(tx).Notification.Query().Where(notification.ID(id), notification.UserID(user)).Only(ctx)
		if ent.IsNotFound(err) {
			return 0, fault.New(fault.KindNotFound, "not-found", "The notification does not exist.")
		}
		if err != nil || (row.ReadAt != nil) == read {
			return 0, err
		}
		if read {
			row, err = ent.On(tx).Notification.UpdateOne(row).SetReadAt(events.Now()).Save(ctx)
			return -1, err
		}
		row, err = ent.On(tx).Notification.UpdateOne(row).ClearReadAt().Save(ctx)
		return 1, err
	})
	return row, err
}

// markAll marks everything up to one notification as read, or everything with uuid.Nil.
func (m *Module) markAll(ctx context.Context, user, upTo uuid.UUID) (marked int64, err error) {
	err = m.marking(ctx, user, func(tx pgx.Tx) (int64, error) {
		update := ent.On(tx).Notification.Update().Where(notification.UserID(user), notification.ReadAtIsNil())
		if upTo != uuid.Nil {
			update.Where(notification.IDLTE(upTo))
		}
		n, err := update.SetReadAt(events.Now()).Save(ctx)
		marked = int64(n)
		return -marked, err
	})
	return marked, err
}

// marking changes the unread notifications of one user under a lock.
func (m *Module) marking(ctx context.Context, user uuid.UUID, do func(tx pgx.Tx) (more int64, err error)) error {
	changed := false
	err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from inbox_counts where user_id = $1 for update`, user); err != nil {
			return fmt.Errorf("lock the inbox of %s: %w", user, err)
		}
		more, err := do(tx)
		if err != nil || more == 0 {
			return err
		}
		changed = true
		_, err = tx.Exec(ctx, `update inbox_counts set unread = unread + $2, changed = pg_current_xact_id() where user_id = $1`, user, more)
		return err
	})
	if changed {
		m.counted()
	}
	return err
}

const (
	cleanEvery  = 10 * time.Minute
	cleanAtOnce = 1000
)

// CleanInboxes deletes notifications older than KeepNotes until ctx ends.
func (m *Module) CleanInboxes(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "delete old notifications", Interval: cleanEvery, Jitter: 0.5, Log: m.log,
		Run: func(ctx context.Context) error { _, err := m.cleanOnce(ctx); return err },
	})
}

// cleanOnce deletes in small batches, so that it blocks other transactions only briefly, and
// returns the number of deleted rows.
func (m *Module) cleanOnce(ctx context.Context) (gone int64, err error) {
	oldest := uuidv7.First(time.Now().Add(-m.keepNotes))
	for {
		var some int64
		err := postgres.InTx(ctx, m.pool, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, `
				with gone as (
					delete from notifications where id = any (array(
						select id from notifications where id < $1 order by id limit $2 for update skip locked))
					returning user_id, read_at
				), less as (
					update inbox_counts c set unread = c.unread - g.n, changed = pg_current_xact_id()
					from (select user_id, count(*) as n from gone where read_at is null group by user_id) g where c.user_id = g.user_id
				)
				select count(*) from gone`, oldest, cleanAtOnce).Scan(&some)
		})
		if err != nil {
			return gone, fmt.Errorf("delete old notifications: %w", err)
		}
		if gone += some; some < cleanAtOnce {
			return gone, nil
		}
	}
}
