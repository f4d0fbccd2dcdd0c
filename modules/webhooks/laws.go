package webhooks

import "github.com/orderflow-dev/orderflow/platform/laws"

// Laws returns the invariants of the tables of endpoints, deliveries and replays.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "webhook-numbers", Spec: "E8", Says: "the numbers of a webhook's deliveries have no gaps, and the webhook has the last number",
			Query: `
			select 'webhook ' || w.id, format('%s deliveries from %s to %s, the last number is %s', d.n, d.first, d.last, w.last_number)
			from webhooks w
			join (select webhook_id, count(*) as n, min(number) as first, max(number) as last from webhook_deliveries group by webhook_id) d on d.webhook_id = w.id
			where d.last <> w.last_number or d.n <> d.last - d.first + 1`,
		},
		{
			Name: "webhook-once", Spec: "E8", Says: "an event has at most one delivery to a webhook",
			Query: `
			select 'webhook ' || webhook_id, format('has event %s/%s as the numbers %s', order_id, version, string_agg(number::text, ', ' order by number))
			from webhook_deliveries group by webhook_id, order_id, version having count(*) > 1`,
		},
		{
			Name: "webhook-waiting", Spec: "D6, E8", Says: "a waiting delivery has an earlier unfinished delivery of the same order",
			Query: `
			select format('delivery %s of webhook %s', d.number, d.webhook_id), 'waits, and nothing of its order is under way'
			from webhook_deliveries d
			where d.status = 'waiting' and d.created_at < now() - interval '2 minutes' and not exists (
				select from webhook_deliveries o where o.webhook_id = d.webhook_id and o.order_id = d.order_id and o.status = 'pending')`,
		},
		{
			Name: "webhook-job", Spec: "D6, E8", Says: "a delivery or replay that is due has a job that will run",
			Query: `
			select t.what, format('is due since %s, and no job is alive', t.due_at)
			from (select id, due_at, format('delivery %s of webhook %s', number, webhook_id) as what from webhook_deliveries where status = 'pending'
			      union all
			      select id, due_at, format('replay %s of webhook %s', id, webhook_id) from webhook_replays where status = 'running') t
			where t.due_at < now() - interval '2 minutes' and t.id::text not in (
				select coalesce(j.args->>'deliveryId', j.args->>'replayId') from river_job j
				where j.queue = 'webhooks' and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled'))`,
		},
		{
			Name: "rest-webhooks", Spec: "E8", Settled: true, Says: "when nothing is pending, no delivery to a webhook is pending",
			Query: `
			select format('delivery %s of webhook %s', number, webhook_id), format('is %s', status)
			from webhook_deliveries where status in ('pending', 'waiting')`,
		},
	}
}
