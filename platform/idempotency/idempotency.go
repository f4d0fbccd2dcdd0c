// Package idempotency makes a repeated POST act once (SPEC C3).
//
// A key's row is written in the transaction that does the work, with the answer
// in it: after a crash either both are there or neither, so there is no state
// "started" to clean up, and a key is free again at once.
package idempotency

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Keep is how long an answer is kept.
const Keep = 24 * time.Hour

// Key says which repetition a request may be: same caller, same route with its
// ids, same key. Fingerprint tells whether the body is the same as well.
type Key struct {
	Caller      uuid.UUID
	Role        identity.Role // of the caller; kept with the answer
	Route       string        // "POST /v1/orders"
	Key         string
	Fingerprint []byte
	// Still asks the right of the act again before a kept answer is given, where q
	// stands: it may refuse with a fault, or change the answer. nil refuses nobody but a
	// caller with a lower role than the answer was made for.
	Still func(ctx context.Context, q postgres.Querier, kept Answer) (Answer, error)
}

// Given tells whether the client sent a key at all.
func (k Key) Given() bool { return k.Key != "" }

// Answer is what is kept, and given again.
type Answer struct {
	Status   int
	Headers  map[string]string
	Body     []byte
	Replayed bool
	Demoted  bool // replayed to a caller with a lower role than it was made for
}

// Record is a key with the answer to keep for it.
type Record struct {
	Key
	Answer
}

// errors that a caller may be told.
func inUse() *fault.Error {
	e := fault.New(fault.Conflict, "idempotency-key-in-use", "The first request with this Idempotency-Key is still running.")
	e.RetryAfter = time.Second
	return e
}

func reused() *fault.Error {
	return fault.New(fault.Invalid, "idempotency-key-reused", "This Idempotency-Key was used with another body.")
}

// Running knows the keys of the requests under way on this node, so that a
// second one is refused at once instead of waiting for the first.
type Running struct{ keys sync.Map }

type mark struct {
	caller     uuid.UUID
	route, key string
}

func (k Key) mark() mark { return mark{k.Caller, k.Route, k.Key} }

// Enter claims the key until leave is called, or answers 409 with Retry-After.
func (r *Running) Enter(k Key) (leave func(), err error) {
	if !k.Given() {
		return func() {}, nil
	}
	m := k.mark()
	if _, taken := r.keys.LoadOrStore(m, struct{}{}); taken {
		return nil, inUse()
	}
	return func() { r.keys.Delete(m) }, nil
}

// Insert writes the records in tx and tells which of them were new. One that was
// not is left alone: ask Find. A record older than Keep is replaced. Of several
// with one key the first is new at most.
//
// It waits for other transactions that hold one of the keys, at most for
// lock_timeout (55P03), and takes the keys in one order, so that two batches
// cannot dead-lock.
func Insert(ctx context.Context, tx pgx.Tx, list []Record) (fresh []bool, err error) {
	b := &pgx.Batch{}
	Queue(b, list, func(f []bool) { fresh = f })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("insert idempotency keys: %w", err)
	}
	return fresh, nil
}

// Queue is Insert as a part of a batch of statements that share a round trip; told
// is called when the batch is read.
func Queue(b *pgx.Batch, list []Record, told func(fresh []bool)) {
	order := firsts(list)
	n := len(order)
	callers, routes, keys := make([]uuid.UUID, n), make([]string, n), make([]string, n)
	prints, bodies := make([][]byte, n), make([][]byte, n)
	statuses, headers := make([]int16, n), make([]*string, n)
	for at, i := range order {
		r := list[i]
		callers[at], routes[at], keys[at], prints[at] = r.Caller, r.Route, r.Key.Key, r.print()
		statuses[at], headers[at], bodies[at] = int16(r.Status), encode(r.Headers), notNil(r.Body)
	}

	b.Queue(`
		insert into idempotency_keys as k (caller, route, key, fingerprint, status, headers, body)
		select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::smallint[], $6::json[], $7::bytea[])
		on conflict (caller, key, route) do update
			set fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
			    body = excluded.body, created_at = excluded.created_at
			where k.created_at < now() - $8::interval
		returning caller, route, key`,
		callers, routes, keys, prints, statuses, headers, bodies, Keep,
	).Query(func(rows pgx.Rows) error {
		written := make(map[mark]bool, n)
		for rows.Next() {
			var m mark
			if err := rows.Scan(&m.caller, &m.route, &m.key); err != nil {
				return err
			}
			written[m] = true
		}
		fresh := make([]bool, len(list))
		for _, i := range order {
			fresh[i] = written[list[i].mark()]
		}
		told(fresh)
		return rows.Err()
	})
}

