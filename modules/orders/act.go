package orders

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// act is one thing that a person does to one order. Its check and its writes are
// one transaction behind the order's lock (SPEC C9).
type act struct {
	tx     pgx.Tx
	m      *Module
	w      *work
	c      *change
	caller identity.Caller
	who    lifecycle.Who // what the caller is to the order
}

// act runs do on an order that the caller may see, and returns the order, once per
// key. ifMatch is the version that the caller has seen, or nil.
func (m *Module) act(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch *int64, key idempotency.Key[Order], do func(ctx context.Context, a *act) error) (idempotency.Result[Order], error) {
	key.Still = stillVisible(m, caller, id, false, actionsOf(caller))
	return answer(ctx, m, caller, id, ifMatch, key, func(ctx context.Context, a *act) (Order, error) {
		if err := do(ctx, a); err != nil {
			return Order{}, err
		}
		return a.order(), nil
	})
}

// answer is act for use cases that return something else than the order.
func answer[T any](ctx context.Context, m *Module, caller identity.Caller, id uuid.UUID, ifMatch *int64, key idempotency.Key[T], do func(ctx context.Context, a *act) (T, error)) (idempotency.Result[T], error) {
	return answerDeleted(ctx, m, caller, id, key, func(ctx context.Context, a *act) (none T, err error) {
		if a.c.row.DeletedAt != nil {
			return none, fault.Absent("order")
		}
		if ifMatch != nil && *ifMatch != a.c.row.Version {
			return none, stale(a.c.row)
		}
		return do(ctx, a)
	})
}

// answerDeleted is answer for deleted orders as well. The key says who may have a
// stored response (stillVisible).
func answerDeleted[T any](ctx context.Context, m *Module, caller identity.Caller, id uuid.UUID, key idempotency.Key[T], do func(ctx context.Context, a *act) (T, error)) (idempotency.Result[T], error) {
	var changes []*change
	result, err := idempotency.Do(ctx, m.Running, m.Pool, key, func(tx pgx.Tx) (out T, err error) {
		changes = nil
		a, err := m.begin(ctx, tx, caller, id)
		if err != nil {
			return out, err
		}
		if out, err = do(ctx, a); err != nil {
			return out, err
		}
		if len(a.c.events) > 0 {
			changes = []*change{a.c}
		}
		return out, m.write(ctx, tx, changes, a.w.book)
	})
	if err == nil && !result.Replayed {
		m.announce(changes)
	}
	return result, err
}

// begin locks one order for a caller. Somebody else's looks like none at all.
func (m *Module) begin(ctx context.Context, tx pgx.Tx, caller identity.Caller, id uuid.UUID) (*act, error) {
	w, err := m.open(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if len(w.rows) == 0 || party(w.rows[0], caller) == 0 {
		return nil, fault.Absent("order")
	}
	c := newChange(w.rows[0], caller.Actor())
	w.changes[id] = c
	return &act{tx: tx, m: m, w: w, c: c, caller: caller, who: party(c.row, caller)}, nil
}

// order shows the order as it is after the act.
func (a *act) order() Order { return render(a.c.row, a.w.lines[a.c.row.ID], a.caller) }

// check refuses what the table does not have, before anything was touched.
func (a *act) check(to lifecycle.Status) error {
	return told(lifecycle.Check(position(a.c.row), to, a.who))
}

func visible(row *ent.Order, caller identity.Caller) bool {
	return row.DeletedAt == nil && party(row, caller) != 0
}

func stale(row *ent.Order) error {
	return fault.New(fault.PreconditionFailed, "stale", "The order has changed since; it is at version %d now.", row.Version).
		With("version", row.Version)
}

// The actions there are, and when. A route exists for every one of them, and asks
// the same (SPEC C10).
var actions = []struct {
	name string
	may  func(row *ent.Order, who lifecycle.Who) bool
}{
	{"cancel", to(lifecycle.Cancelled)},
	{"ship", to(lifecycle.Shipped)},
	{"complete", to(lifecycle.Completed)},
	{"hold", to(lifecycle.OnHold)},
	{"release", func(row *ent.Order, who lifecycle.Who) bool {
		return who&lifecycle.Admin != 0 && lifecycle.Status(row.Status) == lifecycle.OnHold
	}},
	{"reopen", func(row *ent.Order, who lifecycle.Who) bool {
		return to(lifecycle.Pending)(row, who) && lifecycle.Status(row.Status) == lifecycle.Failed && settled(row)
	}},
	{"refund", func(row *ent.Order, who lifecycle.Who) bool { return who&lifecycle.Admin != 0 && refundable(row) > 0 }},
	{"delete", func(row *ent.Order, who lifecycle.Who) bool {
		return who&lifecycle.Admin != 0 && (over(row) || to(lifecycle.Cancelled)(row, who))
	}},
}

func to(status lifecycle.Status) func(*ent.Order, lifecycle.Who) bool {
	return func(row *ent.Order, who lifecycle.Who) bool {
		return lifecycle.Check(position(row), status, who) == nil
	}
}

// settled tells whether nothing of an order's money is held or under way. A void
// that gave up leaves open whether there is any.
func settled(row *ent.Order) bool {
	return row.DueAt == nil && deref(row.Stalled) != "void" && slices.Contains([]string{none, declined, voided, refunded}, row.PaymentStatus)
}

// over tells whether nothing more will be done for an order.
func over(row *ent.Order) bool {
	s := lifecycle.Status(row.Status)
	return s.Final() || s == lifecycle.Failed
}

func allowedActions(row *ent.Order, reader identity.Caller) []string {
	who := party(row, reader)
	names := []string{}
	if row.DeletedAt != nil {
		return names
	}
	for _, a := range actions {
		if a.may(row, who) {
			names = append(names, a.name)
		}
	}
	return names
}

// Visible returns the fault of an order that the caller may not see.
func (m *Module) Visible(ctx context.Context, caller identity.Caller, id uuid.UUID) error {
	_, err := m.read(ctx, caller, id)
	return err
}
