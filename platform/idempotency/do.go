package idempotency

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Do runs work and stores its key in the same transaction. Without a key it only runs work. For a
// second request with the key it returns the stored response and does not run work. A conflict
// that is final is stored as well; the changes of work are then rolled back.
func Do[T any](ctx context.Context, running *InFlight, pool *postgres.Pool, k Key[T], work func(tx pgx.Tx) (T, error)) (Result[T], error) {
	leave, err := running.Acquire(k.Request)
	if err != nil {
		return Result[T]{}, err
	}
	defer leave()

	var (
		result  Result[T]
		refused error // committed with the key
	)
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) (err error) {
		refused = nil
		if k.Given() {
			result, refused, err = once(ctx, tx, k, work)
		} else {
			result, err = run(ctx, tx, k, work)
		}
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return Result[T]{}, err
	}
	return result, nil
}

func run[T any](ctx context.Context, tx pgx.Tx, k Key[T], work func(tx pgx.Tx) (T, error)) (Result[T], error) {
	v, err := work(tx)
	if err != nil {
		return Result[T]{}, err
	}
	return k.Result(ctx, v)
}

// once runs work unless the key is already stored. refused is an error of work that is now stored
// with the key; err rolls back the whole transaction.
func once[T any](ctx context.Context, tx pgx.Tx, k Key[T], work func(tx pgx.Tx) (T, error)) (result Result[T], refused, err error) {
	fresh, err := Insert(ctx, tx, []Record{{Request: k.Request}})
	if postgres.Code(err) == "55P03" { // another node has held the key's row for lock_timeout
		return result, nil, inUse()
	}
	if err != nil {
		return result, nil, err
	}
	if !fresh[0] {
		result, found, err := Find(ctx, tx, k)
		if err == nil && !found {
			err = inUse() // it has been deleted since the insert: the client must retry
		}
		return result, nil, err
	}

	inner, err := tx.Begin(ctx) // a savepoint, so that an error can undo the work and keep the key
	if err != nil {
		return result, nil, err
	}
	record := Record{Request: k.Request}
	result, err = run(ctx, inner, k, work)
	if f, ok := fault.As(err); ok && kept(f) {
		record, err = KeepRefusal(k.Request, f), inner.Rollback(ctx)
		refused = refusal(record.Response, false)
	} else if err == nil {
		record.Response, err = result.Response, inner.Commit(ctx)
	}
	if err != nil {
		return result, nil, err
	}
	return result, refused, Replace(ctx, tx, record)
}
