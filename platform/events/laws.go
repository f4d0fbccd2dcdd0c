package events

import "github.com/orderflow-dev/orderflow/platform/laws"

// Laws returns what must hold of the tables of this package: the log belongs to this database, and no consumer has passed over an event.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "log-elsewhere", Spec: "E3", Says: "the log was written in this cluster and database, or adopted since it was restored",
			Query: `
			select 'the log', format('has the epoch %s, this database is %s: run orderflow migrate', l.epoch, h.epoch)
			from event_log l cross join (` + EpochQuery + `) h (epoch) where l.epoch <> h.epoch`,
		},
		{
			Name: "log-ahead", Spec: "E3", Says: "no event is of a transaction that this cluster has not begun",
			Query: `
			select format('event %s/%s', order_id, version), format('is of transaction %s, the next one is %s', xid, pg_snapshot_xmax(pg_current_snapshot()))
			from events where xid >= pg_snapshot_xmax(pg_current_snapshot()) order by xid, seq`,
		},
		{
			Name: "reader-place", Spec: "E3, E7, E8", Says: "a consumer's position in the log matches the event that it processed last",
			Query: `
			select 'reader ' || r.name, format('stands at (%s, %s) behind event %s/%s, which is not there', r.xid, r.seq, r.order_id, r.version)
			from event_readers r left join events e on e.xid = r.xid and e.seq = r.seq
			where r.seq > 0 and (e.order_id = r.order_id and e.version = r.version) is not true`,
		},
		{
			Name: "reader-behind", Spec: "E7", Says: "no reader of the log is long behind it",
			Query: `
			select 'reader ' || r.name, format('has not taken %s of order %s, of %s', e.type, e.order_id, e.at)
			from event_readers r
			cross join lateral (select * from events where (xid, seq) > (r.xid, r.seq) and xid < pg_snapshot_xmin(pg_current_snapshot())
				order by xid, seq limit 1) e
			where e.at < now() - interval '2 minutes' and r.name not like '%/%' -- what is postponed on purpose, by Fork`,
		},
	}
}
