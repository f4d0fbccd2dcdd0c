package orders_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// position is somewhere that an order can stand, with its money, and the way there.
// Its name is what describe makes of the row, so that no way leads elsewhere.
type position struct {
	name   string
	wanted orders.OrderRequest
	way    []step
}

type step func(r *rig, id uuid.UUID)

// rig is a node with what can go wrong beside it: a node that reaches the bank over
// a line of the test's, and one that cannot give stock back.
type rig struct {
	*front
	line         *line
	away, halted *bundle
	// Nodes with a step that holds each order, and with one that never answers.
	holding, mute *bundle
}

func newRig(t *testing.T) *rig {
	t.Helper()
	b := setup(t)
	r := &rig{front: open(t, b), line: &line{Provider: b.bank}, halted: b.another(func(d *orders.Deps) { d.Stock = stuckStock{d.Stock} })}
	r.holding, r.mute = b.another(), b.another()
	r.holding.use(&checks{name: "fraud", decide: always(orders.Hold("Look at it."))})
	r.mute.use(&checks{name: "fraud", decide: never(errors.New("no answer"))})
	r.away = b.another(func(d *orders.Deps) { d.Open = with(d.Pool, r.line) })
	return r
}

// over works an order's job with the line as it is then.
func (r *rig) over(id uuid.UUID, before, after func(string) error) {
	r.line.before, r.line.after = before, after
	_ = r.away.Advance(r.ctx, id) // it fails, and that is what it is for
}

// stuckStock cannot give anything back.
type stuckStock struct{ orders.Stock }

func (stuckStock) Release(context.Context, pgx.Tx, []uuid.UUID) (map[uuid.UUID]map[string]int64, error) {
	return nil, errors.New("the shelf is stuck")
}

// positions are every status, with every status that it may be held from, and every
// state of the money that can go with it. Those from CONFIRMED are forged: the
// system passes through it within one commit.
var positions = func() []position {
	std, free, short := basket("A", 2, "B", 1), basket("FREE", 2), basket("A", 1, "NONE", 1)
	paid := func(method string) orders.OrderRequest { return paidWith("pm_sim_"+method, std) }
	list := []position{
		{"PENDING/NONE", std, nil},
		{"PENDING/NONE reserved", std, []step{severed}},
		{"PENDING/DECLINED reserved", paidWith("pm_card_chargeDeclined", std), []step{halted}},

		{"CONFIRMED/NONE", free, []step{work, confirmed}},
		{"CONFIRMED/AUTHORIZED", std, []step{work, confirmed}},

		{"PROCESSING/NONE", free, []step{work}},
		{"PROCESSING/AUTHORIZED", std, []step{work}},

		{"ON_HOLD(PENDING)/NONE", holding(short), []step{work}},
		{"ON_HOLD(PENDING)/NONE reserved", std, []step{heldByStep}},
		{"ON_HOLD(PENDING)/NONE reserved stalled:fraud", std, []step{stepGaveUp}},
		{"CONFIRMED/AUTHORIZED stalled:process", std, []step{work, confirmed, giveUp}},
		{"ON_HOLD(CONFIRMED)/AUTHORIZED stalled:process", std, []step{work, confirmed, giveUp, held}},
		{"ON_HOLD(CONFIRMED)/NONE", free, []step{work, confirmed, held}},
		{"ON_HOLD(CONFIRMED)/AUTHORIZED", std, []step{work, confirmed, held}},
		{"ON_HOLD(PROCESSING)/NONE", free, []step{work, held}},
		{"ON_HOLD(PROCESSING)/AUTHORIZED", std, []step{work, held}},

		{"FAILED/NONE", short, []step{work}},
		{"FAILED/NONE stalled:reserve", std, []step{giveUp}},
		{"FAILED/NONE pending", std, []step{severed, expired}},
		{"FAILED/NONE pending stalled:authorize", std, []step{severed, giveUp}},
		{"FAILED/NONE stalled:void", paid("voidFails"), []step{severed, expired, work}},
		{"FAILED/DECLINED", paidWith("pm_card_chargeDeclined", std), []step{work}},
		{"FAILED/VOIDED", std, []step{severed, expired, work}},
		{"FAILED/VOIDED stalled:authorize", std, []step{severed, giveUp, work}},
		{"FAILED/AUTHORIZED pending", std, []step{late}},
		{"FAILED/AUTHORIZED stalled:void", paid("voidFails"), []step{late, work}},

		{"CANCELLED/NONE", std, []step{cancelled}},
		{"CANCELLED/NONE pending", std, []step{severed, cancelled}},
		{"CANCELLED/NONE stalled:void", paid("voidFails"), []step{severed, cancelled, work}},
		{"CANCELLED/DECLINED", paidWith("pm_card_chargeDeclined", std), []step{halted, cancelled}},
		{"CANCELLED/AUTHORIZED pending", std, []step{work, cancelled}},
		{"CANCELLED/AUTHORIZED stalled:void", paid("voidFails"), []step{work, cancelled, work}},
		{"CANCELLED/VOIDED", std, []step{work, cancelled, work}},
	}
	for _, end := range []struct {
		s  string
		on step
	}{{"SHIPPED", shipped}, {"COMPLETED", completed}} {
		s, on := end.s, end.on
		list = append(list,
			position{s + "/NONE", free, []step{work, on, work}},
			position{s + "/AUTHORIZED pending", std, []step{work, on}},
			position{s + "/AUTHORIZED stalled:capture", paid("captureFails"), []step{work, on, work}},
			position{s + "/CAPTURED", std, []step{work, on, work}},
			position{s + "/CAPTURED pending refunding", std, []step{work, on, work, refunding(150)}},
			position{s + "/PARTIALLY_REFUNDED", std, []step{work, on, work, refunding(150), work}},
			position{s + "/PARTIALLY_REFUNDED pending refunding", std, []step{work, on, work, refunding(150), work, refunding(150)}},
			position{s + "/REFUNDED", std, []step{work, on, work, refunding(300), work}},
			position{s + "/REFUND_FAILED stalled:refund", paid("refundFails"), []step{work, on, work, refunding(150), work}},
		)
	}
	return list
}()

