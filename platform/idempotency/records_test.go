package idempotency_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func record(name, body string, r idempotency.Response) idempotency.Record {
	return idempotency.Record{Request: request(name, body), Response: r}
}

func (n *node) insert(list ...idempotency.Record) (fresh []bool) {
	n.t.Helper()
	err := postgres.InTx(n.t.Context(), n.Pool, func(tx pgx.Tx) (err error) {
		fresh, err = idempotency.Insert(n.t.Context(), tx, list)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return fresh
}

func (n *node) find(name, body string) (idempotency.Result[thing], bool, error) {
	return idempotency.Find(n.t.Context(), n.Pool, key(name, body))
}

func TestInsert(t *testing.T) {
	t.Parallel()
	n := setup(t)
	other := idempotency.Response{Status: 200}
	n.insert(record("old", "b", created), record("stale", "b", created))
	n.exec("update idempotency_keys set created_at = now() - interval '25 h' where key = 'stale'")

	fresh := n.insert(record("z", "b", other), record("old", "b", other), record("a", "1", created),
		record("a", "2", other), record("stale", "b", other), record("old", "x", other))

	if !slices.Equal(fresh, []bool{true, false, true, false, true, false}) {
		t.Errorf("fresh %v", fresh)
	}
	if len(n.insert()) != 0 {
		t.Error("none were some")
	}
	for name, want := range map[string]int{"z": 200, "old": 201, "stale": 200} {
		if a, found, err := n.find(name, "b"); !found || err != nil || a.Response.Status != want {
			t.Errorf("%s: %+v, %v, %v", name, a, found, err)
		}
	}
	a, _, err := n.find("a", "1") // the first of the two
	isCreated(t, a, err, true)
	if _, found, err := n.find("unknown", "b"); found || err != nil {
		t.Errorf("the key of an unknown caller: %v, %v", found, err)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	n := setup(t)
	err := postgres.InTx(t.Context(), n.Pool, func(tx pgx.Tx) error {
		_, err := idempotency.Insert(t.Context(), tx, []idempotency.Record{record("k", "b", idempotency.Response{}), record("other", "b", idempotency.Response{})})
		return errors.Join(err, idempotency.Replace(t.Context(), tx, record("k", "b", created)))
	})
	if err != nil {
		t.Fatal(err)
	}

	a, _, err := n.find("k", "b")
	isCreated(t, a, err, true)
	if untouched := n.count("select count(*) from idempotency_keys where key = 'other' and status = 0 and body = ''"); untouched != 1 {
		t.Error("the other one changed")
	}
}

// Batches that share keys in opposite orders wait for each other, not in a circle.
func TestBatchesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ctx := t.Context()
	for round := range 20 {
		var list []idempotency.Record
		for i := range 40 {
			list = append(list, record(fmt.Sprintf("%d-%d", round, i), "b", created))
		}
		backwards := slices.Clone(list)
		slices.Reverse(backwards)

		var both sync.WaitGroup
		fresh := make([]int, 2)
		for i, list := range [][]idempotency.Record{list, backwards} {
			both.Go(func() {
				tx, err := n.Begin(ctx) // without the retry that InTx would give
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = tx.Rollback(ctx) }()
				got, err := idempotency.Insert(ctx, tx, list)
				if err != nil {
					t.Error(err)
					return
				}
				for _, f := range got {
					if f {
						fresh[i]++
					}
				}
				if err := tx.Commit(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if fresh[0]+fresh[1] != 40 {
			t.Fatalf("round %d: fresh %v", round, fresh)
		}
	}
}

func TestABrokenRefusal(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.insert(record("k", "b", idempotency.Response{Status: 6, Body: []byte("{")}))

	if _, found, err := n.find("k", "b"); !found || err == nil {
		t.Errorf("a broken record is a response: %v, %v", found, err)
	}
}
