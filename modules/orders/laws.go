package orders

import (
	"slices"

	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/laws"
)

// Laws returns the invariants of the tables of this package, without those of histories, which
// Check verifies.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "order-without-lines", Spec: "C1, C2", Says: "every order has lines",
			Query: `
			select 'order ' || id, 'has no line' from orders o
			where not exists (select from order_lines l where l.order_id = o.id)`,
		},
		{
			Name: "order-total", Spec: "C1", Says: "a line's total is quantity times price, and an order's total is the sum of its lines",
			Query: `
			select 'order ' || o.id, format('total %s, lines %s, quantity times price %s', o.total, l.total, l.priced)
			from orders o
			join (select order_id, sum(total) as total, sum(quantity::numeric * unit_price) as priced,
			             bool_and(total = quantity::numeric * unit_price) as exact
			      from order_lines group by order_id) l on l.order_id = o.id
			where o.total <> l.total or not l.exact`,
		},
		{
			Name: "unsearchable", Spec: "C5", Says: "every order has its search terms",
			Query: `
			select 'order ' || id, 'has no words' from orders o
			where not exists (select from order_terms t where t.order_id = o.id)`,
		},
		{
			Name: "counts", Spec: "C11, G2", Says: "the counts by status are those of the orders",
			Query: `
			select 'status ' || coalesce(c.status, o.status), format('counted %s, there are %s', coalesce(c.n, 0), coalesce(o.n, 0))
			from (select status, sum(n) as n from order_counts group by status) c
			full join (select status, count(*) as n from orders where deleted_at is null group by status) o on o.status = c.status
			where coalesce(c.n, 0) <> coalesce(o.n, 0)`,
		},
		{
			Name: "step-undecided", Spec: "D8", Says: "an order is beyond PENDING only when all its steps are passed or skipped",
			Query: `
			select 'order ' || o.id, format('is %s, and its step %s is %s', o.status, s.name, s.status)
			from orders o join order_steps s on s.order_id = o.id and s.round = o.round
			where coalesce(o.held_from, o.status) = any($1) and s.status not in ('passed', 'skipped')`,
			Args: []any{slices.Concat(lifecycle.HoldingStock(), lifecycle.StockTaken())},
		},
		{
			Name: "step-held", Spec: "D10", Says: "an order with a step that holds it is on hold, or was cancelled since",
			Query: `
			select 'order ' || o.id, format('is %s, and its step %s is held', o.status, s.name)
			from orders o join order_steps s on s.order_id = o.id and s.round = o.round
			where s.status = 'held' and o.status <> all($1)`,
			Args: []any{append(lifecycle.With(func(m lifecycle.Meaning) bool { return m.Suspended }), lifecycle.Cancelled)},
		},
		{
			Name: "step-count", Spec: "D8", Says: "an order has the number of steps in its present round that its row states",
			Query: `
			select 'order ' || o.id, format('states %s steps, and has %s', o.steps, coalesce(s.n, 0))
			from orders o left join (select order_id, round, count(*) as n from order_steps group by order_id, round) s
				on s.order_id = o.id and s.round = o.round
			where o.steps <> coalesce(s.n, 0)`,
		},
		{
			Name: "dead-letter", Spec: "D4", Says: "an order is stalled at a step exactly while a dead letter of that step is open",
			Query: `
			select 'order ' || coalesce(o.id, d.order_id), format('stalled at %s, open dead letters: %s', coalesce(o.stalled, 'nothing'), coalesce(array_to_string(d.steps, ', '), 'none'))
			from (select id, stalled from orders where stalled is not null) o
			full join (select order_id, array_agg(step order by id) as steps from dead_letters where resolved_at is null group by order_id) d on d.order_id = o.id
			where (o.stalled = any(d.steps)) is not true`,
		},
		{
			Name: "overdue", Spec: "D6", Says: "no deadline has passed long ago: the sweep would have extended it or inserted a job",
			Query: `
			select 'order ' || id, format('is %s and was due at %s', status, due_at) from orders where due_at < now() - interval '2 minutes'`,
		},
		{
			Name: "rest-orders", Spec: "D6", Settled: true, Says: "when nothing is pending, no order is being processed or has a deadline",
			Query: `
			select 'order ' || id, format('is %s, due at %s', status, coalesce(due_at::text, 'no time')) from orders
			where status = any($1) or due_at is not null`,
			Args: []any{lifecycle.Automatic()},
		},
	}
}

// HistoryLaws returns the invariants that Check verifies for each order.
func HistoryLaws() []laws.Law {
	return []laws.Law{
		{Name: LawFirstEvent, Says: "every history begins with order.created", Spec: "C2"},
		{Name: LawVersions, Says: "the versions of an order's events are numbered from 1, and the order has the version of the last one", Spec: "E1"},
		{Name: LawEventOrder, Says: "the log has an order's events in the order of their versions", Spec: "E3"},
		{Name: LawEventUser, Says: "events have the same user as their order", Spec: "E2"},
		{Name: LawIllegalMove, Says: "histories consist of allowed transitions by roles that may perform them", Spec: "C9"},
		{Name: LawFold, Says: "applying the events of an order yields its row", Spec: "E1"},
	}
}