func holding(w orders.OrderRequest) orders.OrderRequest {
	w.OnShortage = "hold"
	return w
}

// describe names where an order stands.
func (b *bundle) describe(t *testing.T, id uuid.UUID) string {
	t.Helper()
	return column[string](b, t, `
		select status || coalesce('(' || held_from || ')', '') || '/' || payment_status
			|| case when reserved_until is not null then ' reserved' else '' end
			|| case when due_at is not null and status not in (`+quoted(lifecycle.Automatic())+`) then ' pending' else '' end
			|| case when refunding > 0 then ' refunding' else '' end
			|| coalesce(' stalled:' || stalled, '')
		from orders where id = $1`, id)[0]
}

// reach places an order and takes it there.
func (r *rig) reach(t *testing.T, p position, owner identity.Caller) uuid.UUID {
	t.Helper()
	id := r.place(owner, p.wanted).ID
	for _, s := range p.way {
		s(r, id)
	}
	if got := r.describe(t, id); got != p.name {
		t.Fatalf("the way to %s leads to %s", p.name, got)
	}
	return id
}

func heldByStep(r *rig, id uuid.UUID) { r.holding.turn(id) }
func stepGaveUp(r *rig, id uuid.UUID) { r.mute.turn(id) }

func work(r *rig, id uuid.UUID)      { r.turn(id) }
func giveUp(r *rig, id uuid.UUID)    { r.giveUp(id) }
func cancelled(r *rig, id uuid.UUID) { r.cancel(r.admin, id) }
func expired(r *rig, id uuid.UUID)   { r.expire(id) }
func held(r *rig, id uuid.UUID)      { r.must(r.move(id, lifecycle.OnHold)) }
func shipped(r *rig, id uuid.UUID)   { r.ship(id) }
func completed(r *rig, id uuid.UUID) { r.must(r.move(id, lifecycle.Completed)) }
func refunding(n int64) step         { return func(r *rig, id uuid.UUID) { r.refund(id, n) } }

func confirmed(r *rig, id uuid.UUID) {
	r.exec(`insert into order_counts (status, n) select status, -1 from orders where id = $1 union all select 'CONFIRMED', 1`, id)
	r.exec(`update orders set status = 'CONFIRMED', due_at = now() + interval '1 minute' where id = $1`, id)
}

// severed works where the line to the bank is cut.
func severed(r *rig, id uuid.UUID) { r.over(id, func(string) error { return errLine }, nil) }

// late lets the answer come when the order has expired, and the void not get through.
func late(r *rig, id uuid.UUID) {
	r.over(id, cut("void"), first("authorize", func() { r.expire(id) }))
}

// halted stops between the decline and what is undone because of it.
func halted(r *rig, id uuid.UUID) { _ = r.halted.Advance(r.ctx, id) }
