package orders

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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

// errConflicting is returned when an order of a batch conflicts with something in the
// database: its idempotency key or reference exists already, or a price has changed.
var errConflicting = errors.New("conflicting orders")

// insertAll inserts placements on the assumption that none conflicts: one round trip for
// all rows, one for the jobs. If some conflict, it returns them with errConflicting, and
// the caller must roll back.
func (m *Module) insertAll(ctx context.Context, tx pgx.Tx, list []*placement) (conflicting []*placement, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	var (
		version  int64
		inserted []uuid.UUID
		fresh    []bool
	)
	b := &pgx.Batch{}
	m.Catalogue.QueueVersion(b, &version)
	if keys := keysOf(list); len(keys) > 0 {
		idempotency.Queue(b, keys, func(f []bool) { fresh = f })
	}
	queueOrders(b, list, &inserted)
	queueRest(b, list)
	storage.QueueCounts(b, storage.PlacedCounts(len(list)))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("insert orders: %w", err)
	}

	wasInserted := make(map[uuid.UUID]bool, len(inserted))
	for _, id := range inserted {
		wasInserted[id] = true
	}
	for _, p := range list {
		free := p.version == version && wasInserted[p.row.ID]
		if p.key.Given() {
			free, fresh = free && fresh[0], fresh[1:]
		}
		if !free {
			conflicting = append(conflicting, p)
		}
	}
	if len(conflicting) > 0 {
		return conflicting, errConflicting
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

// insertOne inserts one placement step by step. If it conflicts, insertOne returns the
// stored response of its key, or a fault.
func (m *Module) insertOne(ctx context.Context, tx pgx.Tx, p *placement) (idempotency.Result[Order], error) {
	offer, version, err := m.Catalogue.OffersIn(ctx, tx, skusOf(p.request.Items))
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
		if !fresh[0] { // another node has inserted the key meanwhile
			stored, _, err := idempotency.Find(ctx, tx, p.key)
			return stored, err
		}
	}

	var inserted []uuid.UUID
	b := &pgx.Batch{}
	queueOrders(b, []*placement{p}, &inserted)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return idempotency.Result[Order]{}, fmt.Errorf("insert an order: %w", err)
	}
	if len(inserted) == 0 {
		return idempotency.Result[Order]{}, rejectReference(ctx, tx, p)
	}
	b = &pgx.Batch{}
	queueRest(b, []*placement{p})
	storage.QueueCounts(b, storage.PlacedCounts(1))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return idempotency.Result[Order]{}, fmt.Errorf("insert an order's lines: %w", err)
	}
	return p.placed, m.insertJobs(ctx, tx, []*placement{p})
}

// rejectReference returns the fault with the id of the order that has the reference
// (SPEC C4).
func rejectReference(ctx context.Context, tx pgx.Tx, p *placement) error {
	existing, err := db(tx).Order.Query().
		Where(order.UserID(p.row.UserID), order.Reference(*p.row.Reference)).
		OnlyID(ctx)
	if ent.IsNotFound(err) {
		return referenceFreed()
	}
	if err != nil {
		return fmt.Errorf("find the order with a reference: %w", err)
	}
	return referenceTaken(existing)
}

// referenceFreed is returned if the order with a reference was deleted after the reference was found
// to be taken.
func referenceFreed() *fault.Error {
	return fault.New(fault.KindUnavailable, "busy", "The order with this reference was deleted just now; try again.").WithRetryAfter(time.Second)
}

func referenceTaken(by uuid.UUID) *fault.Error {
	return fault.New(fault.KindConflict, "reference-taken", "Another order of yours has this reference.").With("orderId", by)
}

// queueOrders queues the insertion of new orders. Once the batch is sent, inserted has the
// ids of those whose reference was not taken.
func queueOrders(b *pgx.Batch, list []*placement, inserted *[]uuid.UUID) {
	rows := make([]*ent.Order, len(list))
	for i, p := range list {
		rows[i] = p.row
	}
	storage.QueueInsert(b, rows, inserted)
}

// queueRest queues the insertion of new orders' lines, search terms and first events.
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
		insert into order_terms (order_id, terms, rule)
		select id, string_to_array(words, ' '), $3 from unnest($1::uuid[], $2::text[]) as t (id, words)`,
		ids, words, termsRule)
	events.AppendBatch(b, first)
}

func (m *Module) insertJobs(ctx context.Context, tx pgx.Tx, list []*placement) error {
	priorities, err := m.prioritize(ctx, tx, list)
	if err != nil {
		return err
	}
	jobs := make([]river.InsertManyParams, len(list))
	for i, p := range list {
		jobs[i] = river.InsertManyParams{
			Args:       ProcessArgs{OrderID: p.row.ID},
			InsertOpts: &river.InsertOpts{Metadata: p.trace, Priority: priorities[i]},
		}
	}
	if _, err := m.Queue.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}
