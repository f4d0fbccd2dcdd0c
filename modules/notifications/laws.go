package notifications

import "github.com/orderflow-dev/orderflow/platform/laws"

// Laws returns the invariants of the tables of inboxes and their counts.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "unread", Spec: "E7", Says: "an inbox's counter is the number of its unread notifications",
			Query: `
			select 'inbox of ' || coalesce(c.user_id, n.user_id), format('says %s unread, has %s', coalesce(c.unread, 0), coalesce(n.unread, 0))
			from inbox_counts c
			full join (select user_id, count(*) as unread from notifications where read_at is null group by user_id) n on n.user_id = c.user_id
			where coalesce(c.unread, 0) <> coalesce(n.unread, 0)`,
		},
	}
}
