package payments

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	selectPayments = `
		select id, order_id, provider, method, currency, amount, state, coalesce(reference, ''), code, detail, created_at
		from payments where order_id = any($1) order by order_id, id`
	selectRefunds = `
		select id, order_id, payment_id, currency, amount, items, reason, state, reference, code, detail, actor, created_at
		from refunds where order_id = any($1) order by order_id, id`
)

func (s *Settlement) queueRead(batch *pgx.Batch, orders []uuid.UUID) {
	batch.Queue(selectPayments, orders).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var p payment
			err := rows.Scan(&p.id, &p.order, &p.provider, &p.method, &p.currency, &p.amount, &p.state, &p.reference, &p.code, &p.detail, &p.createdAt)
			if err != nil {
				return err
			}
			s.payments[p.order] = append(s.payments[p.order], &p)
		}
		return rows.Err()
	})
	batch.Queue(selectRefunds, orders).Query(func(rows pgx.Rows) error {
		list, err := collectRefunds(rows)
		for _, r := range list {
			s.refunds[r.order] = append(s.refunds[r.order], r)
		}
		return err
	})
}

func collectRefunds(rows pgx.Rows) ([]*refund, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*refund, error) {
		var r refund
		var items []byte
		err := row.Scan(&r.id, &r.order, &r.payment, &r.currency, &r.amount, &items, &r.reason, &r.state,
			&r.reference, &r.code, &r.detail, &r.actor, &r.createdAt)
		if err == nil && items != nil {
			err = json.Unmarshal(items, &r.items)
		}
		return &r, err
	})
}

// Queue queues the changes, with one statement for each table.
func (s *Settlement) Queue(batch *pgx.Batch) {
	s.queueBegun(batch)
	s.queueChanged(batch)
	s.queueAsked(batch)
	s.queueMoved(batch)
	queueTransfers(batch, s.transfers)
}

func (s *Settlement) queueBegun(batch *pgx.Batch) {
	n := len(s.begun)
	if n == 0 {
		return
	}
	ids, orders, methods := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]*string, n)
	providers, currencies, amounts, at := make([]string, n), make([]string, n), make([]int64, n), make([]time.Time, n)
	for i, p := range s.begun {
		ids[i], orders[i], methods[i] = p.id, p.order, p.method
		providers[i], currencies[i], amounts[i], at[i] = p.provider, p.currency, p.amount, p.createdAt
	}
	batch.Queue(`
		insert into payments (id, order_id, provider, method, currency, amount, created_at, updated_at)
		select id, order_id, provider, method, currency, amount, at, at
		from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[])
			as p (id, order_id, provider, method, currency, amount, at)`,
		ids, orders, providers, methods, currencies, amounts, at)
}

func (s *Settlement) queueChanged(batch *pgx.Batch) {
	n := len(s.changed)
	if n == 0 {
		return
	}
	ids, orders, at := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]time.Time, n)
	states, references := make([]string, n), make([]*string, n)
	codes, details := make([]*string, n), make([]*string, n)
	for i, p := range s.changed {
		ids[i], orders[i], at[i], states[i], codes[i], details[i] = p.id, p.order, p.writes, p.state, p.code, p.detail
		if p.reference != "" {
			references[i] = &p.reference
		}
	}
	batch.Queue(`
		update payments p set state = c.state, reference = c.reference, code = c.code, detail = c.detail, updated_at = c.at
		from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
			as c (id, order_id, state, reference, code, detail, at)
		where p.order_id = c.order_id and p.id = c.id`,
		ids, orders, states, references, codes, details, at)
}

func (s *Settlement) queueAsked(batch *pgx.Batch) {
	for _, r := range s.asked {
		var items []byte
		if r.items != nil {
			items, _ = json.Marshal(r.items) // a map of strings to numbers always marshals
		}
		batch.Queue(`
			insert into refunds (id, order_id, payment_id, currency, amount, items, reason, actor, created_at, updated_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
			r.id, r.order, r.payment, r.currency, r.amount, items, r.reason, r.actor, r.createdAt)
	}
}

func (s *Settlement) queueMoved(batch *pgx.Batch) {
	for _, r := range s.moved {
		batch.Queue(`
			update refunds set state = $3, reference = $4, code = $5, detail = $6, updated_at = $7 where order_id = $1 and id = $2`,
			r.order, r.id, r.state, r.reference, r.code, r.detail, r.writes)
	}
}

func wrap(what string, order uuid.UUID, err error) error {
	return fmt.Errorf("read the %s of order %s: %w", what, order, err)
}
