package storage

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
)

// StoredStep is an added step of an order in one of its rounds.
type StoredStep struct {
	lifecycle.Step
	Round int64
	// Version is that of the order in the snapshot that the step was read in.
	Version int64
}

// QueueSteps reads the steps of many orders, of all rounds and in their order. It also reads
// those that no node knows any more: an order may not pass them in silence.
func QueueSteps(b *pgx.Batch, ids []uuid.UUID, into map[uuid.UUID][]StoredStep) {
	b.Queue(`
		select s.order_id, s.name, s.status, s.code, s.reason, s.decided_at, s.round, o.version
		from order_steps s join orders o on o.id = s.order_id
		where s.order_id = any($1) order by s.order_id, s.round, s.position`, ids,
	).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id uuid.UUID
			var s StoredStep
			if err := rows.Scan(&id, &s.Name, &s.Status, &s.Code, &s.Reason, &s.At, &s.Round, &s.Version); err != nil {
				return err
			}
			into[id] = append(into[id], s)
		}
		return rows.Err()
	})
}

// QueueStepChanges stores the steps of the orders whose steps changed. It adds no statement if
// there is none.
func QueueStepChanges(b *pgx.Batch, list []*lifecycle.Order) {
	var (
		orders    []uuid.UUID
		rounds    []int64
		positions []int32
		names     []string
		statuses  []string
		codes     []string
		reasons   []*string
		decided   []*time.Time
	)
	for _, o := range list {
		before := o.Loaded().Steps
		for i, s := range o.Steps {
			if i < len(before) && o.Round == o.Loaded().Round && slices.Contains(before, s) {
				continue
			}
			orders, rounds, positions = append(orders, o.ID), append(rounds, o.Round), append(positions, int32(i+1))
			names, statuses, codes = append(names, s.Name), append(statuses, string(s.Status)), append(codes, s.Code)
			reasons, decided = append(reasons, s.Reason), append(decided, s.At)
		}
	}
	if len(orders) == 0 {
		return
	}
	b.Queue(`
		insert into order_steps (order_id, round, position, name, status, code, reason, decided_at)
		select * from unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
		on conflict (order_id, round, position) do update
		set status = excluded.status, code = excluded.code, reason = excluded.reason, decided_at = excluded.decided_at`,
		orders, rounds, positions, names, statuses, codes, reasons, decided)
}
