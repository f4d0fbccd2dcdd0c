package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Offers returns the current names and prices of the skus, if possible from the node's cache,
// and the version of the catalogue to which they belong. An unknown or deleted sku has ok
// false, an inactive one has active false; both are always read from the database.
//
// A price may be up to a second old. A caller that writes it must compare the version in the
// same transaction (see QueueVersion); a caller that shows it or rejects a request because of
// it must use OffersIn (SPEC F9). Offers needs no query if all skus are cached, and otherwise
// one.
func (m *Module) Offers(ctx context.Context, skus []string) (
	offer func(sku string) (name string, price money.Money, active, ok bool), version int64, err error,
) {
	s, err := m.prices.get(ctx, skus)
	if err != nil {
		return nil, 0, err
	}
	return s.offer, s.version, nil
}

// OffersIn reads from the database in tx, without the cache, with one query.
func (m *Module) OffersIn(ctx context.Context, tx pgx.Tx, skus []string) (
	offer func(sku string) (name string, price money.Money, active, ok bool), version int64, err error,
) {
	s, err := readOffers(ctx, tx, skus)
	if err != nil {
		return nil, 0, err
	}
	return s.offer, s.version, nil
}

// QueueVersion queues a query for the current version of the catalogue. Prices of this version
// are current.
func (m *Module) QueueVersion(b *pgx.Batch, version *int64) {
	b.Queue(`select version from catalogue`).QueryRow(func(row pgx.Row) error { return row.Scan(version) })
}

// article has the values that an order copies from the catalogue.
type article struct {
	name   string
	price  money.Money
	active bool
}

// snapshot has some articles at one version of the catalogue.
type snapshot struct {
	version  int64
	articles map[string]article
}

func (s snapshot) offer(sku string) (name string, price money.Money, active, ok bool) {
	a, ok := s.articles[sku]
	return a.name, a.price, a.active, ok
}

// readOffers takes version and rows in one statement: two would be two snapshots.
func readOffers(ctx context.Context, q postgres.Querier, skus []string) (snapshot, error) {
	rows, err := q.Query(ctx, `
		select c.version, p.sku, p.name, p.unit_price, p.currency, p.active
		from catalogue c left join products p on p.sku = any($1) and p.deleted_at is null`, skus)
	if err != nil {
		return snapshot{}, fmt.Errorf("read offers: %w", err)
	}
	defer rows.Close()

	s := snapshot{articles: make(map[string]article, len(skus))}
	for rows.Next() {
		var sku, name, currency *string
		var amount *int64
		var active *bool
		if err := rows.Scan(&s.version, &sku, &name, &amount, &currency, &active); err != nil {
			return snapshot{}, fmt.Errorf("read offers: %w", err)
		}
		if sku != nil {
			s.articles[*sku] = article{*name, money.Money{Amount: *amount, Currency: *currency}, *active}
		}
	}
	if err := rows.Err(); err != nil {
		return snapshot{}, fmt.Errorf("read offers: %w", err)
	}
	return s, nil
}
