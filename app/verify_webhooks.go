package app

// What was to be told to others is told once, and to those who may hear it.
var lawsOfWebhooks = []law{
	{
		name: "webhook-numbers", spec: "E8", says: "the numbers of a webhook's deliveries have no hole, and it has the last",
		query: `
			select 'webhook ' || w.id, format('%s deliveries from %s to %s, the last number is %s', d.n, d.first, d.last, w.last_number)
			from webhooks w
			join (select webhook_id, count(*) as n, min(number) as first, max(number) as last from webhook_deliveries group by webhook_id) d on d.webhook_id = w.id
			where d.last <> w.last_number or d.n <> d.last - d.first + 1`,
	},
	{
		name: "webhook-once", spec: "E8", says: "an event has at most one delivery to a webhook",
		query: `
			select 'webhook ' || webhook_id, format('has event %s/%s as the numbers %s', order_id, version, string_agg(number::text, ', ' order by number))
			from webhook_deliveries group by webhook_id, order_id, version having count(*) > 1`,
	},
	{
		name: "webhook-event", spec: "E1, E8", says: "a delivery is of an event of the log, and of its type and user",
		query: `
			select format('delivery %s of webhook %s', d.number, d.webhook_id), format('is of event %s/%s, which %s', d.order_id, d.version,
				case when e.order_id is null then 'is not in the log' else 'is another' end)
			from webhook_deliveries d left join events e on e.order_id = d.order_id and e.version = d.version
			where (e.type = d.type and e.user_id = d.user_id) is not true`,
	},
	{
		// A role that was lost afterwards takes nothing back; what comes within a few
		// seconds of it was on its way.
		name: "webhook-rights", spec: "A5, E8", says: "nobody is sent an order that they may not see",
		query: `
			select format('delivery %s of webhook %s', d.number, w.id), format('is of an order of %s, the webhook is of %s', d.user_id, w.owner_id)
			from webhooks w
			join webhook_deliveries d on d.webhook_id = w.id
			left join users u on u.id = w.owner_id
			where w.user_id <> d.user_id
			   or (u.active and u.deleted_at is null and (u.role = 'admin' or u.id = d.user_id)) is not true
			      and (u.id is null or d.created_at > u.updated_at + interval '5 seconds'
			           or exists (select from webhook_attempts a where a.delivery_id = d.id and a.at > u.updated_at + interval '5 seconds'))`,
	},
	{
		name: "webhook-job", spec: "D6, E8", says: "a delivery or replay whose time has come has a job that will run",
		query: `
			select t.what, format('is due since %s, and no job is alive', t.due_at)
			from (select id, due_at, format('delivery %s of webhook %s', number, webhook_id) as what from webhook_deliveries where status = 'pending'
			      union all
			      select id, due_at, format('replay %s of webhook %s', id, webhook_id) from webhook_replays where status = 'running') t
			where t.due_at < now() - interval '2 minutes' and t.id::text not in (
				select coalesce(j.args->>'deliveryId', j.args->>'replayId') from river_job j
				where j.queue = 'webhooks' and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled'))`,
	},
	{
		name: "webhook-waiting", spec: "D6, E8", says: "a delivery that waits has one of its order to wait for",
		query: `
			select format('delivery %s of webhook %s', d.number, d.webhook_id), 'waits, and nothing of its order is under way'
			from webhook_deliveries d
			where d.status = 'waiting' and d.created_at < now() - interval '2 minutes' and not exists (
				select from webhook_deliveries o where o.webhook_id = d.webhook_id and o.order_id = d.order_id and o.status = 'pending')`,
	},
	{
		name: "rest-webhooks", spec: "E8", settled: true, says: "at rest nothing is under way to a webhook",
		query: `
			select format('delivery %s of webhook %s', number, webhook_id), format('is %s', status)
			from webhook_deliveries where status in ('pending', 'waiting')`,
	},
}
