package orders

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
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

// act runs do on an order that the caller may see, and answers with the order,
// once per key. ifMatch is the version that the caller has seen, or nil.
func (m *Module) act(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch *int64, key idempotency.Key, do func(ctx context.Context, a *act) error) (idempotency.Answer, error) {
	return m.answer(ctx, caller, id, ifMatch, key, func(ctx context.Context, a *act) (idempotency.Answer, error) {
		if err := do(ctx, a); err != nil {
			return idempotency.Answer{}, err
		}
		return a.order()
	})
}

// answer is act for what is answered with something else than the order.
func (m *Module) answer(ctx context.Context, caller identity.Caller, id uuid.UUID, ifMatch *int64, key idempotency.Key, do func(ctx context.Context, a *act) (idempotency.Answer, error)) (idempotency.Answer, error) {
	key.Still = m.stillVisible(caller, id, false)
	return m.answerDeleted(ctx, caller, id, key, func(ctx context.Context, a *act) (idempotency.Answer, error) {
		if a.c.row.DeletedAt != nil {
			return idempotency.Answer{}, fault.Absent("order")
		}
		if ifMatch != nil && *ifMatch != a.c.row.Version {
			return idempotency.Answer{}, stale(a.c.row)
		}
		return do(ctx, a)
	})
}

// answerDeleted is answer for deleted orders as well.
func (m *Module) answerDeleted(ctx context.Context, caller identity.Caller, id uuid.UUID, key idempotency.Key, do func(ctx context.Context, a *act) (idempotency.Answer, error)) (idempotency.Answer, error) {
	if key.Still == nil {
		key.Still = m.stillVisible(caller, id, true)
	}
	var changes []*change
	answer, err := m.Running.Do(ctx, m.Pool, key, func(tx pgx.Tx) (out idempotency.Answer, err error) {
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
	if err == nil && !answer.Replayed {
		m.announce(changes)
	}
	return answer, err
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

// order renders the order as it is after the act.
func (a *act) order() (idempotency.Answer, error) {
	body, err := web.Marshal(render(a.c.row, a.w.lines[a.c.row.ID], a.caller))
	if err != nil {
		return idempotency.Answer{}, err
	}
	return idempotency.Answer{
		Status:  http.StatusOK,
		Headers: map[string]string{"ETag": web.ETag(a.c.row.Version)},
		Body:    body,
	}, nil
}

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
