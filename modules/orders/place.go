package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Place accepts an order. When it returns without an error the order, its lines,
// its first event, its key and its job are committed (SPEC C2). Its faults are
// those of C1 and C4; an error that wraps batch.ErrOutcomeUnknown leaves open whether
// the order exists, and the client learns it by repeating the key.
func (m *Module) Place(ctx context.Context, caller identity.Caller, w OrderRequest, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	key.Still = stillPlaced
	leave, err := m.InFlight.Acquire(key.Request)
	if err != nil {
		return idempotency.Result[Order]{}, err
	}
	defer leave()

	p := &placement{caller: caller, wanted: w, key: key, trace: traceOf(ctx)}
	if err := m.prepare(ctx, p); err != nil {
		return m.replayOr(ctx, key, err)
	}

	placed, err := m.placing.Do(ctx, p)
	switch {
	case errors.Is(err, batch.ErrBusy), errors.Is(err, batch.ErrStopped):
		return idempotency.Result[Order]{}, fault.Unavailable("The order queue", err)
	case unknown(err):
		return idempotency.Result[Order]{}, fault.New(fault.KindUnavailable, "outcome-unknown",
			"It is not known whether the order was accepted. Repeat the request with its Idempotency-Key or reference.").WithRetryAfter(2 * time.Second).WithCause(err)
	}
	return placed, err
}

func unknown(err error) bool {
	var commit *postgres.CommitError
	return errors.Is(err, batch.ErrOutcomeUnknown) || errors.As(err, &commit) && commit.Unknown()
}

// replayOr gives the stored response when the basket was acceptable once but is no
// longer: a repeated request gets what the first one got.
func (m *Module) replayOr(ctx context.Context, key idempotency.Key[Order], refused error) (idempotency.Result[Order], error) {
	if _, told := fault.As(refused); !told || !key.Given() {
		return idempotency.Result[Order]{}, refused
	}
	stored, found, err := idempotency.Find(ctx, m.Pool, key)
	if err == nil && !found {
		err = refused
	}
	return stored, err
}

// placeAll writes a batch of orders in one transaction: one statement for each
// table, however many orders there are. Those that turn out to have something in
// their way, which is rare, are taken out and written step by step behind the
// others, each with an answer of its own.
func (m *Module) placeAll(ctx context.Context, all []*placement) ([]batch.Result[idempotency.Result[Order]], error) {
	var (
		together = all
		apart    []*placement
		answers  map[*placement]batch.Result[idempotency.Result[Order]]
	)
	for {
		var contested []*placement
		err := postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) (err error) {
			if contested, err = m.insertAll(ctx, tx, together); err != nil {
				return err
			}
			answers, err = m.insertEach(ctx, tx, apart)
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, errConflicting) {
			return nil, fmt.Errorf("place %d orders: %w", len(all), err)
		}
		apart = append(apart, contested...)
		together = slices.DeleteFunc(slices.Clone(together), func(p *placement) bool { return slices.Contains(contested, p) })
	}

	results := make([]batch.Result[idempotency.Result[Order]], len(all))
	placed := 0
	for i, p := range all {
		r, alone := answers[p]
		if !alone {
			r.Value = p.placed
		}
		if r.Err == nil && !r.Value.Replayed {
			placed++
		}
		results[i] = r
	}
	m.metrics.placed.Add(float64(placed))
	m.Wake()
	return results, nil
}

// insertEach writes placements one after the other in one transaction. A refusal
// is one placement's own; an error of the database ends them all.
func (m *Module) insertEach(ctx context.Context, tx pgx.Tx, list []*placement) (map[*placement]batch.Result[idempotency.Result[Order]], error) {
	results := make(map[*placement]batch.Result[idempotency.Result[Order]], len(list))
	for _, p := range list {
		placed, err := m.insertOne(ctx, tx, p)
		if _, told := fault.As(err); err != nil && !told {
			return nil, err
		}
		results[p] = batch.Result[idempotency.Result[Order]]{Value: placed, Err: err}
	}
	return results, nil
}
