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

// Insert writes the records in tx and returns which of them were new. It does not change existing
// records, which Find returns, but replaces a record older than Retention. Of several records with
// the same key, only the first one can be new.
//
// It waits for other transactions that hold one of the keys, at most for lock_timeout (55P03). It
// locks the keys in a fixed order, so that two batches cannot deadlock.
func Insert(ctx context.Context, tx pgx.Tx, list []Record) (fresh []bool, err error) {
	b := &pgx.Batch{}
	Queue(b, list, func(f []bool) { fresh = f })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("insert idempotency keys: %w", err)
	}
	return fresh, nil
}

// Queue is Insert as a part of a batch of statements that share a round trip. It calls told when the
// results of the batch are read.
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

// firsts returns the indices of the first record of each key, in the order of the keys.
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

// Find returns the response stored for a key as a Result, or false if there is none. It returns a
// stored error with Replayed set, and an error if the key was used with another body or if the
// caller may no longer receive the response.
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

// find returns the stored response and the role of the caller of the original request.
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

// ofAdmin is the suffix of the stored fingerprints of requests from administrators. All other
// fingerprints have no suffix, like those that were stored before the role was.
const ofAdmin = 'a'

func (r Request) print() []byte {
	if r.Role == identity.Admin {
		return append(slices.Clone(r.Fingerprint), ofAdmin)
	}
	return notNil(r.Fingerprint)
}

// match reports whether a stored fingerprint is that of r, and returns the role stored with it.
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
