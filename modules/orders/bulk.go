package orders

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// maxBulkLines keeps one request from writing for longer than it may take.
const maxBulkLines = 20_000

// BulkOrder is one order of many, or why it cannot be one.
type BulkOrder struct {
	Wanted OrderRequest
	Fault  *fault.Error
}

// Outcome is what became of one order of many: the order, or why it was refused.
type Outcome struct {
	Order   *Order
	Refused *fault.Error

	stored []byte // of a replay: how the edge rendered it; Order has only its id then
}

// PlaceMany accepts many orders in one transaction with their key: after a crash,
// or when it is asked again, all of them are there as they were answered, or none is
// (SPEC C2, C3, C11). Atomic places all or refuses all, with every fault named in
// one refusal. Otherwise what is refused takes nothing from the others, and the
// answer tells of each.
//
// A reference that comes twice belongs to the first order that can be placed.
func (m *Module) PlaceMany(ctx context.Context, caller identity.Caller, baskets []BulkOrder, atomic bool, key idempotency.Key[[]Outcome]) (idempotency.Result[[]Outcome], error) {
	judged, err := m.judge(ctx, caller, baskets)
	if err != nil {
		return idempotency.Result[[]Outcome]{}, err
	}
	key.Still = stillPlacedMany
	placed := 0
	result, err := idempotency.Do(ctx, m.InFlight, m.Pool, key, func(tx pgx.Tx) ([]Outcome, error) {
		many := judged.again(atomic)
		if err := m.insertMany(ctx, tx, many); err != nil {
			return nil, err
		}
		placed = len(many.placed)
		return many.outcomes(), nil
	})
	switch {
	case unknown(err):
		return idempotency.Result[[]Outcome]{}, fault.New(fault.KindUnavailable, "outcome-unknown",
			"It is not known whether the orders were accepted. Repeat the request with its Idempotency-Key or references.").WithRetryAfter(2 * time.Second).WithCause(err)
	case err != nil:
		return idempotency.Result[[]Outcome]{}, err
	}
	if !result.Replayed && placed > 0 {
		m.metrics.placed.Add(float64(placed))
		m.Wake()
	}
	return result, nil
}

// many are orders that share a transaction, each with a verdict once it is refused.
type many struct {
	atomic   bool
	orders   []*placement // nil where the basket was no order
	verdicts []*fault.Error
	placed   []*placement
}

// judge prices the baskets before there is a transaction: a refusal looks into the
// database once more, and who holds one connection must not wait for another. That is
// two queries at most, whatever is wrong and however many baskets there are.
func (m *Module) judge(ctx context.Context, caller identity.Caller, baskets []BulkOrder) (*many, error) {
	var skus []string
	for _, b := range baskets {
		skus = append(skus, skusOf(b.Wanted.Items)...)
	}
	if len(skus) > maxBulkLines {
		return nil, fault.Invalid(fault.Field{
			Pointer: "/orders", Code: "max-lines", Message: fmt.Sprintf("more than %d lines in all", maxBulkLines),
		})
	}
	all := m.accept(ctx, caller, baskets)
	offer, version, err := m.Catalogue.Offers(ctx, uniqueSKUs(skus))
	if err != nil {
		return nil, err
	}
	refused, err := all.price(ctx, all.unjudged(), offer, version)
	if err != nil || len(refused) == 0 {
		return all, err
	}
	return all, postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) error { // by the database, see prepare
		return m.priceIn(ctx, tx, all, refused)
	})
}

// accept makes placements of the baskets, with verdicts on those that no catalogue can
// save.
func (m *Module) accept(ctx context.Context, caller identity.Caller, baskets []BulkOrder) *many {
	all := &many{orders: make([]*placement, len(baskets)), verdicts: make([]*fault.Error, len(baskets))}
	trace := traceOf(ctx)
	for i, b := range baskets {
		if all.verdicts[i] = b.Fault; b.Fault != nil {
			continue
		}
		all.orders[i] = &placement{caller: caller, wanted: b.Wanted, trace: trace}
		all.verdicts[i] = m.refuseWanted(&all.orders[i].wanted)
	}
	return all
}

