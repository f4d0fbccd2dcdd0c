package orders

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// validateAll validates and prices the orders. It runs before the transaction that
// inserts them, because a rejection must be confirmed in the database (see prepare), and a
// goroutine that holds a connection must not wait for a second one. It makes at most two
// queries, for any number of orders and faults.
func (m *Module) validateAll(ctx context.Context, caller identity.Caller, requests []BulkOrder) (*bulk, error) {
	var skus []string
	for _, r := range requests {
		skus = append(skus, skusOf(r.Request.Items)...)
	}
	if len(skus) > maxBulkLines {
		return nil, fault.Invalid(fault.Field{
			Pointer: "/orders", Code: "max-lines", Message: fmt.Sprintf("has more than %d lines in total", maxBulkLines),
		})
	}
	b := m.newBulk(ctx, caller, requests)
	offer, version, err := m.Catalogue.Offers(ctx, uniqueSKUs(skus))
	if err != nil {
		return nil, err
	}
	rejected, err := b.price(ctx, b.candidates(), offer, version)
	if err != nil || len(rejected) == 0 {
		return b, err
	}
	return b, postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error {
		return m.priceIn(ctx, tx, b, rejected)
	})
}

// newBulk makes a placement of each request and records the rejections by the schema.
func (m *Module) newBulk(ctx context.Context, caller identity.Caller, requests []BulkOrder) *bulk {
	b := &bulk{orders: make([]*placement, len(requests)), rejections: make([]*fault.Error, len(requests))}
	for i, r := range requests {
		if r.Fault != nil {
			b.rejections[i] = r.Fault
			continue
		}
		b.orders[i] = m.newPlacement(ctx, caller, r.Request)
	}
	return b
}

// candidates returns the indexes of the orders that are not rejected.
func (b *bulk) candidates() (indexes []int) {
	for i, f := range b.rejections {
		if f == nil {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// price prices the orders at these indexes or records their rejections, and returns the
// indexes of the rejected ones.
func (b *bulk) price(ctx context.Context, indexes []int, offer func(string) (string, money.Money, bool, bool), version int64) (rejected []int, err error) {
	for _, i := range indexes {
		err := b.orders[i].price(ctx, offer, version)
		f, isFault := fault.As(err)
		if err != nil && !isFault {
			return nil, err
		}
		if b.rejections[i] = f; f != nil {
			rejected = append(rejected, i)
		}
	}
	return rejected, nil
}

// priceIn is price with the catalogue as the transaction reads it.
func (m *Module) priceIn(ctx context.Context, tx pgx.Tx, b *bulk, indexes []int) error {
	var skus []string
	for _, i := range indexes {
		skus = append(skus, skusOf(b.orders[i].request.Items)...)
	}
	offer, version, err := m.Catalogue.OffersIn(ctx, tx, uniqueSKUs(skus))
	if err != nil {
		return err
	}
	_, err = b.price(ctx, indexes, offer, version)
	return err
}

func uniqueSKUs(skus []string) []string {
	slices.Sort(skus)
	return slices.Compact(skus)
}
