package app

import (
	"context"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/laws"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// eventLaws compare the log with the rows that its consumers have written.
var eventLaws = []laws.Law{
	{
		Name: "unnotified", Spec: "E7", Says: "an event before the position of the inbox consumer is in the inbox of its owner",
		Query: passed("inbox", "orderflow.keep_notifications") + `
			select format('event %s/%s', e.order_id, e.version), format('is a %s of user %s, who was not notified', e.type, e.user_id)
			from passed e
			where e.type in ('` + strings.Join(noted(), "', '") + `')
			  and not exists (select from notifications n where n.order_id = e.order_id and n.version = e.version and n.user_id = e.user_id)`,
	},
	{
		Name: "notified", Spec: "E7", Says: "a notification belongs to an event of its owner",
		Query: `
			select 'notification ' || n.id, format('notifies %s of %s, version %s of order %s', n.user_id, n.type, n.version, n.order_id)
			from notifications n
			where not exists (select from events e where e.order_id = n.order_id and e.version = n.version and e.user_id = n.user_id and e.type = n.type)`,
	},
	{
		// Only for endpoints that had to receive the event. If an endpoint was created or
		// changed, or the role of its owner changed, within a minute of the event, both
		// outcomes are correct.
		Name: "undelivered", Spec: "E8", Says: "an event before the position of the webhook consumer has a delivery to each endpoint that is subscribed to it, or is in its backlog",
		Query: passed("webhooks", "orderflow.keep_deliveries") + `
			select format('event %s/%s', e.order_id, e.version), format('is a %s of user %s and has no delivery to webhook %s', e.type, e.user_id, w.id)
			from webhooks w
			join users u on u.id = w.owner_id and u.active and u.deleted_at is null
			join passed e on (u.role = 'admin' or e.user_id = u.id) and (w.user_id is null or w.user_id = e.user_id)
			where w.deleted_at is null and e.at > greatest(w.created_at, w.updated_at, u.updated_at) + interval '1 minute'
			  and (w.types::jsonb = '[]' or w.types::jsonb ? e.type)
			  and not exists (select from webhook_deliveries d where d.webhook_id = w.id and d.order_id = e.order_id and d.version = e.version)
			  and not exists (select from event_readers b where b.name = 'webhooks/' || w.id::text and (e.xid, e.seq) > (b.xid, b.seq))`,
	},
	{
		Name: "webhook-backlog", Spec: "D6, E8, F10", Says: "the owner of a webhook with a backlog has a job that will run",
		Query: `
			select 'webhook ' || w.id, format('is behind since %s, and no job is alive', e.at)
			from event_readers r
			join events e on (e.xid, e.seq) = (r.xid, r.seq)
			join webhooks w on r.name = 'webhooks/' || w.id::text
			where e.at < now() - interval '2 minutes' and w.owner_id::text not in (
				select j.args->>'ownerId' from river_job j
				where j.queue = 'webhooks' and j.kind = 'webhook_backlog' and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled'))`,
	},
	{
		Name: "rest-backlogs", Spec: "E8", Settled: true, Says: "when nothing is pending, no webhook has a backlog",
		Query: `select r.name, 'has a position of its own' from event_readers r where r.name like 'webhooks/%'`,
	},
	{
		Name: "webhook-event", Spec: "E1, E8", Says: "a delivery belongs to an event of the log with the same type and user",
		Query: `
			select format('delivery %s of webhook %s', d.number, d.webhook_id), format('is of event %s/%s, which %s', d.order_id, d.version,
				case when e.order_id is null then 'is not in the log' else 'is another' end)
			from webhook_deliveries d left join events e on e.order_id = d.order_id and e.version = d.version
			where (e.type = d.type and e.user_id = d.user_id) is not true`,
	},
	{
		// A role that was lost afterwards does not matter, nor does a delivery within a few
		// seconds of the loss, because it was already in progress.
		Name: "webhook-rights", Spec: "A5, E8", Says: "a webhook only gets events of orders that its owner may see",
		Query: `
			select format('delivery %s of webhook %s', d.number, w.id), format('is of an order of %s, the webhook is of %s', d.user_id, w.owner_id)
			from webhooks w
			join webhook_deliveries d on d.webhook_id = w.id
			left join users u on u.id = w.owner_id
			where w.user_id <> d.user_id
			   or (u.active and u.deleted_at is null and (u.role = 'admin' or u.id = d.user_id)) is not true
			      and (u.id is null or d.created_at > u.updated_at + interval '5 seconds'
			           or exists (select from webhook_attempts a where a.delivery_id = d.id and a.at > u.updated_at + interval '5 seconds'))`,
	},
}

// passed selects the events before the position of a consumer whose results are still stored.
func passed(reader, keep string) string {
	return `
			with passed as (
				select e.* from event_readers r
				left join events b on b.order_id = r.began_order_id and b.version = r.began_version
				join events e on (e.xid, e.seq) <= (r.xid, r.seq) and (e.xid, e.seq) > (coalesce(b.xid, '0'), coalesce(b.seq, 0))
				where r.name = '` + reader + `' and e.at > now() - coalesce(current_setting('` + keep + `', true), '100 years')::interval + interval '10 minutes'
			)`
}

func noted() (types []string) {
	for _, k := range orders.Kinds() {
		if k.Notify {
			types = append(types, k.Type)
		}
	}
	return types
}

// tellRetention passes the retention periods to the laws. Without them they expect that nothing
// has been deleted.
func tellRetention(ctx context.Context, q postgres.Querier, cfg *config.Config) error {
	seconds := func(d time.Duration) string { return d.Truncate(time.Second).String() }
	_, err := q.Exec(ctx, `select set_config('orderflow.keep_notifications', $1, false), set_config('orderflow.keep_deliveries', $2, false)`,
		seconds(cfg.NotificationRetention), seconds(cfg.WebhookRetention))
	return err
}
