package app

import "github.com/orderflow-dev/orderflow/modules/orders/lifecycle"

// What orders, payments, refunds and the ledger say of the same money agrees.
var lawsOfMoney = []law{
	{
		name: "one-live-payment", spec: "D3", says: "an order is paid by one payment at most",
		query: `
			select 'order ' || order_id, format('%s payments are live: %s', count(*), string_agg(id || ' ' || state, ', '))
			from payments where state in ('authorizing', 'authorized', 'captured') group by order_id having count(*) > 1`,
	},
	{
		name: "unpaid", spec: "D1", says: "an order that is confirmed or further, and costs something, is authorised or paid",
		query: `
			select 'order ' || id, 'is ' || status || ', but no payment is authorised or captured' from orders o
			where coalesce(held_from, status) = any($1) and total > 0
			  and not exists (select from payments p where p.order_id = o.id and p.state in ('authorized', 'captured', 'abandoned'))`,
		args: []any{lifecycle.Secured()},
	},
	{
		name: "payment-amount", spec: "D3", says: "a payment is of its order's total, in its currency",
		query: `
			select 'payment ' || p.id, format('%s %s, the order %s %s', p.amount, p.currency, o.total, o.currency)
			from payments p join orders o on o.id = p.order_id
			where p.amount <> o.total or p.currency <> o.currency`,
	},
	{
		name: "payment-status", spec: "C", says: "paymentStatus is what its payments and refunds come to",
		query: `
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
		name: "money-on-order", spec: "C8", says: "captured, refunded and refunding on an order are the sums of its payments and refunds",
		query: `
			select 'order ' || o.id, format('captured %s, refunded %s, refunding %s; payments %s, refunds done %s, pending %s',
				o.captured, o.refunded, o.refunding, coalesce(p.captured, 0), coalesce(r.done, 0), coalesce(r.pending, 0))
			from orders o
			left join (select order_id, sum(amount) filter (where state = 'captured') as captured from payments group by order_id) p on p.order_id = o.id
			left join (select order_id, sum(amount) filter (where state = 'done') as done, sum(amount) filter (where state = 'pending') as pending
			           from refunds group by order_id) r on r.order_id = o.id
			where (o.captured, o.refunded, o.refunding) is distinct from (coalesce(p.captured, 0), coalesce(r.done, 0), coalesce(r.pending, 0))`,
	},
	{
		name: "refund-of-nothing", spec: "C8", says: "refunds never exceed what their payment captured",
		query: `
			select 'payment ' || r.payment_id, format('refunds of %s, %s captured', r.amount, coalesce(p.amount, 0))
			from (select order_id, payment_id, sum(amount) as amount from refunds where state in ('pending', 'done') group by order_id, payment_id) r
			left join payments p on p.order_id = r.order_id and p.id = r.payment_id and p.state = 'captured'
			where r.amount > coalesce(p.amount, 0)`,
	},
	{
		name: "ledger-of-payment", spec: "D3", says: "the ledger has exactly the transfers that a payment's state implies",
		query: `
			select 'payment ' || p.id, format('is %s over %s %s, the ledger has %s over %s', p.state, p.amount, p.currency, coalesce(l.kinds, 'nothing'), l.amounts)
			from payments p
			left join (select order_id, source, string_agg(kind, ' ' order by kind) as kinds, string_agg(distinct amount || ' ' || currency, ', ') as amounts
			           from ledger group by order_id, source) l on l.order_id = p.order_id and l.source = p.id
			where coalesce(l.kinds, '') <> all (case p.state
					when 'authorized' then array['authorize']
					when 'captured' then array['authorize capture settle']
					when 'voided' then array['', 'authorize void']
					when 'abandoned' then array['', 'authorize']
					else array[''] end)
			   or l.amounts <> p.amount || ' ' || p.currency`,
	},
	{
		name: "ledger-of-refund", spec: "C8", says: "the ledger has one transfer for each refund that was made, and none for others",
		query: `
			select 'refund ' || r.id, format('is %s over %s %s, the ledger has %s over %s', r.state, r.amount, r.currency, coalesce(l.kinds, 'nothing'), l.amounts)
			from refunds r
			left join (select order_id, source, string_agg(kind, ' ') as kinds, string_agg(distinct amount || ' ' || currency, ', ') as amounts
			           from ledger group by order_id, source) l on l.order_id = r.order_id and l.source = r.id
			where coalesce(l.kinds, '') <> (case r.state when 'done' then 'refund' else '' end)
			   or l.amounts <> r.amount || ' ' || r.currency`,
	},
	{
		name: "ledger-source", spec: "D3", says: "every transfer is of a payment or a refund of its order",
		query: `
			select format('transfer %s of %s', l.kind, l.source), format('order %s has no such %s', l.order_id, case l.kind when 'refund' then 'refund' else 'payment' end)
			from ledger l
			where not exists (select from payments p where p.order_id = l.order_id and p.id = l.source and l.kind <> 'refund')
			  and not exists (select from refunds r where r.order_id = l.order_id and r.id = l.source and l.kind = 'refund')`,
	},
	{
		name: "ledger-accounts", spec: "D3", says: "the accounts of an order balance to what is authorised, captured and refunded",
		query: `
			with sides as (
				select order_id, debit as account, amount from ledger union all select order_id, credit, -amount from ledger
			), has as (
				select order_id, account, sum(amount) as balance from sides group by order_id, account
			), p as (
				select order_id, sum(amount) filter (where state = 'authorized') as holds, sum(amount) filter (where state = 'captured') as captured
				from payments group by order_id having not bool_or(state = 'abandoned')
			), r as (
				select order_id, sum(amount) filter (where state = 'done') as refunded from refunds group by order_id
			), implied as (
				select p.order_id, i.account, i.balance
				from p left join r on r.order_id = p.order_id
				cross join lateral (values
					('authorized-funds', coalesce(p.holds, 0)), ('customer-holds', -coalesce(p.holds, 0)),
					('provider-balance', coalesce(p.captured, 0) - coalesce(r.refunded, 0)),
					('sales', -coalesce(p.captured, 0)), ('refunds', coalesce(r.refunded, 0))) i (account, balance)
			)
			select 'order ' || i.order_id, format('account %s is at %s, should be at %s', i.account, coalesce(h.balance, 0), i.balance)
			from implied i left join has h on h.order_id = i.order_id and h.account = i.account
			where i.balance <> coalesce(h.balance, 0)`,
	},
}
