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

// Place accepts an order. When it returns without an error, the order with its lines, its
// first event, its idempotency key and its job are committed (SPEC C2). It returns the
// faults of SPEC C1, C4 and F13. The fault "outcome-unknown" means that the order may or may not
// exist; the client finds out by repeating the request with its key.
func (m *Module) Place(ctx context.Context, caller identity.Caller, request OrderRequest, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	key.Still = stillPlaced
	release, err := m.InFlight.Acquire(key.Request)
	if err != nil {
		return idempotency.Result[Order]{}, err
	}
	defer release()

	return withinBudget(ctx, m, caller, 1, key, func() (idempotency.Result[Order], error) {
		return m.place(ctx, caller, request, key)
	})
}

func (m *Module) place(ctx context.Context, caller identity.Caller, request OrderRequest, key idempotency.Key[Order]) (idempotency.Result[Order], error) {
	p := m.newPlacement(ctx, caller, request)
	p.key = key
	if err := m.prepare(ctx, p); err != nil {
		return replayOr(ctx, m, key, err)
	}

	placed, err := m.placing.Do(ctx, p)
	switch {
	case errors.Is(err, batch.ErrBusy), errors.Is(err, batch.ErrStopped):
		return idempotency.Result[Order]{}, fault.Unavailable("The order queue", err)
	case isOutcomeUnknown(err):
		return idempotency.Result[Order]{}, outcomeUnknown("Repeat the request with its Idempotency-Key or with the same reference.", err)
	}
	return placed, err
}

// isOutcomeUnknown reports whether the transaction may have been committed despite the error.
func isOutcomeUnknown(err error) bool {
	var commit *postgres.CommitError
	return errors.Is(err, batch.ErrOutcomeUnknown) || errors.As(err, &commit) && commit.Unknown()
}

// outcomeUnknown returns the fault of a request whose transaction may have been committed.
func outcomeUnknown(advice string, cause error) *fault.Error {
	return fault.New(fault.KindUnavailable, "outcome-unknown", "The outcome of the request is unknown. %s", advice).
		WithRetryAfter(2 * time.Second).WithCause(cause)
}

// placeAll inserts a batch of orders in one transaction, with one statement for each table.
// Orders that conflict, which is rare, are removed from the batch and inserted one by one
// in the same transaction, each with a result of its own.
func (m *Module) placeAll(ctx context.Context, all []*placement) ([]batch.Result[idempotency.Result[Order]], error) {
	var (
		together        = all
		separate        []*placement
		separateResults map[*placement]batch.Result[idempotency.Result[Order]]
	)
	for {
		var conflicting []*placement
		err := postgres.InTx(ctx, m.Pool, func(tx pgx.Tx) (err error) {
			if conflicting, err = m.insertAll(ctx, tx, together); err != nil {
				return err
			}
			separateResults, err = m.insertEach(ctx, tx, separate)
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, errConflicting) {
			return nil, fmt.Errorf("place %d orders: %w", len(all), err)
		}
		separate = append(separate, conflicting...)
		together = slices.DeleteFunc(slices.Clone(together), func(p *placement) bool { return slices.Contains(conflicting, p) })
	}

	results := make([]batch.Result[idempotency.Result[Order]], len(all))
	placed := 0
	for i, p := range all {
		r, isSeparate := separateResults[p]
		if !isSeparate {
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

// insertEach inserts placements one after the other in one transaction. A fault concerns
// one placement, whose rows are rolled back, its key included; any other error ends the transaction.
func (m *Module) insertEach(ctx context.Context, tx pgx.Tx, list []*placement) (map[*placement]batch.Result[idempotency.Result[Order]], error) {
	results := make(map[*placement]batch.Result[idempotency.Result[Order]], len(list))
	for _, p := range list {
		savepoint, err := tx.Begin(ctx)
		if err != nil {
			return nil, fmt.Errorf("set a savepoint: %w", err)
		}
		placed, err := m.insertOne(ctx, savepoint, p)
		end := savepoint.Commit
		if err != nil {
			if _, isFault := fault.As(err); !isFault {
				return nil, err
			}
			end = savepoint.Rollback
		}
		if err := end(ctx); err != nil {
			return nil, fmt.Errorf("end a savepoint: %w", err)
		}
		results[p] = batch.Result[idempotency.Result[Order]]{Value: placed, Err: err}
	}
	return results, nil
}
