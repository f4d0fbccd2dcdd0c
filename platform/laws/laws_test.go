package laws_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/laws"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }

func TestCheck(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for _, row := range []struct {
		query, want string
		fails       bool
	}{
		{"select 'order ' || n, 'is odd' from generate_series(1, 4) n where n % 2 = 1 order by n", "order 1: is odd; order 3: is odd; ", false},
		{"select 'order', 'x' where false", "", false},
		{"", "", false},
		{"select 'order'", "", true},
		{"selekt", "", true},
	} {
		got := ""
		err := laws.Law{Name: "even", Query: row.query}.Check(t.Context(), pool, func(subject, detail string) { got += subject + ": " + detail + "; " })

		if got != row.want || (err != nil) != row.fails {
			t.Errorf("%q: %q, %v", row.query, got, err)
		}
	}
}

// A module lists its laws; a law that holds returns no row.
func ExampleLaw() {
	law := laws.Law{
		Name: "stock", Spec: "B5", Says: "a product's stock is the sum of its movements",
		Query: `select 'product ' || sku, 'is negative' from products where stock < 0`,
	}
	check := func(ctx context.Context, q postgres.Querier) error {
		return law.Check(ctx, q, func(subject, detail string) { fmt.Println(subject, detail) })
	}
	_ = check
	fmt.Println(law.Name, "checks", law.Spec)
	// Output: stock checks B5
}
