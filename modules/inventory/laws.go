package inventory

import "github.com/orderflow-dev/orderflow/platform/laws"

// Laws returns the invariants of the tables of products, reservations and movements.
func Laws() []laws.Law {
	return []laws.Law{
		{
			Name: "reserved", Spec: "B2, B4", Says: "a product's reserved units are the sum of its reservations",
			Query: `
			select 'product ' || p.sku, format('reserved %s, held %s', p.reserved, coalesce(r.held, 0))
			from products p
			left join (select sku, sum(quantity) as held from reservations where state = 'held' group by sku) r on r.sku = p.sku
			where p.reserved <> coalesce(r.held, 0)`,
		},
		{
			Name: "available", Spec: "B2", Says: "available is stock minus reserved and never negative",
			Query: `
			select 'product ' || sku, format('stock %s, reserved %s, available %s', stock, reserved, available)
			from products where available is distinct from stock - reserved or available < 0`,
		},
		{
			Name: "stock", Spec: "B5", Says: "a product's stock is the sum of its movements",
			Query: `
			select 'product ' || p.sku, format('stock %s, movements %s', p.stock, coalesce(m.total, 0))
			from products p left join (select sku, sum(delta) as total from movements group by sku) m on m.sku = p.sku
			where p.stock is not null and p.stock <> coalesce(m.total, 0)`,
		},
	}
}