// unjudged are the orders without a verdict.
func (a *many) unjudged() (list []int) {
	for i, f := range a.verdicts {
		if f == nil {
			list = append(list, i)
		}
	}
	return list
}

// price gives those orders their prices or verdicts, and returns the refused ones.
func (a *many) price(ctx context.Context, list []int, offer func(string) (string, money.Money, bool, bool), version int64) (refused []int, err error) {
	for _, i := range list {
		err := a.orders[i].price(ctx, offer, version)
		f, told := fault.As(err)
		if err != nil && !told {
			return nil, err
		}
		if a.verdicts[i] = f; f != nil {
			refused = append(refused, i)
		}
	}
	return refused, nil
}

// priceIn prices those orders by the database.
func (m *Module) priceIn(ctx context.Context, tx pgx.Tx, all *many, list []int) error {
	var skus []string
	for _, i := range list {
		skus = append(skus, skusOf(all.orders[i].wanted.Items)...)
	}
	offer, version, err := m.Catalogue.OffersIn(ctx, tx, uniqueSKUs(skus))
	if err != nil {
		return err
	}
	_, err = all.price(ctx, list, offer, version)
	return err
}

func uniqueSKUs(skus []string) []string {
	slices.Sort(skus)
	return slices.Compact(skus)
}

// again is a fresh start for one try of the transaction.
func (a *many) again(atomic bool) *many {
	return &many{atomic: atomic, orders: a.orders, verdicts: slices.Clone(a.verdicts)}
}

// insertMany writes what can be placed, and gives verdicts on the rest. Four round
// trips, whatever the number.
func (m *Module) insertMany(ctx context.Context, tx pgx.Tx, all *many) error {
	if err := m.reprice(ctx, tx, all); err != nil {
		return err
	}
	fit, repeated := all.fit()
	if all.atomic {
		if err := all.refusal(repeated); err != nil {
			return err
		}
	}

	var written []uuid.UUID
	b := &pgx.Batch{}
	queueOrders(b, fit, &written)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert %d orders: %w", len(fit), err)
	}
	if err := all.sort(ctx, tx, written, repeated); err != nil {
		return err
	}
	if len(all.placed) == 0 {
		return nil
	}
	b = &pgx.Batch{}
	queueRest(b, all.placed)
	storage.QueueCounts(b, storage.PlacedCounts(len(all.placed)))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert the lines of %d orders: %w", len(all.placed), err)
	}
	return m.insertJobs(ctx, tx, all.placed)
}

