package inventory

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// maxStock prevents overflows of sums over products.
const maxStock = 1_000_000_000_000

// adjust changes the stock by delta, once per key (SPEC B5).
func (m *Module) adjust(ctx context.Context, by identity.Caller, key idempotency.Key[*ent.Movement], sku string, delta int64, reason string) (idempotency.Result[*ent.Movement], error) {
	if err := (AdjustmentRequest{Delta: delta}).validate(); err != nil {
		return idempotency.Result[*ent.Movement]{}, err
	}
	return idempotency.Do(ctx, m.running, m.pool, key, func(tx pgx.Tx) (*ent.Movement, error) {
		return move(ctx, tx, by.Actor(), sku, delta, reason)
	})
}

// move adds delta to the stock and records the actor and the reason (SPEC B5). It increments
// the product's version, so that a concurrent edit fails with 412.
func move(ctx context.Context, tx pgx.Tx, by identity.Actor, sku string, delta int64, reason string) (*ent.Movement, error) {
	p, err := lockLive(ctx, tx, sku)
	if err != nil {
		return nil, err
	}
	if p.Stock == nil {
		return nil, fault.New(fault.KindConflict, "untracked", "The stock of %s is not tracked; set its stock first.", sku)
	}
	if delta > maxStock-*p.Stock {
		return nil, fault.Invalid(fault.Field{
			Pointer: "/delta", Code: "out-of-range",
			Message: fmt.Sprintf("would raise the stock above %d", int64(maxStock)),
		})
	}
	stock := *p.Stock + delta // stock >= 0, so no delta can wrap it downwards
	if err := covers(&stock, p.Reserved); err != nil {
		return nil, err
	}

	err = ent.On(tx).Product.UpdateOne(p).SetStock(stock).AddVersion(1).SetUpdatedAt(postgres.Now()).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("adjust product %s: %w", sku, err)
	}
	adjusted := audit.Entry{Action: auditStockAdjusted, Subject: sku, Changes: []audit.Change{audit.Now("delta", delta), {Field: "stock", Before: *p.Stock, After: stock}}}
	if err := audit.Record(ctx, tx, adjusted); err != nil {
		return nil, err
	}
	return record(ctx, tx, sku, delta, &stock, reason, by)
}

// recordChange records the movement from the previous stock to the product's, unless they are
// equal. A stock that is not tracked counts as zero.
func recordChange(ctx context.Context, tx pgx.Tx, p *ent.Product, before *int64, reason string, by identity.Actor) error {
	if same(before, p.Stock) {
		return nil
	}
	_, err := record(ctx, tx, p.ID, onHand(p.Stock)-onHand(before), p.Stock, reason, by)
	return err
}

func onHand(stock *int64) int64 {
	if stock == nil {
		return 0
	}
	return *stock
}

// record appends a movement. It is called with the product locked, so a
// product's movements are in the order of their ids, as far as the nodes' clocks
// agree.
func record(ctx context.Context, tx pgx.Tx, sku string, delta int64, stock *int64, reason string, by identity.Actor) (*ent.Movement, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	mv, err := ent.On(tx).Movement.Create().
		SetID(id).SetSku(sku).SetDelta(delta).SetNillableStock(stock).
		SetReason(reason).SetActor(string(by)).SetAt(postgres.Now()).
		Save(ctx)
	if err != nil {
		return nil, fmt.Errorf("record a movement of %s: %w", sku, err)
	}
	return mv, nil
}
