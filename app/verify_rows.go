package app

// What was acknowledged is there, and nothing is there that belongs to nothing.
var lawsOfRows = []law{
	{
		name: "key-without-order", spec: "C2, C3",
		says: "every 201 kept for POST /v1/orders names an order of that caller",
		query: `
			select format('key %s of user %s', k.key, k.caller), format('answers with order %s, which %s', k.id, case when o.id is null then 'does not exist' else 'is somebody else''s' end)
			from (select key, caller, convert_from(body, 'UTF8')::json->>'id' as id from idempotency_keys
			      where route = 'POST /v1/orders' and status = 201) k
			left join orders o on o.id::text = k.id
			where o.id is null or o.user_id <> k.caller`,
	},
	{
		name: "bulk-key-without-order", spec: "C2, C11",
		says: "every order in an answer kept for POST /v1/orders/bulk exists and is that caller's",
		query: `
			select format('key %s of user %s', k.key, k.caller), format('answers with order %s, which %s', k.id, case when o.id is null then 'does not exist' else 'is somebody else''s' end)
			from (select key, caller, jsonb_path_query(convert_from(body, 'UTF8')::jsonb, '$.data[*].order.id') #>> '{}' as id from idempotency_keys
			      where route = 'POST /v1/orders/bulk' and status between 200 and 299) k
			left join orders o on o.id::text = k.id
			where o.id is null or o.user_id <> k.caller`,
	},
	{
		name: "order-without-lines", spec: "C1, C2", says: "every order has lines",
		query: `
			select 'order ' || id, 'has no line' from orders o
			where not exists (select from order_lines l where l.order_id = o.id)`,
	},
	{
		name: "order-total", spec: "C1", says: "a line costs quantity times price, and an order what its lines cost",
		query: `
			select 'order ' || o.id, format('total %s, lines %s, quantity times price %s', o.total, l.total, l.priced)
			from orders o
			join (select order_id, sum(total) as total, sum(quantity::numeric * unit_price) as priced,
			             bool_and(total = quantity::numeric * unit_price) as exact
			      from order_lines group by order_id) l on l.order_id = o.id
			where o.total <> l.total or not l.exact`,
	},
	{
		name: "orphans", spec: "C2", says: "what belongs to an order belongs to one that exists",
		query: `
			select t.what || ' of order ' || t.order_id, 'the order does not exist'
			from (select distinct 'lines' as what, order_id from order_lines
			      union all select 'words', order_id from order_terms
			      union all select distinct 'events', order_id from events
			      union all select distinct 'reservations', order_id from reservations
			      union all select distinct 'payments', order_id from payments
			      union all select distinct 'refunds', order_id from refunds
			      union all select distinct 'transfers', order_id from ledger
			      union all select distinct 'dead letters', order_id from dead_letters) t
			where not exists (select from orders o where o.id = t.order_id)`,
	},
	{
		name: "unsearchable", spec: "C5", says: "every order can be found by its words",
		query: `
			select 'order ' || id, 'has no words' from orders o
			where not exists (select from order_terms t where t.order_id = o.id)`,
	},
	{
		name: "deleted", spec: "C8", says: "an order is deleted exactly when an event says so",
		query: `
			select 'order ' || o.id, case when o.deleted_at is null then 'is there, but an event says that it was deleted'
			                              else 'is deleted, but no event says so' end
			from orders o left join (select distinct order_id from events where type = 'order.deleted') e on e.order_id = o.id
			where (o.deleted_at is null) <> (e.order_id is null)`,
	},
	{
		name: "counts", spec: "C11, G2", says: "the counts by status are those of the orders",
		query: `
			select 'status ' || coalesce(c.status, o.status), format('counted %s, there are %s', coalesce(c.n, 0), coalesce(o.n, 0))
			from (select status, sum(n) as n from order_counts group by status) c
			full join (select status, count(*) as n from orders where deleted_at is null group by status) o on o.status = c.status
			where coalesce(c.n, 0) <> coalesce(o.n, 0)`,
	},
}
