package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// fill writes n orders of many users over the last 90 days with a few statements. The rows resemble
// those of the product, with four events each for any status. They are for reads only and do not
// pass `orderflow verify`.
func (s *server) fill(ctx context.Context, n int) error {
	skus, names, cents := make([]string, len(products)), make([]string, len(products)), make([]int64, len(products))
	for i, p := range products {
		skus[i], names[i], cents[i] = p.sku, p.name, p.cents
	}
	began := time.Now()
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fillProducts, skus, names, cents); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fillPlan, n); err != nil {
			return err
		}
		// Without statistics the planner assumes small tables, and the joins take hours.
		for _, sql := range fillSQL {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	// Autovacuum would have done this to a table that grew over 90 days.
	if _, err := s.db.Exec(ctx, "vacuum analyze"); err != nil {
		return err
	}
	s.report.value("reads", "orders that are there", 0, float64(n), fmt.Sprintf("of %d users, filled in %.1f s", s.opt.users, time.Since(began).Seconds()))
	return nil
}

const fillProducts = `
	create temp table p on commit drop as
	select ordinality - 1 as k, sku, name, cents
	from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as t (sku, name, cents)`

// Pseudo-random values come from different digits of a hash, so that they are independent of each
// other.
const fillPlan = `
	create temp table plan on commit drop as
	with u as (select row_number() over (order by id) - 1 as k, id from users where role = 'user'),
	     r as (select i, md5('order' || i) as h,
	                  date_trunc('milliseconds', now() - ($1::int - i) * interval '90 days' / $1::int) as at
	           from generate_series(1, $1::int) i),
	     d as (select *, ('x' || substr(h, 1, 7))::bit(28)::int as a, ('x' || substr(h, 8, 7))::bit(28)::int as b,
	                  ('x' || substr(h, 15, 7))::bit(28)::int as c from r)
	select (lpad(to_hex((extract(epoch from d.at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid as id,
	       d.i, d.at, u.id as user_id, c % 8 as first, case when b % 2 = 0 then (c + 3) % 8 end as second,
	       case when b % 100 < 70 then 'COMPLETED' when b % 100 < 80 then 'SHIPPED' when b % 100 < 90 then 'PROCESSING'
	            when b % 100 < 95 then 'CANCELLED' when b % 100 < 98 then 'FAILED' else 'ON_HOLD' end as status
	from d join u on u.k = d.a % (select count(*) from u)`

var fillSQL = []string{
	`analyze p, plan`,
	`insert into order_lines (order_id, line, sku, name, quantity, unit_price, total)
		select o.id, 1, p.sku, p.name, 1, p.cents, p.cents from plan o join p on p.k = o.first
		union all
		select o.id, 2, p.sku, p.name, 2, p.cents, p.cents * 2 from plan o join p on p.k = o.second`,
	`analyze order_lines`,
	`insert into orders (id, user_id, status, currency, total, reference, version, held_from, created_at, updated_at)
		select o.id, o.user_id, o.status, 'EUR', l.total, 'PO-' || o.i, 4, case when o.status = 'ON_HOLD' then 'PENDING' end, o.at, o.at
		from plan o join (select order_id, sum(total) as total from order_lines group by 1) l on l.order_id = o.id
		order by o.id`,
	`insert into order_terms (order_id, terms)
		select o.id, array(select distinct w from unnest(
				regexp_split_to_array(lower(string_agg(p.sku || ' ' || p.name, ' ')), '[^a-z0-9]+')
				|| array_agg(lower(p.sku)) || array['po-' || o.i, 'po', o.i::text]) w where w <> '')
		from plan o join p on p.k in (o.first, o.second) group by o.id, o.i order by o.id`,
	`insert into events (order_id, version, user_id, type, data, actor, at)
		select o.id, e.version, o.user_id, e.type,
			json_build_object('orderId', o.id, 'status', e.status, 'order', case when e.version = 1 then json_build_object(
				'id', o.id, 'userId', o.user_id, 'status', e.status, 'reference', 'PO-' || o.i, 'items', (
					select json_agg(json_build_object('sku', l.sku, 'name', l.name, 'quantity', l.quantity, 'unitPrice', l.unit_price, 'total', l.total))
					from order_lines l where l.order_id = o.id), 'version', 1, 'createdAt', o.at) end),
			'system', o.at + e.version * interval '20 ms'
		from plan o, (values (1, 'order.created', 'PENDING'), (2, 'stock.reserved', 'PENDING'),
			(3, 'order.confirmed', 'CONFIRMED'), (4, 'order.processing', 'PROCESSING')) e (version, type, status)
		order by o.id, e.version`,
}
