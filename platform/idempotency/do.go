package idempotency

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Do runs work in one transaction with its key. Without a key it only runs it.
// A second request with the key gets the first one's answer and work is not
// run; refusals that tell of the state of things (404, 409, 412) are kept as
// well, with everything that work did undone.
func (r *Running) Do(ctx context.Context, pool *postgres.Pool, k Key, work func(tx pgx.Tx) (Answer, error)) (Answer, error) {
	leave, err := r.Enter(k)
	if err != nil {
		return Answer{}, err
	}
	defer leave()

	var a Answer
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) (err error) {
		if !k.Given() {
			a, err = work(tx)
			return err
		}
		a, err = once(ctx, tx, k, work)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	if isRefusal(a.Status) {
		return Answer{}, refusal(a)
	}
	return a, nil
}

func once(ctx context.Context, tx pgx.Tx, k Key, work func(tx pgx.Tx) (Answer, error)) (Answer, error) {
	fresh, err := Insert(ctx, tx, []Record{{Key: k}})
	if postgres.Code(err) == "55P03" { // another node has held the key's row for lock_timeout
		return Answer{}, inUse()
	}
	if err != nil {
		return Answer{}, err
	}
	if !fresh[0] {
		a, found, err := Find(ctx, tx, k)
		if err == nil && !found {
			err = inUse() // it was there a moment ago and went: let the client come again
		}
		return a, err
	}

	inner, err := tx.Begin(ctx) // a savepoint: a refusal undoes the work but keeps the key
	if err != nil {
		return Answer{}, err
	}
	a, err := work(inner)
	if f, ok := fault.As(err); ok && kept(f) {
		a, err = keep(f), inner.Rollback(ctx)
	} else if err == nil {
		err = inner.Commit(ctx)
	}
	if err != nil {
		return Answer{}, err
	}
	return a, Replace(ctx, tx, Record{Key: k, Answer: a})
}

// Kept tells whether a refusal is an answer worth keeping. Credentials, rights,
// limits, bad input and our own trouble may all be different the next time.
func kept(f *fault.Error) bool {
	return f.Kind == fault.NotFound || f.Kind == fault.Conflict || f.Kind == fault.PreconditionFailed
}

func isRefusal(status int) bool { return status < 100 }

// A kept refusal is the fault itself, told apart from an answer by its status,
// which is the fault's kind.
type stored struct {
	Code, Detail string
	Fields       []fault.Field `json:",omitempty"`
	Extra        extra         `json:",omitempty"`
	RetryAfter   time.Duration `json:",omitempty"`
}

// extra comes back with its integers whole: as float64 the large ones would not
// be what the first caller was told.
type extra map[string]any

func (x *extra) UnmarshalJSON(raw []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	*x = make(extra, len(members))
	for name, member := range members {
		var whole *int64
		if json.Unmarshal(member, &whole) == nil && whole != nil {
			(*x)[name] = *whole
			continue
		}
		var value any
		if err := json.Unmarshal(member, &value); err != nil {
			return err
		}
		(*x)[name] = value
	}
	return nil
}

func keep(f *fault.Error) Answer {
	body, err := json.Marshal(stored{f.Code, f.Detail, f.Fields, f.Extra, f.RetryAfter})
	if err != nil {
		panic(fmt.Sprintf("idempotency: fault %s cannot be kept: %v", f.Code, err))
	}
	return Answer{Status: int(f.Kind), Body: body}
}

func refusal(a Answer) error {
	var s stored
	if err := json.Unmarshal(a.Body, &s); err != nil {
		return fmt.Errorf("read a kept refusal: %w", err)
	}
	return &fault.Error{
		Kind: fault.Kind(a.Status), Code: s.Code, Detail: s.Detail,
		Fields: s.Fields, Extra: s.Extra, RetryAfter: s.RetryAfter, Replayed: a.Replayed,
	}
}

// KeepRefusal is the record of a refusal for those who write keys themselves;
// Refused turns such a record's answer back into its fault.
func KeepRefusal(k Key, f *fault.Error) Record { return Record{k, keep(f)} }

// Refused returns the fault that an answer stands for, or nil.
func Refused(a Answer) error {
	if !isRefusal(a.Status) {
		return nil
	}
	return refusal(a)
}