// reprice prices anew what was priced with another version of the catalogue than
// is true now.
func (m *Module) reprice(ctx context.Context, tx pgx.Tx, all *many) error {
	var version int64
	b := &pgx.Batch{}
	m.Catalogue.QueueVersion(b, &version)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read the catalogue's version: %w", err)
	}
	var stale []int
	for i, p := range all.orders {
		if p != nil && all.verdicts[i] == nil && p.version != version {
			stale = append(stale, i)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	return m.priceIn(ctx, tx, all, stale)
}

// fit are the orders to write, those with references in the order of these, so
// that two such requests cannot wait for each other; and of those that repeat a
// reference, whose.
func (a *many) fit() (fit []*placement, repeated map[int]int) {
	repeated = map[int]int{}
	first := map[string]int{}
	for i, p := range a.orders {
		if a.verdicts[i] != nil {
			continue
		}
		if reference := p.row.Reference; reference != nil {
			if before, taken := first[*reference]; taken {
				repeated[i] = before
				continue
			}
			first[*reference] = i
		}
		fit = append(fit, p)
	}
	slices.SortStableFunc(fit, func(x, y *placement) int {
		return strings.Compare(storage.Deref(x.row.Reference), storage.Deref(y.row.Reference))
	})
	return fit, repeated
}

// refusal names everything that keeps the orders from being placed together, or is
// nil.
func (a *many) refusal(repeated map[int]int) error {
	var fields []fault.Field
	for i, f := range a.verdicts {
		if f == nil {
			continue
		}
		at := fmt.Sprintf("/orders/%d", i)
		if len(f.Fields) == 0 {
			fields = append(fields, fault.Field{Pointer: at, Code: f.Code, Message: f.Detail})
		}
		for _, field := range f.Fields {
			field.Pointer = at + field.Pointer
			fields = append(fields, field)
		}
	}
	for i := range a.orders {
		if before, is := repeated[i]; is {
			fields = append(fields, fault.Field{
				Pointer: fmt.Sprintf("/orders/%d/reference", i), Code: "unique",
				Message: fmt.Sprintf("is the reference of /orders/%d, too", before),
			})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fault.Invalid(fields...)
}

// sort tells the placed from those whose reference was taken: by an order that was
// there before, or by one before them.
func (a *many) sort(ctx context.Context, tx pgx.Tx, written []uuid.UUID, repeated map[int]int) error {
	done := make(map[uuid.UUID]bool, len(written))
	for _, id := range written {
		done[id] = true
	}
	var taken []int
	for i, p := range a.orders {
		if _, again := repeated[i]; a.verdicts[i] != nil || again {
			continue
		}
		if done[p.row.ID] {
			a.placed = append(a.placed, p)
		} else {
			taken = append(taken, i)
		}
	}
	if err := a.refuseTaken(ctx, tx, taken); err != nil {
		return err
	}
	for i, before := range repeated {
		if a.verdicts[i] = a.verdicts[before]; a.verdicts[i] == nil {
			a.verdicts[i] = referenceTaken(a.orders[before].row.ID)
		}
	}
	return nil
}

// refuseTaken names the orders that have the references already (SPEC C4).
func (a *many) refuseTaken(ctx context.Context, tx pgx.Tx, taken []int) error {
	if len(taken) == 0 {
		return nil
	}
	var references []string
	for _, i := range taken {
		references = append(references, *a.orders[i].row.Reference)
	}
	rows, err := tx.Query(ctx, `select reference, id from orders where user_id = $1 and reference = any($2)`,
		a.orders[taken[0]].row.UserID, references)
	if err != nil {
		return fmt.Errorf("find orders with references: %w", err)
	}
	owner := map[string]uuid.UUID{}
	var reference string
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&reference, &id}, func() error {
		owner[reference] = id
		return nil
	})
	if err != nil {
		return fmt.Errorf("find orders with references: %w", err)
	}
	for at, i := range taken {
		a.verdicts[i] = referenceTaken(owner[references[at]])
	}
	if !a.atomic {
		return nil
	}
	refusal := a.verdicts[taken[0]].With("index", taken[0])
	for _, i := range taken {
		refusal.Fields = append(refusal.Fields, fault.Field{
			Pointer: fmt.Sprintf("/orders/%d/reference", i), Code: "reference-taken", Message: "is another order's",
		})
	}
	return refusal
}

func (a *many) outcomes() []Outcome {
	list := make([]Outcome, len(a.orders))
	for i, p := range a.orders {
		if f := a.verdicts[i]; f != nil {
			list[i].Refused = f
		} else {
			list[i].Order = &p.placed.Value
		}
	}
	return list
}

// stillPlacedMany is for the response about many: deleted orders are replaced by the
// reason why they do not show.
func stillPlacedMany(ctx context.Context, q postgres.Querier, replay *idempotency.Replay[[]Outcome]) error {
	if replay.Refused() {
		return nil
	}
	list, err := replay.Value()
	if err != nil {
		return fmt.Errorf("read the stored response about many orders: %w", err)
	}
	ids := make([]uuid.UUID, len(list))
	for i, o := range list {
		if o.Order != nil {
			ids[i] = o.Order.ID
		}
	}
	gone, err := deletedAmong(ctx, q, ids)
	if err != nil || len(gone) == 0 {
		return err
	}
	for i := range list {
		if gone[ids[i]] {
			list[i] = Outcome{Refused: orderDeleted()}
		}
	}
	return replay.Rewrite(ctx, list)
}
