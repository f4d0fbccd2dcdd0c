package app

import (
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/laws"
)

// moneyLaws compare orders with their payments and refunds.
var moneyLaws = []laws.Law{
	{
		Name: "unpaid", Spec: "D1", Says: "an order that is confirmed or later and has a positive total is authorised or paid",
		Query: `
			select 'order ' || id, 'is ' || status || ', but no payment is authorised or captured' from orders o
			where coalesce(held_from, status) = any($1) and total > 0
			  and not exists (select from payments p where p.order_id = o.id and p.state in ('authorized', 'captured', 'abandoned'))`,
		Args: []any{lifecycle.Secured()},
	},
	{
		Name: "payment-amount", Spec: "D3", Says: "a payment has the total and the currency of its order",
		Query: `
			select 'payment ' || p.id, format('%s %s, the order %s %s', p.amount, p.currency, o.total, o.currency)
			from payments p join orders o on o.id = p.order_id
			where p.amount <> o.total or p.currency <> o.currency`,
	},
	{
		Name: "payment-status", Spec: "C", Says: "paymentStatus of an order follows from its payments and refunds",
		Query: `
			with p as (
				select order_id, count(*) filter (where state = 'authorized') as authorized, count(*) filter (where state = 'captured') as captured,
				       count(*) filter (where state = 'voided') as voided, count(*) filter (where state = 'declined') as declined,
				       count(*) filter (where state = 'abandoned') as abandoned
				from payments group by order_id
			)
			select 'order ' || o.id, format('%s, captured %s, refunded %s, with %s authorised, %s captured, %s voided, %s declined payments',
				o.payment_status, o.captured, o.refunded, coalesce(p.authorized, 0), coalesce(p.captured, 0), coalesce(p.voided, 0), coalesce(p.declined, 0))
			from orders o left join p on p.order_id = o.id
			where not case o.payment_status
				when 'NONE' then coalesce(p.authorized + p.captured, 0) = 0
				when 'AUTHORIZED' then coalesce(p.authorized + p.abandoned, 0) > 0 and coalesce(p.captured, 0) = 0
				when 'CAPTURED' then p.captured > 0 and o.captured > 0 and o.refunded = 0
				when 'PARTIALLY_REFUNDED' then p.captured > 0 and o.refunded > 0 and o.refunded < o.captured
				when 'REFUNDED' then p.captured > 0 and o.refunded > 0 and o.refunded = o.captured
				when 'REFUND_FAILED' then p.captured > 0
				when 'VOIDED' then p.voided > 0 and p.authorized + p.captured = 0
				when 'DECLINED' then p.declined > 0 and p.authorized + p.captured = 0
			end is true`,
	},
	{
		Name: "money-on-order", Spec: "C8", Says: "captured, refunded and refunding on an order are the sums of its payments and refunds",
		Query: `
			select 'order ' || o.id, format('captured %s, refunded %s, refunding %s; payments %s, refunds done %s, pending %s',
				o.captured, o.refunded, o.refunding, coalesce(p.captured, 0), coalesce(r.done, 0), coalesce(r.pending, 0))
			from orders o
			left join (select order_id, sum(amount) filter (where state = 'captured') as captured from payments group by order_id) p on p.order_id = o.id
			left join (select order_id, sum(amount) filter (where state = 'done') as done, sum(amount) filter (where state = 'pending') as pending
			           from refunds group by order_id) r on r.order_id = o.id
			where (o.captured, o.refunded, o.refunding) is distinct from (coalesce(p.captured, 0), coalesce(r.done, 0), coalesce(r.pending, 0))`,
	},
	{
		Name: "rest-money", Spec: "D2, D3", Settled: true, Says: "when nothing is pending, shipped orders are captured, closed orders hold no money, and no refund is pending",
		Query: `
			select 'order ' || o.id, format('is %s with a payment that is %s', o.status, p.state)
			from payments p join orders o on o.id = p.order_id
			where o.stalled is null and (p.state = 'authorizing'
				or p.state = 'authorized' and o.status = any($1))
			union all
			select 'order ' || r.order_id, format('refund %s is pending', r.id) from refunds r where r.state = 'pending'`,
		Args: []any{lifecycle.Settling()},
	},
}
