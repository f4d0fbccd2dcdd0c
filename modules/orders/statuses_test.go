package orders_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/app"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// C9, D6: the check constraints of the table orders list the statuses that the table of
// meanings lists.
func TestDatabaseKnowsTheStatuses_C9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	listed := func(part string) (list []lifecycle.Status) {
		for _, check := range column[string](b, t, `
			select pg_get_constraintdef(oid) from pg_constraint
			where conrelid = 'orders'::regclass and contype = 'c' and pg_get_constraintdef(oid) ~ $1`, part) {
			for _, name := range regexp.MustCompile(`'([A-Z_]+)'`).FindAllStringSubmatch(check, -1) {
				list = append(list, lifecycle.Status(name[1]))
			}
		}
		return list
	}
	same := func(what string, have, want []lifecycle.Status) {
		t.Helper()
		for _, s := range want {
			if !slices.Contains(have, s) {
				t.Errorf("%s lacks %s; replace the constraint in a new migration (task migration -- orders_statuses)", what, s)
			}
		}
		for _, s := range have {
			if !slices.Contains(want, s) {
				t.Errorf("%s has %s, and lifecycle has not", what, s)
			}
		}
	}
	same("orders_status_check", listed(`\(\(status = ANY`), lifecycle.All)
	same("the constraint that a status with a deadline has due_at", listed(`due_at IS NOT NULL`), lifecycle.Automatic())
}

// C9: every status, and every status that an order may be held from, is a position. From
// the positions follow the matrix of permitted commands and the check of the invariants.
func TestPositionsAreComplete_C9(t *testing.T) {
	t.Parallel()
	reached := func(prefix string) bool {
		return slices.ContainsFunc(positions, func(p position) bool { return strings.HasPrefix(p.name, prefix) })
	}
	for _, s := range lifecycle.All {
		if s != lifecycle.OnHold && !reached(string(s)+"/") {
			t.Errorf("positions has no order that is %s", s)
		}
	}
	for _, tr := range lifecycle.Transitions {
		if tr.Back && !reached("ON_HOLD("+string(tr.To)+")/") {
			t.Errorf("positions has no order that is held from %s", tr.To)
		}
	}
}

// E1: every event type of the aggregate is described to clients.
func TestEveryEventTypeHasAKind_E1(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "lifecycle/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known, found := events.Types(orders.Kinds()), 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isConst := n.(*ast.ValueSpec)
		if !isConst || !strings.HasPrefix(spec.Names[0].Name, "Event") {
			return true
		}
		text, _ := spec.Values[0].(*ast.BasicLit)
		kind, err := strconv.Unquote(text.Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if !slices.Contains(known, kind) {
			t.Errorf("%s has no entry in Kinds", kind)
		}
		return true
	})
	if found == 0 {
		t.Error("there are no event types in lifecycle/event.go")
	}
}

// C9, D6: no invariant of verify complains about an order in any position. An invariant
// that lists the statuses itself, and not by their meaning, fails for a new one.
func TestInvariantsHoldInEveryPosition_D6(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.products(map[string]int64{"A": 1_000_000, "B": 1_000_000, "NONE": 0, "FREE": -1})
	r.exec(`update products set unit_price = 0 where sku = 'FREE'`)
	names := map[string]string{}
	for _, p := range positions {
		names["order "+r.reach(t, p, r.alice).String()] = p.name
	}

	for _, law := range app.Invariants() {
		if law.Settled || law.Name == "log-elsewhere" { // at rest only; and the database of a test is a copy
			continue
		}
		err := law.Check(r.ctx, r.pool, func(subject, detail string) {
			t.Errorf("%s: %s (%s) %s", law.Name, names[subject], subject, detail)
		})
		if err != nil {
			t.Errorf("%s: %v", law.Name, err)
		}
	}
}
