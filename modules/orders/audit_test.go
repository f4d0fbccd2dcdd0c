package orders_test

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// tester is a test or one run of a property.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Each query names what is broken; none may find anything (SPEC B2, B4, C8, D2, D6).
var invariants = map[string]string{
	"products that count other units than are held, or other than moved": `
		select sku from products p
		where reserved <> (select coalesce(sum(quantity), 0) from reservations r where r.sku = p.sku and r.state = 'held')
		   or stock <> (select coalesce(sum(delta), 0) from movements m where m.sku = p.sku)`,
	"orders that hold other units than their status says": `
		select o.id::text || ' ' || o.status from orders o
		where (select count(*) from reservations r where r.order_id = o.id and r.state = 'held') <>
			case when coalesce(o.held_from, o.status) in (` + quoted(lifecycle.HoldingStock()) + `) or o.reserved_until is not null
				then (select count(distinct sku) from order_lines l where l.order_id = o.id) else 0 end
		  and o.status not in (` + quoted(lifecycle.Reserving()) + `)`,
	"orders whose sums are not those of their payments and refunds": `
		select o.id::text from orders o
		where captured <> (select coalesce(sum(amount), 0) from payments p where p.order_id = o.id and p.state = 'captured')
		   or refunded <> (select coalesce(sum(amount), 0) from refunds r where r.order_id = o.id and r.state = 'done')
		   or refunding <> (select coalesce(sum(amount), 0) from refunds r where r.order_id = o.id and r.state = 'pending')`,
	"orders whose paymentStatus is not that of their last payment": `
		select o.id::text || ' ' || o.payment_status || ' ' || coalesce(p.state, '-') from orders o
		left join lateral (select state from payments p where p.order_id = o.id order by p.id desc limit 1) p on true
		where not case o.payment_status
			when 'NONE' then coalesce(p.state, 'abandoned') in ('authorizing', 'abandoned')
				or (o.reserved_until is null or exists (select from order_steps s where s.order_id = o.id and s.round = o.round)) and o.status not in (` + quoted(lifecycle.Secured()) + `)
			when 'AUTHORIZED' then p.state in ('authorized', 'abandoned')
			when 'VOIDED' then p.state = 'voided'
			when 'DECLINED' then p.state = 'declined'
			when 'CAPTURED' then p.state = 'captured' and o.refunded = 0
			when 'PARTIALLY_REFUNDED' then p.state = 'captured' and o.refunded between 1 and o.captured - 1
			when 'REFUNDED' then p.state = 'captured' and o.refunded = o.captured
			else p.state = 'captured' and exists (select from refunds r where r.order_id = o.id and r.state <> 'done') end`,
	"payments whose ledger does not show what became of them": `
		select p.id::text || ' ' || p.state from payments p
		where (select coalesce(string_agg(kind, ' ' order by kind), '') from ledger l where l.order_id = p.order_id and l.source = p.id and l.amount = p.amount)
			<> case when p.state = 'captured' then 'authorize capture settle'
				when p.reference is null or p.state in ('authorizing', 'declined') then ''
				when p.state = 'voided' then 'authorize void' else 'authorize' end`,
	"refunds that the ledger does not show, or shows though they were not made": `
		select r.id::text || ' ' || r.state from refunds r
		where (r.state = 'done') <> exists (select from ledger l where l.order_id = r.order_id and l.source = r.id and l.kind = 'refund' and l.amount = r.amount)`,
	"accounts of finished orders on which a hold is left": `
		select l.order_id::text from ledger l join orders o on o.id = l.order_id
		where o.due_at is null and o.stalled is null and o.payment_status in ('NONE', 'VOIDED', 'DECLINED')
		group by 1 having sum(amount * case 'authorized-funds' when debit then 1 when credit then -1 else 0 end) <> 0`,
	"orders with a pending payment or refund and no due date": `
		select o.id::text || ' ' || o.status from orders o
		where due_at is null and stalled is null and (
			exists (select from refunds r where r.order_id = o.id and r.state = 'pending')
			or status in (` + quoted(lifecycle.Settling()) + `) and
				exists (select from payments p where p.order_id = o.id and p.state in ('authorizing', 'authorized')))`,
	"orders with two payments that may hold money": `
		select order_id::text from payments where state in ('authorizing', 'authorized') group by 1 having count(*) > 1`,
	"orders that stall without a dead letter, or have one without stalling": `
		select id::text from orders o where (stalled is not null) <> exists (select from dead_letters d where d.order_id = o.id and d.resolved_at is null)`,
	"orders that have passed a step which has not let them": `
		select o.id::text || ' ' || o.status || ' ' || s.name || ' ' || s.status from orders o join order_steps s on s.order_id = o.id and s.round = o.round
		where s.status not in ('passed', 'skipped') and (o.payment_status <> 'NONE'
			or coalesce(o.held_from, o.status) in (` + quoted(append(lifecycle.HoldingStock(), lifecycle.StockTaken()...)) + `))`,
	"reservations of orders that neither begin nor wait": `
		select o.id::text || ' ' || o.status from orders o
		where (o.reserved_until is not null) <> (coalesce(o.held_from, o.status) in (` + quoted(lifecycle.Reserving()) + `)
			and exists (select from reservations r where r.order_id = o.id and r.state = 'held'))`,
	"deleted orders that are alive": `
		select id::text from orders where deleted_at is not null and status not in (` + quoted(lifecycle.With(func(m lifecycle.Meaning) bool { return m.Closed })) + `)`,
}

