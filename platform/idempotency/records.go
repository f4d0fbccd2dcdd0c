package idempotency

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Record is a request with the response to store for it.
type Record struct {
	Request
	Response
}

// Insert writes the records in tx and tells which of them were new. One that was
// not is left alone: ask Find. A record older than Retention is replaced. Of several
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
		callers[at], routes[at], keys[at], prints[at] = r.Caller, r.Route, r.Key, r.print()
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
		callers, routes, keys, prints, statuses, headers, bodies, Retention,
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
		x, y := list[a].Request, list[b].Request
		return cmp.Or(bytes.Compare(x.Caller[:], y.Caller[:]), cmp.Compare(x.Key, y.Key), cmp.Compare(x.Route, y.Route))
	})
	return order
}

// Replace changes the response stored for a key that Insert wrote in the same tx.
func Replace(ctx context.Context, tx pgx.Tx, r Record) error {
	_, err := tx.Exec(ctx, `
		update idempotency_keys set status = $4, headers = $5, body = $6
		where caller = $1 and route = $2 and key = $3`,
		r.Caller, r.Route, r.Key, r.Status, encode(r.Headers), notNil(r.Body))
	if err != nil {
		return fmt.Errorf("replace an idempotent answer: %w", err)
	}
	return nil
}

// Find returns the response stored for a key as a Result, false when there is none.
// A stored refusal is an error, with Replayed set; so is a key that was used with
// another body, or by a caller who may not have the response any more.
func Find[T any](ctx context.Context, q postgres.Querier, k Key[T]) (Result[T], bool, error) {
	stored, role, found, err := find(ctx, q, k.Request)
	if err != nil || !found {
		return Result[T]{}, found, err
	}
	replay := &Replay[T]{Demoted: !k.Role.Covers(role), response: stored, renderer: k.renderer()}
	if err := k.allow(ctx, q, replay); err != nil {
		return Result[T]{}, true, err
	}
	if isRefusal(replay.response.Status) {
		return Result[T]{}, true, refusal(replay.response, true)
	}
	return Result[T]{Response: replay.response, Replayed: true}, true, nil
}

// find reads what is stored, with the role of the caller that it was made for.
func find(ctx context.Context, q postgres.Querier, r Request) (stored Response, role identity.Role, found bool, err error) {
	var fingerprint, headers []byte
	err = q.QueryRow(ctx, `
		select fingerprint, status, headers, body from idempotency_keys
		where caller = $1 and route = $2 and key = $3 and created_at >= now() - $4::interval`,
		r.Caller, r.Route, r.Key, Retention).Scan(&fingerprint, &stored.Status, &headers, &stored.Body)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Response{}, role, false, nil
	case err != nil:
		return Response{}, role, false, fmt.Errorf("find an idempotent response: %w", err)
	}
	role, same := r.match(fingerprint)
	if !same {
		return Response{}, role, true, reused()
	}
	if headers != nil {
		if err := json.Unmarshal(headers, &stored.Headers); err != nil {
			return Response{}, role, false, fmt.Errorf("read stored headers: %w", err)
		}
	}
	return stored, role, true, nil
}

// ofAdmin stands behind the fingerprints of administrators' requests in the table. All
// others are as they were before the role was kept.
const ofAdmin = 'a'

func (r Request) print() []byte {
	if r.Role == identity.Admin {
		return append(slices.Clone(r.Fingerprint), ofAdmin)
	}
	return notNil(r.Fingerprint)
}

// match tells whether a kept fingerprint is this one's, and which role it was kept with.
func (r Request) match(kept []byte) (identity.Role, bool) {
	if rest, found := bytes.CutSuffix(kept, []byte{ofAdmin}); found && bytes.Equal(rest, r.Fingerprint) {
		return identity.Admin, true
	}
	return identity.Anyone, bytes.Equal(kept, notNil(r.Fingerprint))
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
