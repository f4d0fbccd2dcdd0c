package orders

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/internal/uuidv7"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
)

// ratedAtMost limits the orders from which the rate is calculated: the newest ones.
const ratedAtMost = 20_000

// Stats has the number of orders, the rate of new orders, and the oldest order of each status.
type Stats struct {
	_ struct{} `schema:"OrderStats"`

	Counts map[lifecycle.Status]int64   `json:"counts" doc:"The number of orders by status, without deleted orders"`
	Rate   Rate                         `json:"rate"`
	Oldest map[lifecycle.Status]*Oldest `json:"oldest" doc:"The oldest order by status; null if there is none"`
	At     jsontime.Time                `json:"at"`
}

// Rate is the recent average rate of new orders.
type Rate struct {
	_ struct{} `schema:"OrderRate"`

	PerSecond float64   `json:"perSecond" doc:"Orders per second during the last minute" example:"12.5"`
	PerMinute PerMinute `json:"perMinute"`
}

// PerMinute has the rates of several periods.
type PerMinute struct {
	_ struct{} `schema:"OrdersPerMinute"`

	Last1  float64 `json:"last1" doc:"Over the last minute" example:"750"`
	Last5  float64 `json:"last5" doc:"Over the last five minutes" example:"702.4"`
	Last15 float64 `json:"last15" doc:"Over the last fifteen minutes" example:"650.2"`
}

// Oldest is the oldest order of a status.
type Oldest struct {
	_ struct{} `schema:"OldestOrder"`

	ID        uuid.UUID     `json:"id"`
	CreatedAt jsontime.Time `json:"createdAt"`
}

// Stats returns the statistics of a user's orders, or of all orders if an administrator gives
// no user. The cost of the latter does not depend on the number of orders (SPEC G2).
func (m *Module) Stats(ctx context.Context, caller identity.Caller, user uuid.UUID) (Stats, error) {
	user, err := whose(caller, user)
	if err != nil {
		return Stats{}, err
	}
	var stats Stats
	err = m.Reads.Do(ctx, reads.Stats, caller.UserID, func() (err error) {
		stats, err = m.statsAt(ctx, user, events.Now())
		return err
	})
	return stats, err
}

func (m *Module) statsAt(ctx context.Context, user uuid.UUID, at time.Time) (Stats, error) {
	s := Stats{Counts: map[lifecycle.Status]int64{}, Oldest: map[lifecycle.Status]*Oldest{}, At: jsontime.At(at)}
	for _, status := range lifecycle.All {
		s.Counts[status], s.Oldest[status] = 0, nil
	}
	b := &pgx.Batch{}
	if user == uuid.Nil {
		s.queueAll(b)
	} else {
		s.queueOf(b, user)
	}
	s.queueRate(b, user, at)
	if err := m.Pool.SendBatch(ctx, b).Close(); err != nil {
		return Stats{}, fmt.Errorf("count orders: %w", err)
	}
	return s, nil
}

// oldestSQL reads one end of the index on status. The range condition and the order by status
// make the planner use that index: with an equality it might scan orders by id until one has
// the status.
const oldestSQL = `
	select s.status, first.id from unnest($1::text[]) as s (status)
	cross join lateral (
		select id from orders o
		where o.status between s.status and s.status and o.deleted_at is null
		order by o.status desc, o.id limit 1) as first`

// queueAll reads the counters that every change maintains.
func (s *Stats) queueAll(b *pgx.Batch) {
	var status lifecycle.Status
	b.Queue(`select status, sum(n)::bigint from order_counts group by status`).Query(func(rows pgx.Rows) error {
		var n int64
		_, err := pgx.ForEachRow(rows, []any{&status, &n}, func() error {
			s.Counts[status] = n
			return nil
		})
		return err
	})
	b.Queue(oldestSQL, lifecycle.All).Query(func(rows pgx.Rows) error {
		var first uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&status, &first}, func() error {
			s.Oldest[status] = oldest(first)
			return nil
		})
		return err
	})
}

// queueOf counts one user's orders, which are one range of an index.
func (s *Stats) queueOf(b *pgx.Batch, user uuid.UUID) {
	b.Queue(`
		select status, count(*), min(id::text collate "C")::uuid from orders
		where user_id = $1 and deleted_at is null group by status`, user,
	).Query(func(rows pgx.Rows) error {
		var status lifecycle.Status
		var n int64
		var first uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&status, &n, &first}, func() error {
			s.Counts[status], s.Oldest[status] = n, oldest(first)
			return nil
		})
		return err
	})
}

// oldest only needs the id, which contains the time of creation.
func oldest(id uuid.UUID) *Oldest { return &Oldest{ID: id, CreatedAt: jsontime.At(uuidv7.Time(id))} }

// queueRate counts the newest orders by the time in their ids, including deleted ones.
func (s *Stats) queueRate(b *pgx.Batch, user uuid.UUID, at time.Time) {
	last1, last5, last15 := at.Add(-time.Minute), at.Add(-5*time.Minute), at.Add(-15*time.Minute)
	args := []any{uuidv7.First(last1), uuidv7.First(last5), uuidv7.First(last15), ratedAtMost}
	of := ""
	if user != uuid.Nil {
		args, of = append(args, user), "and user_id = $5"
	}
	b.Queue(`
		select count(*) filter (where id >= $1), count(*) filter (where id >= $2), count(*), min(id::text collate "C")::uuid
		from (select id from orders where id >= $3 `+of+` order by id desc limit $4) as newest`, args...,
	).QueryRow(func(row pgx.Row) error {
		var one, five, fifteen int64
		var first *uuid.UUID
		if err := row.Scan(&one, &five, &fifteen, &first); err != nil {
			return err
		}
		from := last15
		if fifteen == ratedAtMost {
			from = uuidv7.Time(*first)
		}
		per := &s.Rate.PerMinute
		per.Last1, per.Last5, per.Last15 = perMinute(one, last1, from, at), perMinute(five, last5, from, at), perMinute(fifteen, last15, from, at)
		s.Rate.PerSecond = per.Last1 / 60
		return nil
	})
}

// perMinute returns the rate of n orders since a time, or since from if the examined orders
// begin later.
func perMinute(n int64, since, from, at time.Time) float64 {
	if from.After(since) {
		since = from
	}
	return float64(n) / max(at.Sub(since), time.Millisecond).Minutes()
}
