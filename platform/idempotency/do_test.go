package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

var created = idempotency.Response{Status: 201, Headers: map[string]string{"Location": "/x"}, Body: []byte(`{"a":1}`)}

var made = thing{A: 1}

func isCreated(t *testing.T, r idempotency.Result[thing], err error, replayed bool) {
	t.Helper()
	a := r.Response
	if err != nil || a.Status != 201 || string(a.Body) != `{"a":1}` || !maps.Equal(a.Headers, created.Headers) || r.Replayed != replayed {
		t.Errorf("got %+v, %v; want the response with Replayed %v", r, err, replayed)
	}
	if want := (thing{}); !replayed && r.Value != made || replayed && r.Value != want {
		t.Errorf("the value is %+v with Replayed %v", r.Value, replayed)
	}
}

// SPEC C3, across two nodes.
func TestOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	one, two := open(t, url), open(t, url)
	one.exec("create table work (n int)")
	w := returns(made)

	var all sync.WaitGroup
	var first, again, refused atomic.Int32
	for i := range 30 {
		all.Go(func() {
			a, err := []*node{one, two}[i%2].do(key("k", "body"), w)
			switch f, _ := fault.As(err); {
			case err == nil && bytes.Equal(a.Response.Body, created.Body) && !a.Replayed:
				first.Add(1)
			case err == nil && bytes.Equal(a.Response.Body, created.Body):
				again.Add(1)
			case f != nil && f.Code == "idempotency-key-in-use" && f.Kind == fault.KindConflict && f.RetryAfter > 0:
				refused.Add(1)
			default:
				t.Errorf("got %+v, %v", a, err)
			}
		})
	}
	all.Wait()

	if first.Load() != 1 || w.runs.Load() != 1 || one.worked() != 1 {
		t.Errorf("%d first answers, %d runs, %d rows", first.Load(), w.runs.Load(), one.worked())
	}
	t.Logf("%d replayed, %d refused", again.Load(), refused.Load())
	a, err := two.do(key("k", "body"), w)
	isCreated(t, a, err, true)
}

func TestWithoutAKey(t *testing.T) {
	t.Parallel()
	n := setup(t)
	w := returns(made)
	for range 2 {
		a, err := n.do(idempotency.Key[thing]{Renderer: renderer{}}, w)
		isCreated(t, a, err, false)
	}
	if n.worked() != 2 || n.keys() != 0 {
		t.Errorf("worked %d times, %d keys", n.worked(), n.keys())
	}
}

// SPEC C3: a conflict that is final is kept with the work undone; what may be
// different the next time, or tells of nothing, is not.
func TestWhichRefusalsAreKept(t *testing.T) {
	t.Parallel()
	n := setup(t)
	for _, row := range []struct {
		kind        fault.Kind
		final, kept bool
	}{
		{fault.KindConflict, true, true}, {fault.KindConflict, false, false}, {fault.KindPreconditionFailed, false, false}, {fault.KindPreconditionFailed, true, false},
		{fault.KindNotFound, true, false}, {fault.KindMalformed, false, false}, {fault.KindUnauthenticated, false, false}, {fault.KindForbidden, false, false},
		{fault.KindInvalid, false, false}, {fault.KindRateLimited, false, false}, {fault.KindUnavailable, false, false}, {fault.KindInternal, false, false},
	} {
		kind, kept := row.kind, row.kept
		refusal := fault.New(kind, "some-code", "Some %s.", "detail").
			With("allowed", []string{"A", "B"}).With("from", "A").With("left", int64(1<<62+1)).With("none", nil)
		refusal.Fields = []fault.Field{{Pointer: "/a", Code: "c", Message: "m"}}
		refusal.RetryAfter, refusal.Final = 3*time.Second, row.final
		k, w := key(fmt.Sprint("key-", kind, row.final), "body"), fails(refusal.WithCause(errors.New("secret")))

		_, first := n.do(k, w)
		_, second := n.do(k, w)

		for i, err := range []error{first, second} {
			f, ok := fault.As(err)
			if !ok || f.Kind != kind || f.Code != "some-code" || f.Detail != "Some detail." || f.RetryAfter != 3*time.Second ||
				!reflect.DeepEqual(f.Fields, refusal.Fields) || f.Replayed != (kept && i == 1) {
				t.Errorf("kind %d, time %d: %+v", kind, i, f)
			}
			if kept && !reflect.DeepEqual(f.Extra, map[string]any{"allowed": []any{"A", "B"}, "from": "A", "left": int64(1<<62 + 1), "none": nil}) {
				t.Errorf("kind %d, time %d: extra %#v", kind, i, f.Extra)
			}
		}
		if runs := w.runs.Load(); kept != (runs == 1) {
			t.Errorf("kind %d ran %d times", kind, runs)
		}
	}
	if n.worked() != 0 || n.keys() != 1 {
		t.Errorf("%d rows of refused work, %d keys", n.worked(), n.keys())
	}
}

