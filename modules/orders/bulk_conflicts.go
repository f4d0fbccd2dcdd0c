package orders

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// reprice prices the orders again whose prices come from an older version of the catalogue.
func (m *Module) reprice(ctx context.Context, tx pgx.Tx, all *bulk) error {
	var version int64
	b := &pgx.Batch{}
	m.Catalogue.QueueVersion(b, &version)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read the catalogue's version: %w", err)
	}
	var stale []int
	for _, i := range all.candidates() {
		if all.orders[i].version != version {
			stale = append(stale, i)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	return m.priceIn(ctx, tx, all, stale)
}

// insertable returns the orders to insert, sorted by reference so that two concurrent
// bulk requests cannot deadlock. An order that repeats a reference of the same request is
// left out; duplicates maps its index to the index of the first order with the reference.
func (b *bulk) insertable() (list []*placement, duplicates map[int]int) {
	duplicates = map[int]int{}
	first := map[string]int{}
	for _, i := range b.candidates() {
		p := b.orders[i]
		if reference := p.row.Reference; reference != nil {
			if before, found := first[*reference]; found {
				duplicates[i] = before
				continue
			}
			first[*reference] = i
		}
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(x, y *placement) int {
		return strings.Compare(storage.Deref(x.row.Reference), storage.Deref(y.row.Reference))
	})
	return list, duplicates
}

// rejection returns one fault with everything that prevents placing all of the orders, or
// nil.
func (b *bulk) rejection(duplicates map[int]int) error {
	var fields []fault.Field
	for i, f := range b.rejections {
		if f == nil {
			continue
		}
		pointer := fmt.Sprintf("/orders/%d", i)
		if len(f.Fields) == 0 {
			fields = append(fields, fault.Field{Pointer: pointer, Code: f.Code, Message: f.Detail})
		}
		for _, field := range f.Fields {
			field.Pointer = pointer + field.Pointer
			fields = append(fields, field)
		}
	}
	for i := range b.orders {
		if before, found := duplicates[i]; found {
			fields = append(fields, fault.Field{
				Pointer: fmt.Sprintf("/orders/%d/reference", i), Code: "unique",
				Message: fmt.Sprintf("is also the reference of /orders/%d", before),
			})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fault.Invalid(fields...)
}

// classify separates the orders that were inserted from those whose reference was taken,
// either by an existing order or by an earlier one of the same request.
func (b *bulk) classify(ctx context.Context, tx pgx.Tx, inserted []uuid.UUID, duplicates map[int]int) error {
	wasInserted := make(map[uuid.UUID]bool, len(inserted))
	for _, id := range inserted {
		wasInserted[id] = true
	}
	var taken []int
	for _, i := range b.candidates() {
		p := b.orders[i]
		if _, duplicate := duplicates[i]; duplicate {
			continue
		}
		if wasInserted[p.row.ID] {
			b.placed = append(b.placed, p)
		} else {
			taken = append(taken, i)
		}
	}
	if err := b.rejectTaken(ctx, tx, taken); err != nil {
		return err
	}
	for i, before := range duplicates {
		if b.rejections[i] = b.rejections[before]; b.rejections[i] == nil {
			b.rejections[i] = referenceTaken(b.orders[before].row.ID)
		}
	}
	return nil
}

// rejectTaken rejects the orders at these indexes with the ids of the orders that have
// their references (SPEC C4). For an atomic request it returns the fault of the whole
// request.
func (b *bulk) rejectTaken(ctx context.Context, tx pgx.Tx, taken []int) error {
	if len(taken) == 0 {
		return nil
	}
	references := make([]string, len(taken))
	for n, i := range taken {
		references[n] = *b.orders[i].row.Reference
	}
	owners, err := ordersByReference(ctx, tx, b.orders[taken[0]].row.UserID, references)
	if err != nil {
		return err
	}
	for n, i := range taken {
		owner, found := owners[references[n]]
		if !found {
			return referenceFreed()
		}
		b.rejections[i] = referenceTaken(owner)
	}
	if !b.atomic {
		return nil
	}
	f := b.rejections[taken[0]].With("index", taken[0])
	for _, i := range taken {
		f.Fields = append(f.Fields, fault.Field{
			Pointer: fmt.Sprintf("/orders/%d/reference", i), Code: "reference-taken", Message: "is the reference of another order",
		})
	}
	return f
}

// ordersByReference returns the ids of a user's orders with these references.
func ordersByReference(ctx context.Context, tx pgx.Tx, userID uuid.UUID, references []string) (map[string]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `select reference, id from orders where user_id = $1 and reference = any($2)`, userID, references)
	if err != nil {
		return nil, fmt.Errorf("find orders with references: %w", err)
	}
	var (
		reference string
		id        uuid.UUID
		found     = map[string]uuid.UUID{}
	)
	_, err = pgx.ForEachRow(rows, []any{&reference, &id}, func() error {
		found[reference] = id
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find orders with references: %w", err)
	}
	return found, nil
}
