package app

import (
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/laws"
)

// ordersLaws compare orders with the log, jobs and stored responses: nothing acknowledged is missing, and no pending work is forgotten.
var ordersLaws = []laws.Law{
	{
		Name: "key-without-order", Spec: "C2, C3",
		Says: "every 201 stored for POST /v1/orders has an order of its caller",
		Query: `
			select format('key %s of user %s', k.key, k.caller), format('the response has order %s, which %s', k.id, case when o.id is null then 'does not exist' else 'belongs to another user' end)
			from (select key, caller, convert_from(body, 'UTF8')::json->>'id' as id from idempotency_keys
			      where route = 'POST /v1/orders' and status = 201) k
			left join orders o on o.id::text = k.id
			where o.id is null or o.user_id <> k.caller`,
	},
	{
		Name: "bulk-key-without-order", Spec: "C2, C11",
		Says: "every order in a response stored for POST /v1/orders/bulk exists and belongs to its caller",
		Query: `
			select format('key %s of user %s', k.key, k.caller), format('the response has order %s, which %s', k.id, case when o.id is null then 'does not exist' else 'belongs to another user' end)
			from (select key, caller, jsonb_path_query(convert_from(body, 'UTF8')::jsonb, '$.data[*].order.id') #>> '{}' as id from idempotency_keys
			      where route = 'POST /v1/orders/bulk' and status between 200 and 299) k
			left join orders o on o.id::text = k.id
			where o.id is null or o.user_id <> k.caller`,
	},
	{
		Name: "orphans", Spec: "C2", Says: "every row that refers to an order refers to an existing one",
		Query: `
			select t.what || ' of order ' || t.order_id, 'the order does not exist'
			from (select distinct 'lines' as what, order_id from order_lines
			      union all select 'words', order_id from order_terms
			      union all select distinct 'steps', order_id from order_steps
			      union all select distinct 'events', order_id from events
			      union all select distinct 'reservations', order_id from reservations
			      union all select distinct 'payments', order_id from payments
			      union all select distinct 'refunds', order_id from refunds
			      union all select distinct 'transfers', order_id from ledger
			      union all select distinct 'dead letters', order_id from dead_letters) t
			where not exists (select from orders o where o.id = t.order_id)`,
	},
	{
		Name: "deleted", Spec: "C8", Says: "an order is deleted exactly when an event says so",
		Query: `
			select 'order ' || o.id, case when o.deleted_at is null then 'is there, but an event says that it was deleted'
			                              else 'is deleted, but no event says so' end
			from orders o left join (select distinct order_id from events where type = 'order.deleted') e on e.order_id = o.id
			where (o.deleted_at is null) <> (e.order_id is null)`,
	},
	{
		// Each condition on the payments is a subquery of its own, not a join with a grouped subquery: without
		// statistics the planner would group all payments again for each order.
		Name: "no-next-step", Spec: "D6", Says: "an order with a pending step has a deadline or an open dead letter",
		Query: `
			select 'order ' || o.id, format('is %s, payments %s, refunding %s, and has neither a deadline nor a dead letter',
				o.status, coalesce((select string_agg(state, ' ' order by id) from payments p where p.order_id = o.id), 'none'), o.refunding)
			from orders o
			where o.due_at is null and o.stalled is null and (
				o.status = any($1) or o.refunding > 0
				or exists (select from payments p where p.order_id = o.id and p.state = 'authorizing')
				or o.status = any($2) and exists (select from payments p where p.order_id = o.id and p.state = 'authorized'))`,
		Args: []any{lifecycle.Automatic(), lifecycle.Settling()},
	},
	{
		Name: "job-lost", Spec: "D6", Says: "an order whose deadline has come has a job that will run",
		Query: `
			select 'order ' || o.id, format('is %s, due at %s, and has no live job', o.status, o.due_at)
			from orders o
			where o.due_at < now() - interval '1 minute' and o.stalled is null and not exists (
				select from river_job j where j.args->>'orderId' = o.id::text
				and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled'))`,
	},
}