// Kept refusals hold the number of their kind: it must never mean another one.
func TestKindsOnDiskStayTheSame(t *testing.T) {
	t.Parallel()
	for kind, number := range map[fault.Kind]int{fault.KindNotFound: 4, fault.KindConflict: 6, fault.KindPreconditionFailed: 7} {
		if r := idempotency.KeepRefusal(request("k", "b"), fault.New(kind, "c", "d")); r.Status != number {
			t.Errorf("%d is stored as %d, was %d", kind, r.Status, number)
		}
	}
}

// A refusal may follow an error of the database that broke the transaction.
func TestARefusalAfterAnErrorOfTheDatabase(t *testing.T) {
	t.Parallel()
	n := setup(t)
	w := &work{end: func(tx pgx.Tx) (thing, error) {
		_, err := tx.Exec(t.Context(), "select 1/0")
		return thing{}, fault.New(fault.KindConflict, "taken", "Taken.").WithFinal().WithCause(err)
	}}

	_, first := n.do(key("k", "b"), w)
	_, second := n.do(key("k", "b"), w)

	if !fault.Is(first, "taken") || !fault.Is(second, "taken") || w.runs.Load() != 1 || n.worked() != 0 {
		t.Errorf("%v, %v; %d runs, %d rows", first, second, w.runs.Load(), n.worked())
	}
}

func TestOtherErrorsLeaveTheKeyFree(t *testing.T) {
	t.Parallel()
	n := setup(t)
	if _, err := n.do(key("k", "b"), fails(errors.New("ours"))); err == nil {
		t.Error("no error")
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = n.do(key("k", "b"), &work{end: func(pgx.Tx) (thing, error) { panic("oh") }})
		t.Error("the panic was swallowed")
	}()

	a, err := n.do(key("k", "another body"), returns(made))

	isCreated(t, a, err, false)
	if n.worked() != 1 {
		t.Errorf("%d rows", n.worked())
	}
}

func TestAnotherBody(t *testing.T) {
	t.Parallel()
	n := setup(t)
	_, _ = n.do(key("k", "body"), returns(made))
	w := returns(made)

	_, err := n.do(key("k", "another"), w)

	if f, _ := fault.As(err); f == nil || f.Kind != fault.KindInvalid || f.Code != "idempotency-key-reused" || w.runs.Load() != 0 {
		t.Errorf("got %v", err)
	}
	a, err := n.do(key("k", "body"), w)
	isCreated(t, a, err, true)
}

func TestWhoseKeyItIs(t *testing.T) {
	t.Parallel()
	n := setup(t)
	for _, change := range []func(*idempotency.Key[thing]){
		func(*idempotency.Key[thing]) {},
		func(k *idempotency.Key[thing]) { k.Caller = uuid.New() },
		func(k *idempotency.Key[thing]) { k.Route = "POST /v1/other" },
		func(k *idempotency.Key[thing]) { k.Key = "K" },
	} {
		k := key("k", "body")
		change(&k)
		a, err := n.do(k, returns(made))
		isCreated(t, a, err, false)
	}
	if n.worked() != 4 {
		t.Errorf("%d rows", n.worked())
	}
}

func TestAfterADay(t *testing.T) {
	t.Parallel()
	n := setup(t)
	_, _ = n.do(key("k", "body"), returns(made))
	n.exec("update idempotency_keys set created_at = now() - interval '23 h 59 min'")
	a, err := n.do(key("k", "body"), returns(made))
	isCreated(t, a, err, true)

	n.exec("update idempotency_keys set created_at = now() - interval '24 h 1 s'")
	a, err = n.do(key("k", "another body"), returns(made))

	isCreated(t, a, err, false)
	a, err = n.do(key("k", "another body"), returns(made))
	isCreated(t, a, err, true)
}

// A crash in the middle frees the key at once (SPEC C3 allows 60 s).
func TestACrash(t *testing.T) {
	t.Parallel()
	n := setup(t)
	killed := &work{end: func(tx pgx.Tx) (thing, error) {
		_, err := tx.Exec(t.Context(), "select pg_terminate_backend(pg_backend_pid())")
		return made, err
	}}
	if _, err := n.do(key("k", "b"), killed); err == nil {
		t.Error("no error")
	}

	a, err := n.do(key("k", "b"), returns(made))

	isCreated(t, a, err, false)
	if n.worked() != 1 {
		t.Errorf("%d rows", n.worked())
	}
}

