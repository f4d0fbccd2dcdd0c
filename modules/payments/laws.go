package payments

import "github.com/orderflow-dev/orderflow/platform/laws"

// Laws returns the invariants of the tables of payments, refunds and the ledger.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "one-live-payment", Spec: "D3", Says: "an order has at most one live payment",
			Query: `
			select 'order ' || order_id, format('%s payments are live: %s', count(*), string_agg(id || ' ' || state, ', '))
			from payments where state in ('authorizing', 'authorized', 'captured') group by order_id having count(*) > 1`,
		},
		{
			Name: "refund-of-nothing", Spec: "C8", Says: "refunds never exceed what their payment captured",
			Query: `
			select 'payment ' || r.payment_id, format('refunds of %s, %s captured', r.amount, coalesce(p.amount, 0))
			from (select order_id, payment_id, sum(amount) as amount from refunds where state in ('pending', 'done') group by order_id, payment_id) r
			left join payments p on p.order_id = r.order_id and p.id = r.payment_id and p.state = 'captured'
			where r.amount > coalesce(p.amount, 0)`,
		},
		{
			Name: "ledger-of-payment", Spec: "D3", Says: "the ledger has exactly the transfers that a payment's state implies",
			Query: `
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
			Name: "ledger-of-refund", Spec: "C8", Says: "the ledger has one transfer for each refund that succeeded, and none for others",
			Query: `
			select 'refund ' || r.id, format('is %s over %s %s, the ledger has %s over %s', r.state, r.amount, r.currency, coalesce(l.kinds, 'nothing'), l.amounts)
			from refunds r
			left join (select order_id, source, string_agg(kind, ' ') as kinds, string_agg(distinct amount || ' ' || currency, ', ') as amounts
			           from ledger group by order_id, source) l on l.order_id = r.order_id and l.source = r.id
			where coalesce(l.kinds, '') <> (case r.state when 'done' then 'refund' else '' end)
			   or l.amounts <> r.amount || ' ' || r.currency`,
		},
		{
			Name: "ledger-source", Spec: "D3", Says: "every transfer belongs to a payment or a refund of its order",
			Query: `
			select format('transfer %s of %s', l.kind, l.source), format('order %s has no such %s', l.order_id, case l.kind when 'refund' then 'refund' else 'payment' end)
			from ledger l
			where not exists (select from payments p where p.order_id = l.order_id and p.id = l.source and l.kind <> 'refund')
			  and not exists (select from refunds r where r.order_id = l.order_id and r.id = l.source and l.kind = 'refund')`,
		},
		{
			Name: "ledger-accounts", Spec: "D3", Says: "the balances of an order's accounts match the authorised, captured and refunded amounts",
			Query: `
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
}
