package app

import (
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/laws"
)

// stockLaws compare orders with the stock that they have reserved or consumed.
var stockLaws = []laws.Law{
	{
		Name: "finished-holds", Spec: "B4", Says: "an order that is closed or shipped has no reserved stock",
		Query: `
			select 'order ' || o.id, format('is %s and holds %s of %s', o.status, r.quantity, r.sku)
			from reservations r join orders o on o.id = r.order_id
			where r.state = 'held' and o.status = any($1)`,
		Args: []any{lifecycle.Settling()},
	},
	{
		Name: "holds-its-lines", Spec: "B2, D1", Says: "an order with reserved stock has reserved exactly the units of its lines, and a shipped order has consumed them",
		Query: `
			with bound as (
				select id, case when status = any($2) then 'shipped' else 'held' end as state
				from orders
				where coalesce(held_from, status) = any($1) or status = any($2) or reserved_until is not null
			), wants as (
				select b.id, b.state, l.sku, sum(l.quantity) as units from bound b join order_lines l on l.order_id = b.id group by b.id, b.state, l.sku
			), has as (
				select b.id, b.state, r.sku, r.quantity as units from bound b join reservations r on r.order_id = b.id and r.state = b.state
			)
			select 'order ' || id, format('its lines have %s of %s, its reservations %s %s', coalesce(w.units, 0), sku, coalesce(h.units, 0), coalesce(w.state, h.state))
			from wants w full join has h using (id, sku)
			where w.units is distinct from h.units`,
		Args: []any{lifecycle.HoldingStock(), lifecycle.StockTaken()},
	},
	{
		Name: "stock-events", Spec: "E1, B4", Says: "an order's last stock event matches the units that are reserved or shipped",
		Query: `
			with told as (
				select distinct on (order_id) order_id, type, data->'items' as items from events
				where type in ('stock.reserved', 'stock.released') order by order_id, version desc
			), says as (
				select t.order_id, i.sku, i.quantity as units from told t
				cross join lateral json_to_recordset(t.items) as i (sku text, quantity bigint)
				where t.type = 'stock.reserved'
			), has as (
				select order_id, sku, quantity as units from reservations where state <> 'released'
			)
			select 'order ' || order_id, format('its events have %s of %s, its reservations %s', coalesce(s.units, 0), sku, coalesce(h.units, 0))
			from says s full join has h using (order_id, sku)
			where s.units is distinct from h.units`,
	},
	{
		Name: "reserved-until", Spec: "D7, D10", Says: "an order has a reservation deadline exactly while it is PENDING, or held from PENDING, and has reserved stock",
		Query: `
			select 'order ' || o.id, format('is %s, reserved until %s, holds %s', o.status, coalesce(o.reserved_until::text, 'never'),
			                                case when h.order_id is null then 'nothing' else 'stock' end)
			from orders o left join (select distinct order_id from reservations where state = 'held') h on h.order_id = o.id
			where (o.reserved_until is not null) <> (coalesce(o.held_from, o.status) = any($1) and h.order_id is not null)`,
		Args: []any{lifecycle.Reserving()},
	},
}