// Another node that is still at it: 409 with Retry-After. Its crash frees the key.
func TestAnotherNodeHoldsTheKey(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	one, two := open(t, url), open(t, with(t, url, "lock_timeout", "100"))
	one.exec("create table work (n int)")
	entered, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := one.do(key("k", "b"), &work{end: func(pgx.Tx) (thing, error) {
			close(entered)
			<-leave
			return thing{}, errors.New("crashed")
		}})
		ended <- err
	}()
	<-entered
	w := returns(made)

	_, there := two.do(key("k", "b"), w)
	_, here := one.do(key("k", "b"), w)

	for _, err := range []error{there, here} {
		if f, _ := fault.As(err); f == nil || f.Code != "idempotency-key-in-use" || f.Kind != fault.KindConflict || f.RetryAfter <= 0 {
			t.Errorf("got %v", err)
		}
	}
	close(leave)
	if err := <-ended; err == nil || w.runs.Load() != 0 {
		t.Errorf("%v, %d runs", err, w.runs.Load())
	}
	a, err := two.do(key("k", "b"), w)
	isCreated(t, a, err, false)
}

// Waiting for something else than the key is not the key's conflict.
func TestALockWithinTheWork(t *testing.T) {
	t.Parallel()
	n := setup(t)
	w := &work{end: func(tx pgx.Tx) (thing, error) {
		_, err := tx.Exec(t.Context(), "do $$ begin raise 'busy' using errcode = '55P03'; end $$")
		return made, err
	}}

	_, err := n.do(key("k", "b"), w)

	if _, told := fault.As(err); told || postgres.Code(err) != "55P03" {
		t.Errorf("got %v", err)
	}
}

// SPEC C3, A5: a stored response is returned to a caller with the rights of the first caller.
// For a caller with fewer rights, the use case decides.
func TestReplayNeedsTheRight(t *testing.T) {
	t.Parallel()
	n := setup(t)
	as := func(role identity.Role, still func(context.Context, postgres.Querier, *idempotency.Replay[thing]) error) idempotency.Key[thing] {
		k := key("k", "body")
		k.Role, k.Still = role, still
		return k
	}
	refused := fault.NotFound("thing")
	for _, row := range []struct {
		name        string
		first, then identity.Role
		still       func(context.Context, postgres.Querier, *idempotency.Replay[thing]) error
		code        string
	}{
		{"the same", identity.Admin, identity.Admin, nil, ""},
		{"promoted", identity.User, identity.Admin, nil, ""},
		{"demoted", identity.Admin, identity.User, nil, "forbidden"},
		{"demoted, allowed", identity.Admin, identity.User, func(_ context.Context, _ postgres.Querier, r *idempotency.Replay[thing]) error {
			if !r.Demoted {
				t.Error("it does not know")
			}
			return nil
		}, ""},
		{"no longer visible", identity.User, identity.User, func(context.Context, postgres.Querier, *idempotency.Replay[thing]) error {
			return refused
		}, "not-found"},
	} {
		n.exec("delete from idempotency_keys")
		if _, err := n.do(as(row.first, nil), returns(made)); err != nil {
			t.Fatal(err)
		}
		w := returns(made)

		a, err := n.do(as(row.then, row.still), w)

		switch {
		case w.runs.Load() != 0:
			t.Errorf("%s: it was done again", row.name)
		case row.code == "":
			isCreated(t, a, err, true)
		case !fault.Is(err, row.code) || len(a.Response.Body) > 0:
			t.Errorf("%s: %+v, %v", row.name, a, err)
		}
	}
}

// A use case may show a repeated request another value than the stored one, with the
// stored status and headers, and the table keeps what it has.
func TestReplayIsRewritten(t *testing.T) {
	t.Parallel()
	n := setup(t)
	_, _ = n.do(key("k", "body"), returns(made))
	k := key("k", "body")
	k.Still = func(ctx context.Context, _ postgres.Querier, r *idempotency.Replay[thing]) error {
		v, err := r.Value()
		if err != nil || v != made || r.Refused() {
			t.Errorf("stored was %+v, %v", v, err)
		}
		return r.Rewrite(ctx, thing{A: v.A + 1})
	}

	got, err := n.do(k, returns(made))

	if err != nil || string(got.Response.Body) != `{"a":2}` || got.Response.Status != 201 || !maps.Equal(got.Response.Headers, created.Headers) {
		t.Errorf("%+v, %v", got, err)
	}
	again, err := n.do(key("k", "body"), returns(made))
	isCreated(t, again, err, true)
}

// A caller in Go needs no Renderer: the value's JSON is stored. Without a key nothing is
// rendered at all.
func TestWithoutARenderer(t *testing.T) {
	t.Parallel()
	n := setup(t)
	k := idempotency.Key[thing]{Request: request("k", "body")}

	first, err1 := n.do(k, returns(made))
	again, err2 := n.do(k, returns(made))
	free, err3 := n.do(idempotency.Key[thing]{}, returns(made))

	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first.Response, again.Response) || string(again.Response.Body) != `{"a":1}` || !again.Replayed || first.Value != made {
		t.Errorf("%+v, then %+v", first, again)
	}
	if free.Value != made || free.Response.Body != nil {
		t.Errorf("%+v", free)
	}
}
