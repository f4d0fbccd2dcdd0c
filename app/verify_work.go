package app

import "github.com/orderflow-dev/orderflow/modules/orders/lifecycle"

// Nothing is forgotten: what is to be done has somebody who will do it.
var lawsOfWork = []law{
	{
		name: "no-next-step", spec: "D6", says: "an order that is owed something has a deadline, or waits for a person",
		query: `
			select 'order ' || o.id, format('is %s, payments %s, refunding %s, and has neither a deadline nor a dead letter',
				o.status, coalesce(p.states, 'none'), o.refunding)
			from orders o
			left join (select order_id, string_agg(state, ' ' order by id) as states, bool_or(state = 'authorizing') as asking,
			                  bool_or(state = 'authorized') as authorized from payments group by order_id) p on p.order_id = o.id
			where o.due_at is null and o.stalled is null and (
				o.status = any($1) or p.asking or o.refunding > 0
				or p.authorized and o.status = any($2))`,
		args: []any{lifecycle.Automatic(), lifecycle.Settling()},
	},
	{
		name: "overdue", spec: "D6", says: "no deadline is long past: the sweep moves it or gives a new job",
		query: `
			select 'order ' || id, format('is %s and was due at %s', status, due_at) from orders where due_at < now() - interval '2 minutes'`,
	},
	{
		name: "job-lost", spec: "D6", says: "an order whose deadline has come has a job that will run",
		query: `
			select 'order ' || o.id, format('is %s, due at %s, and no job is alive', o.status, o.due_at)
			from orders o
			where o.due_at < now() - interval '1 minute' and o.stalled is null and not exists (
				select from river_job j where j.args->>'orderId' = o.id::text
				and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled'))`,
	},
	{
		name: "job-stuck", spec: "D5", says: "no job runs longer than its rescue takes",
		query: `
			select format('job %s, %s', id, kind), format('runs since %s on %s', attempted_at, attempted_by[cardinality(attempted_by)])
			from river_job where state = 'running' and attempted_at < now() - interval '3 minutes'`,
	},
	{
		name: "job-waiting", spec: "D5", says: "no job waits for a worker for long",
		query: `
			select format('job %s, %s', id, kind), format('is %s since %s', state, scheduled_at)
			from river_job where state in ('available', 'scheduled', 'retryable') and scheduled_at < now() - interval '2 minutes'`,
	},
	{
		name: "dead-letter", spec: "D4", says: "an order is stalled at a step exactly while a dead letter of that step is open",
		query: `
			select 'order ' || coalesce(o.id, d.order_id), format('stalled at %s, open dead letters: %s', coalesce(o.stalled, 'nothing'), coalesce(array_to_string(d.steps, ', '), 'none'))
			from (select id, stalled from orders where stalled is not null) o
			full join (select order_id, array_agg(step order by id) as steps from dead_letters where resolved_at is null group by order_id) d on d.order_id = o.id
			where (o.stalled = any(d.steps)) is not true`,
	},
	{
		name: "unread", spec: "E7", says: "an inbox counts what is unread in it",
		query: `
			select 'inbox of ' || coalesce(c.user_id, n.user_id), format('says %s unread, has %s', coalesce(c.unread, 0), coalesce(n.unread, 0))
			from inbox_counts c
			full join (select user_id, count(*) as unread from notifications where read_at is null group by user_id) n on n.user_id = c.user_id
			where coalesce(c.unread, 0) <> coalesce(n.unread, 0)`,
	},
	{
		name: "notified", spec: "E7", says: "a notification tells its owner of an event of their own",
		query: `
			select 'notification ' || n.id, format('tells %s of %s, version %s of order %s', n.user_id, n.type, n.version, n.order_id)
			from notifications n
			where not exists (select from events e where e.order_id = n.order_id and e.version = n.version and e.user_id = n.user_id and e.type = n.type)`,
	},
	{
		name: "reader-behind", spec: "E7", says: "no reader of the log is long behind it",
		query: `
			select 'reader ' || r.name, format('has not taken %s of order %s, of %s', e.type, e.order_id, e.at)
			from event_readers r
			cross join lateral (select * from events where (xid, seq) > (r.xid, r.seq) and xid < pg_snapshot_xmin(pg_current_snapshot())
				order by xid, seq limit 1) e
			where e.at < now() - interval '2 minutes'`,
	},
}

// What holds besides once everything has come to rest.
var lawsAtRest = []law{
	{
		name: "rest-orders", spec: "D6", settled: true, says: "at rest no order is in hand or has a deadline",
		query: `
			select 'order ' || id, format('is %s, due at %s', status, coalesce(due_at::text, 'no time')) from orders
			where status = any($1) or due_at is not null`,
		args: []any{lifecycle.Automatic()},
	},
	{
		name: "rest-money", spec: "D2, D3", settled: true, says: "at rest what was shipped is captured, what is over holds no money, and no refund waits",
		query: `
			select 'order ' || o.id, format('is %s with a payment that is %s', o.status, p.state)
			from payments p join orders o on o.id = p.order_id
			where o.stalled is null and (p.state = 'authorizing'
				or p.state = 'authorized' and o.status = any($1))
			union all
			select 'order ' || r.order_id, format('refund %s is pending', r.id) from refunds r where r.state = 'pending'`,
		args: []any{lifecycle.Settling()},
	},
	{
		name: "rest-jobs", spec: "D5", settled: true, says: "at rest no job is alive",
		query: `
			select format('job %s, %s', id, kind), format('is %s', state)
			from river_job where state in ('available', 'pending', 'retryable', 'running', 'scheduled')`,
	},
}
