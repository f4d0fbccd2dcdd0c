package app

import (
	"context"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// The log is of this database, and its readers have passed over nothing.
var lawsOfLog = []law{
	{
		name: "log-elsewhere", spec: "E3", says: "the log was written in this cluster and database, or adopted since it was restored",
		query: `
			select 'the log', format('has the epoch %s, this database is %s: run orderflow migrate', l.epoch, h.epoch)
			from event_log l cross join (` + events.Here + `) h (epoch) where l.epoch <> h.epoch`,
	},
	{
		name: "log-ahead", spec: "E3", says: "no event is of a transaction that this cluster has not begun",
		query: `
			select format('event %s/%s', order_id, version), format('is of transaction %s, the next one is %s', xid, pg_snapshot_xmax(pg_current_snapshot()))
			from events where xid >= pg_snapshot_xmax(pg_current_snapshot()) order by xid, seq`,
	},
	{
		name: "reader-place", spec: "E3, E7, E8", says: "a reader of the log stands where the event is that it stands behind",
		query: `
			select 'reader ' || r.name, format('stands at (%s, %s) behind event %s/%s, which is not there', r.xid, r.seq, r.order_id, r.version)
			from event_readers r left join events e on e.xid = r.xid and e.seq = r.seq
			where r.seq > 0 and (e.order_id = r.order_id and e.version = r.version) is not true`,
	},
	{
		name: "unnotified", spec: "E7", says: "an event that the inbox reader has passed is in the inbox of its owner",
		query: passed("inbox", "orderflow.keep_notifications") + `
			select format('event %s/%s', e.order_id, e.version), format('is a %s of user %s, who was not notified', e.type, e.user_id)
			from passed e
			where e.type in ('` + strings.Join(noted(), "', '") + `')
			  and not exists (select from notifications n where n.order_id = e.order_id and n.version = e.version and n.user_id = e.user_id)`,
	},
	{
		// Only of what an endpoint was to be told without doubt: created, changed or given
		// to another role within a minute of the event, it may be either way.
		name: "undelivered", spec: "E8", says: "an event that the webhook reader has passed has a delivery to each endpoint that it concerns",
		query: passed("webhooks", "orderflow.keep_deliveries") + `
			select format('event %s/%s', e.order_id, e.version), format('is a %s of user %s and has no delivery to webhook %s', e.type, e.user_id, w.id)
			from webhooks w
			join users u on u.id = w.owner_id and u.active and u.deleted_at is null
			join passed e on (u.role = 'admin' or e.user_id = u.id) and (w.user_id is null or w.user_id = e.user_id)
			where w.deleted_at is null and e.at > greatest(w.created_at, w.updated_at, u.updated_at) + interval '1 minute'
			  and (w.types::jsonb = '[]' or w.types::jsonb ? e.type)
			  and not exists (select from webhook_deliveries d where d.webhook_id = w.id and d.order_id = e.order_id and d.version = e.version)`,
	},
}

// passed are the events that a reader has taken, or passed over, and whose outcome is
// still kept.
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
		if k.Note {
			types = append(types, k.Type)
		}
	}
	return types
}

// tellRetention lets the laws know what may have been deleted by now. Without it they
// expect that nothing was.
func tellRetention(ctx context.Context, q postgres.Querier, cfg *config.Config) error {
	seconds := func(d time.Duration) string { return d.Truncate(time.Second).String() }
	_, err := q.Exec(ctx, `select set_config('orderflow.keep_notifications', $1, false), set_config('orderflow.keep_deliveries', $2, false)`,
		seconds(cfg.NotificationRetention), seconds(cfg.WebhookRetention))
	return err
}
