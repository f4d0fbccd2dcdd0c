package orders

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
)

// errConflicting says that something in a batch was not as expected: a key or a
// reference that was there before, or a price that has changed.
var errConflicting = errors.New("contested")

// insertAll writes placements as if nothing could be in their way: one round trip
// for all rows, one for the jobs. Otherwise it gives errContested and names those
// that have something in their way; then its caller must not commit.
func (m *Module) insertAll(ctx context.Context, tx pgx.Tx, list []*placement) (contested []*placement, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	var (
		version int64
		written []uuid.UUID
		fresh   []bool
	)
	b := &pgx.Batch{}
	m.Catalogue.QueueVersion(b, &version)
	if keys := keysOf(list); len(keys) > 0 {
		idempotency.Queue(b, keys, func(f []bool) { fresh = f })
	}
	queueOrders(b, list, &written)
	queueRest(b, list)
	storage.QueueCounts(b, storage.PlacedCounts(len(list)))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("insert orders: %w", err)
	}

	done := make(map[uuid.UUID]bool, len(written))
	for _, id := range written {
		done[id] = true
	}
	for _, p := range list {
		free := p.version == version && done[p.row.ID]
		if p.key.Given() {
			free, fresh = free && fresh[0], fresh[1:]
		}
		if !free {
			contested = append(contested, p)
		}
	}
	if len(contested) > 0 {
		return contested, errConflicting
	}
	return nil, m.insertJobs(ctx, tx, list)
}

func keysOf(list []*placement) (records []idempotency.Record) {
	for _, p := range list {
		if p.key.Given() {
			records = append(records, idempotency.Record{Request: p.key.Request, Response: p.placed.Response})
		}
	}
	return records
}

// insertOne writes one placement step by step, and answers for what is in its way:
// the stored response to its key, or a refusal.
func (m *Module) insertOne(ctx context.Context, tx pgx.Tx, p *placement) (idempotency.Result[Order], error) {
	offer, version, err := m.Catalogue.OffersIn(ctx, tx, skusOf(p.wanted.Items))
	if err != nil {
		return idempotency.Result[Order]{}, err
	}
	if p.key.Given() {
		stored, found, err := idempotency.Find(ctx, tx, p.key)
		if found || err != nil {
			return stored, err
		}
	}
	if err := p.price(ctx, offer, version); err != nil {
		return idempotency.Result[Order]{}, err
	}
	if p.key.Given() {
		fresh, err := idempotency.Insert(ctx, tx, keysOf([]*placement{p}))
		if err != nil {
			return idempotency.Result[Order]{}, err
		}
		if !fresh[0] { // another node was faster, just now
			stored, _, err := idempotency.Find(ctx, tx, p.key)
			return stored, err
		}
	}

	var written []uuid.UUID
	b := &pgx.Batch{}
	queueOrders(b, []*placement{p}, &written)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return idempotency.Result[Order]{}, fmt.Errorf("insert an order: %w", err)
	}
	if len(written) == 0 {
		return idempotency.Result[Order]{}, refuseReference(ctx, tx, p)
	}
	b = &pgx.Batch{}
	queueRest(b, []*placement{p})
	storage.QueueCounts(b, storage.PlacedCounts(1))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return idempotency.Result[Order]{}, fmt.Errorf("insert an order's lines: %w", err)
	}
	return p.placed, m.insertJobs(ctx, tx, []*placement{p})
}

// refuseReference returns the fault that names the order that has the reference
// already (SPEC C4). It stores the refusal with the key, which must be committed.
func refuseReference(ctx context.Context, tx pgx.Tx, p *placement) error {
	there, err := db(tx).Order.Query().
		Where(order.UserID(p.row.UserID), order.Reference(*p.row.Reference)).
		OnlyID(ctx)
	if err != nil {
		return fmt.Errorf("find the order with a reference: %w", err)
	}
	taken := referenceTaken(there)
	if p.key.Given() {
		if err := idempotency.Replace(ctx, tx, idempotency.KeepRefusal(p.key.Request, taken)); err != nil {
			return err
		}
	}
	return taken
}

func referenceTaken(by uuid.UUID) *fault.Error {
	return fault.New(fault.KindConflict, "reference-taken", "You have an order with this reference already.").With("orderId", by)
}

// queueOrders adds the rows of new orders, and returns the ids of those whose
// reference was free.
func queueOrders(b *pgx.Batch, list []*placement, written *[]uuid.UUID) {
	rows := make([]*ent.Order, len(list))
	for i, p := range list {
		rows[i] = p.row
	}
	storage.QueueInsert(b, rows, written)
}

// queueRest adds what belongs to new orders: lines, words, first events.
func queueRest(b *pgx.Batch, list []*placement) {
	var (
		owners      []uuid.UUID
		numbers     []int32
		skus, names []string
		quantities  []int64
		units, sums []int64
		ids         = make([]uuid.UUID, len(list))
		words       = make([]string, len(list))
		first       = make([]events.Event, len(list))
	)
	for i, p := range list {
		for n, line := range p.lines {
			owners, numbers = append(owners, p.row.ID), append(numbers, int32(n+1))
			skus, names, quantities = append(skus, line.SKU), append(names, line.Name), append(quantities, line.Quantity)
			units, sums = append(units, line.UnitPrice.Amount), append(sums, line.Total.Amount)
		}
		ids[i], words[i], first[i] = p.row.ID, strings.Join(terms(p.row, p.lines), " "), p.event
	}

	b.Queue(`
		insert into order_lines (order_id, line, sku, name, quantity, unit_price, total)
		select * from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])`,
		owners, numbers, skus, names, quantities, units, sums)
	b.Queue(`
		insert into order_terms (order_id, terms)
		select id, string_to_array(words, ' ') from unnest($1::uuid[], $2::text[]) as t (id, words)`,
		ids, words)
	events.AppendBatch(b, first)
}

func (m *Module) insertJobs(ctx context.Context, tx pgx.Tx, list []*placement) error {
	jobs := make([]river.InsertManyParams, len(list))
	for i, p := range list {
		jobs[i] = river.InsertManyParams{
			Args:       ProcessArgs{OrderID: p.row.ID},
			InsertOpts: &river.InsertOpts{Metadata: p.trace},
		}
	}
	if _, err := m.Queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}