// quoted lists statuses for SQL.
func quoted(list []lifecycle.Status) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = "'" + string(s) + "'"
	}
	return strings.Join(names, ", ")
}

// audit checks what must hold at all times, in the database and at the bank. What
// has a step forged by the test has no history to speak of.
func (b *bundle) audit(t tester, forged ...uuid.UUID) {
	t.Helper()
	b.checkBooks(t)
	for _, id := range column[uuid.UUID](b, t, `select id from orders where not id = any($1)`, append([]uuid.UUID{}, forged...)) {
		b.checkHistory(t, id)
	}
}

func (b *bundle) checkBooks(t tester) {
	t.Helper()
	for what, query := range invariants {
		if found := column[string](b, t, query); len(found) > 0 {
			t.Errorf("%s: %s", what, strings.Join(found, ", "))
		}
	}
	b.checkBank(t)
}

func column[T any](b *bundle, t tester, query string, args ...any) []T {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v T, err error) {
		if reflect.TypeFor[T]().Kind() == reflect.Struct {
			return pgx.RowToStructByPos[T](row)
		}
		return pgx.RowTo[T](row)
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return list
}

// checkHistory folds an order's events into its row, and looks up every step in the
// table of moves (SPEC E1, C9).
func (b *bundle) checkHistory(t tester, id uuid.UUID) {
	t.Helper()
	list, err := b.log.History(b.ctx, id)
	if err != nil {
		t.Fatalf("%v", err)
	}
	at := lifecycle.State{Status: lifecycle.Pending}
	for _, e := range list {
		var d orders.Data
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatalf("%v", err)
		}
		if d.PreviousStatus == "" {
			continue
		}
		if err := lifecycle.Check(at, d.Status, partyOf(e)); err != nil || d.PreviousStatus != at.Status {
			t.Errorf("order %s: %s by %s, from %s to %s: %v", id, e.Type, e.Actor, d.PreviousStatus, d.Status, err)
		}
		at = lifecycle.State{Status: d.Status}
		if d.Status == lifecycle.OnHold {
			at.HeldFrom = d.PreviousStatus
		}
	}
	b.checkFold(t, id, list)
}

func partyOf(e events.Event) lifecycle.Role {
	kind, who, _ := strings.Cut(string(e.Actor), ":")
	party := map[string]lifecycle.Role{"system": lifecycle.System, "user": lifecycle.Owner, "admin": lifecycle.Admin}[kind]
	if who == e.UserID.String() {
		party |= lifecycle.Owner
	}
	return party
}

// attempt is a payment or a refund.
type attempt struct {
	ID      uuid.UUID
	State   string
	Settled bool
}

// checkBank compares the books with what the bank did. Where a step is still under
// way or was given up, the bank may be ahead.
func (b *bundle) checkBank(t tester) {
	t.Helper()
	did := map[string]simulated.Effect{}
	for _, e := range b.bank.Effects() {
		if _, twice := did[e.Key]; twice {
			t.Errorf("the bank did %s twice", e.Key)
		}
		did[e.Key] = e
	}
	attempts := func(table string) []attempt {
		return column[attempt](b, t, `
			select a.id, a.state, o.due_at is null and o.stalled is null or a.state in ('captured', 'done')
			from `+table+` a join orders o on o.id = a.order_id where a.state <> 'abandoned'`)
	}
	for _, p := range attempts("payments") {
		has := func(step string) bool { _, ok := did[p.ID.String()+":"+step]; return ok }
		if !p.Settled {
			continue
		}
		held := has("authorize") && !has("void") && !has("capture")
		if held != (p.State == "authorized") || has("capture") != (p.State == "captured") {
			t.Errorf("payment %s is %s; held at the bank %v, captured %v", p.ID, p.State, held, has("capture"))
		}
	}
	for _, r := range attempts("refunds") {
		if _, made := did[r.ID.String()+":refund"]; r.Settled && made != (r.State == "done") {
			t.Errorf("refund %s is %s; made by the bank %v", r.ID, r.State, made)
		}
	}
}
