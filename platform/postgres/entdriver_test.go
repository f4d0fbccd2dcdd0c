package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/ent/order"
	"github.com/orderflow-dev/orderflow/ent/user"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func client(q postgres.Querier) *ent.Client { return ent.NewClient(ent.Driver(postgres.Driver(q))) }

func newUser(q postgres.Querier, email string) *ent.UserCreate {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	return client(q).User.Create().SetID(uuid.New()).SetEmail(email).SetEmailKey(email).SetPasswordHash("-").
		SetCreatedAt(at).SetUpdatedAt(at)
}

func newOrder(q postgres.Querier) *ent.OrderCreate {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	return client(q).Order.Create().SetID(uuid.New()).SetUserID(uuid.New()).SetStatus("CANCELLED").
		SetCurrency("EUR").SetTotal(math.MaxInt64).SetVersion(1).SetCreatedAt(at).SetUpdatedAt(at)
}

// Every kind of column comes back as it went in, null or not.
func TestEntRoundTrip(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()

	bare := newOrder(pool).SaveX(ctx)
	full := newOrder(pool).SetStatus("PENDING").SetReference("").SetNote("naïve \u2028 'quoted'").
		SetMetadata(json.RawMessage(`{"b": 1, "a": [9007199254740993]}`)).
		SetFailureSkus([]string{"A", `B"`}).SetDueAt(time.Date(2030, 12, 31, 23, 59, 59, 999e6, time.UTC)).SaveX(ctx)
	got, err := client(pool).Order.Query().Where(order.IDIn(bare.ID, full.ID)).Order(order.ByStatus()).All(ctx)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}

	b, f := got[0], got[1]
	if b.ID != bare.ID || b.UserID != bare.UserID || b.Total != math.MaxInt64 || !b.CreatedAt.Equal(bare.CreatedAt) ||
		b.Reference != nil || b.Note != nil || b.Metadata != nil || b.FailureSkus != nil || b.DueAt != nil || b.DeletedAt != nil {
		t.Errorf("bare: %v", b)
	}
	if *f.Reference != "" || *f.Note != *full.Note || !slices.Equal(f.FailureSkus, full.FailureSkus) || !f.DueAt.Equal(*full.DueAt) {
		t.Errorf("full: %v", f)
	}
	if string(f.Metadata) != `{"b":1,"a":[9007199254740993]}` {
		t.Errorf("json came back as %s", f.Metadata)
	}
}

func TestEntReads(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context() // one connection: rows left open would stop the next
	users := client(pool).User
	for _, email := range []string{"a", "b", "c"} {
		newUser(pool, email).ExecX(ctx)
	}

	if _, err := users.Get(ctx, uuid.New()); !ent.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
	if _, err := users.Query().Where(user.Email("z")).Only(ctx); !ent.IsNotFound(err) {
		t.Errorf("only of none: %v", err)
	}
	if _, err := users.Query().Only(ctx); !ent.IsNotSingular(err) {
		t.Errorf("only of many: %v", err)
	}
	if n, err := users.Query().Count(ctx); n != 3 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	if ok, err := users.Query().Where(user.Email("b")).Exist(ctx); !ok || err != nil {
		t.Errorf("exist: %v, %v", ok, err)
	}
	if list, err := users.Query().Order(user.ByEmail()).Select(user.FieldEmail).Strings(ctx); !slices.Equal(list, []string{"a", "b", "c"}) || err != nil {
		t.Errorf("strings: %v, %v", list, err)
	}
	var sums []struct {
		Role  string
		Count int
		Max   int64
	}
	err := users.Query().GroupBy(user.FieldRole).Aggregate(ent.Count(), ent.As(ent.Max(user.FieldPasswordVersion), "max")).Scan(ctx, &sums)
	if err != nil || len(sums) != 1 || sums[0].Count != 3 || sums[0].Max != 1 {
		t.Errorf("sums: %v, %v", sums, err)
	}
	if n, err := users.Update().Where(user.EmailIn("a", "b")).SetActive(false).Save(ctx); n != 2 || err != nil {
		t.Errorf("update: %d, %v", n, err)
	}
	if n, err := users.Delete().Where(user.Active(false)).Exec(ctx); n != 2 || err != nil {
		t.Errorf("delete: %d, %v", n, err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := users.Query().All(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("gone: %v", err)
	}
}

func TestEntConstraints(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	newUser(pool, "a").ExecX(ctx)

	if err := newUser(pool, "a").Exec(ctx); !postgres.Violates(err, "users_email") || !ent.IsConstraintError(err) {
		t.Errorf("unique: %v", err)
	}
	if err := newUser(pool, "b").SetRole("king").Exec(ctx); !postgres.Violates(err, "users_role_check") || !ent.IsConstraintError(err) {
		t.Errorf("check: %v", err)
	}
}

func TestEntInATransaction(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context() // one connection: a second one would never come
	enough := errors.New("enough")

	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		u := newUser(tx, "a").SaveX(ctx)
		if n := client(tx).User.Query().CountX(ctx); n != 1 {
			t.Errorf("it does not see its own write: %d", n)
		}
		// ent would begin a transaction of its own for this.
		if u = client(tx).User.UpdateOne(u).SetName("Ann").AddPasswordVersion(1).SaveX(ctx); u.Name != "Ann" || u.PasswordVersion != 2 {
			t.Errorf("updated to %v", u)
		}
		if err := client(tx).User.UpdateOneID(uuid.New()).SetName("x").Exec(ctx); !ent.IsNotFound(err) {
			t.Errorf("update of none: %v", err)
		}
		return enough
	})

	if !errors.Is(err, enough) {
		t.Error(err)
	}
	if n := client(pool).User.Query().CountX(ctx); n != 0 {
		t.Errorf("%d users outlive the rollback", n)
	}
}

// On the pool there is no transaction to be a part of, and none is pretended.
func TestEntNeedsATransactionForTwoStatements(t *testing.T) {
	t.Parallel()
	pool, ctx := open(t, 1), t.Context()
	u := newUser(pool, "a").SaveX(ctx)

	if _, err := client(pool).Tx(ctx); err == nil {
		t.Error("client.Tx pretends to be a transaction")
	}
	if err := client(pool).User.UpdateOne(u).SetName("Ann").Exec(ctx); err == nil {
		t.Error("UpdateOne ran in two statements of their own")
	}
}