// firsts are the indices of the records, without those whose key an earlier one
// has, in the order of their keys.
func firsts(list []Record) []int {
	order := make([]int, 0, len(list))
	seen := make(map[mark]bool, len(list))
	for i, r := range list {
		if m := r.mark(); !seen[m] {
			seen[m] = true
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := list[a].Key, list[b].Key
		return cmp.Or(bytes.Compare(x.Caller[:], y.Caller[:]), cmp.Compare(x.Key, y.Key), cmp.Compare(x.Route, y.Route))
	})
	return order
}

// Replace changes the answer kept for a key that Insert wrote in the same tx.
func Replace(ctx context.Context, tx pgx.Tx, r Record) error {
	_, err := tx.Exec(ctx, `
		update idempotency_keys set status = $4, headers = $5, body = $6
		where caller = $1 and route = $2 and key = $3`,
		r.Caller, r.Route, r.Key.Key, r.Status, encode(r.Headers), notNil(r.Body))
	if err != nil {
		return fmt.Errorf("replace an idempotent answer: %w", err)
	}
	return nil
}

// Find returns the kept answer, false when there is none, and the fault of a
// reused key when the body is another, or of a caller who may not have it any more.
func Find(ctx context.Context, q postgres.Querier, k Key) (Answer, bool, error) {
	var (
		a           Answer
		fingerprint []byte
		headers     []byte
	)
	err := q.QueryRow(ctx, `
		select fingerprint, status, headers, body from idempotency_keys
		where caller = $1 and route = $2 and key = $3 and created_at >= now() - $4::interval`,
		k.Caller, k.Route, k.Key, Keep).Scan(&fingerprint, &a.Status, &headers, &a.Body)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Answer{}, false, nil
	case err != nil:
		return Answer{}, false, fmt.Errorf("find an idempotent answer: %w", err)
	}
	role, same := k.match(fingerprint)
	if !same {
		return Answer{}, true, reused()
	}

	if headers != nil {
		if err := json.Unmarshal(headers, &a.Headers); err != nil {
			return Answer{}, false, fmt.Errorf("read kept headers: %w", err)
		}
	}
	a.Replayed, a.Demoted = true, !k.Role.Covers(role)
	a, err = k.still(ctx, q, a)
	return a, true, err
}

func (k Key) still(ctx context.Context, q postgres.Querier, a Answer) (Answer, error) {
	var err error
	switch {
	case k.Still != nil:
		a, err = k.Still(ctx, q, a)
	case a.Demoted:
		err = fault.New(fault.Forbidden, "forbidden", "The answer was for an administrator.")
	}
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

// ofAdmin stands behind the fingerprints of administrators' requests in the table. All
// others are as they were before the role was kept.
const ofAdmin = 'a'

func (k Key) print() []byte {
	if k.Role == identity.Admin {
		return append(slices.Clone(k.Fingerprint), ofAdmin)
	}
	return notNil(k.Fingerprint)
}

// match tells whether a kept fingerprint is this one's, and which role it was kept with.
func (k Key) match(kept []byte) (identity.Role, bool) {
	if rest, found := bytes.CutSuffix(kept, []byte{ofAdmin}); found && bytes.Equal(rest, k.Fingerprint) {
		return identity.Admin, true
	}
	return identity.Anyone, bytes.Equal(kept, notNil(k.Fingerprint))
}

func encode(headers map[string]string) *string {
	if len(headers) == 0 {
		return nil
	}
	raw, err := json.Marshal(headers)
	if err != nil {
		panic(err) // strings always marshal
	}
	s := string(raw)
	return &s
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
