package orders_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/modules/orders/storage"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/queue"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// checks is a step whose answers the test decides. It remembers the keys of its requests.
type checks struct {
	name   string
	decide func(orders.StepRequest) (orders.Verdict, error) // nil: continue

	mu   sync.Mutex
	keys []string
}

func (c *checks) step() orders.Step {
	return orders.Step{Name: c.name, Check: func(_ context.Context, r orders.StepRequest) (orders.Verdict, error) {
		c.mu.Lock()
		c.keys = append(c.keys, r.Key)
		c.mu.Unlock()
		if c.decide == nil {
			return orders.Continue(), nil
		}
		return c.decide(r)
	}}
}

func always(v orders.Verdict) func(orders.StepRequest) (orders.Verdict, error) {
	return func(orders.StepRequest) (orders.Verdict, error) { return v, nil }
}

func never(err error) func(orders.StepRequest) (orders.Verdict, error) {
	return func(orders.StepRequest) (orders.Verdict, error) { return orders.Verdict{}, err }
}

func stepped(t *testing.T, list ...*checks) *bundle {
	t.Helper()
	b := setup(t)
	b.products(map[string]int64{"A": 10, "FREE": -1})
	b.exec(`update products set unit_price = 0 where sku = 'FREE'`)
	b.use(list...)
	return b
}

func (b *bundle) use(list ...*checks) {
	steps := make([]orders.Step, len(list))
	for i, c := range list {
		steps[i] = c.step()
	}
	b.UseSteps(steps)
}

func (b *bundle) complete(id uuid.UUID, step string) error {
	_, err := b.CompleteStep(b.ctx, b.admin, id, step, new("looked at it"), nil, idempotency.Key[orders.Order]{})
	return err
}

// stepsOf renders an order's steps: name, status, and code or reason.
func stepsOf(o orders.Order) string {
	list := make([]string, len(o.Steps))
	for i, s := range o.Steps {
		list[i] = s.Name + " " + s.Status
		if s.Code != nil {
			list[i] += " " + *s.Code
		}
		if (s.Status == "pending") != (s.DecidedAt == nil) {
			list[i] += " decided at the wrong time"
		}
	}
	return strings.Join(list, ", ")
}

// The steps decide in their order, once each, between the reservation and the payment. An order
// that costs nothing passes them too.
func TestStepsInOrder(t *testing.T) {
	t.Parallel()
	for sku, history := range map[string]string{
		"A":    "order.created stock.reserved order.checked order.checked payment.authorized order.confirmed order.processing",
		"FREE": "order.created stock.reserved order.checked order.checked order.confirmed order.processing",
	} {
		t.Run(sku, func(t *testing.T) {
			t.Parallel()
			fraud, approval := &checks{name: "fraud"}, &checks{name: "approval"}
			b := stepped(t, fraud, approval)
			approval.decide = func(r orders.StepRequest) (orders.Verdict, error) {
				if got := stepsOf(r.Order); got != "fraud passed, approval pending" || r.Order.Status != lifecycle.Pending || r.Round != 1 || r.Step != "approval" {
					t.Errorf("asked about %s, %+v", got, r)
				}
				if n := b.count(`select count(*) from payments`); n != 0 {
					t.Errorf("%d payments before the last step", n)
				}
				return orders.Continue(), nil
			}
			placed := b.place(b.alice, basket(sku, 2))

			b.must(b.Advance(b.ctx, placed.ID))

			if len(placed.Steps) != 0 || placed.Steps == nil {
				t.Errorf("placed with the steps %v", placed.Steps)
			}
			o := b.get(placed.ID)
			if got := stepsOf(o); got != "fraud passed, approval passed" || o.Status != lifecycle.Processing {
				t.Errorf("%s: %s", o.Status, got)
			}
			if got := b.types(o.ID); got != history {
				t.Errorf("history is %s", got)
			}
			want := []string{o.ID.String() + ":1:fraud", o.ID.String() + ":1:approval"}
			if got := slices.Concat(fraud.keys, approval.keys); !slices.Equal(got, want) {
				t.Errorf("keys %v, want %v", got, want)
			}
			b.audit(t)
		})
	}
}

// D2: a step that fails an order returns its stock; the payment provider has heard nothing of
// the order. The steps behind it are not asked.
func TestStepFailsTheOrder(t *testing.T) {
	t.Parallel()
	fraud, approval := &checks{name: "fraud", decide: always(orders.Fail("fraud-suspected", "The address is on a list."))}, &checks{name: "approval"}
	b := stepped(t, fraud, approval)
	id := b.place(b.alice, basket("A", 2)).ID

	b.must(b.Advance(b.ctx, id))
	b.settle()

	o := b.get(id)
	if o.Status != lifecycle.Failed || o.Failure.Code != "fraud-suspected" || o.Failure.Detail != "The address is on a list." {
		t.Errorf("%s: %+v", o.Status, o.Failure)
	}
	if got := stepsOf(o); got != "fraud failed fraud-suspected, approval pending" {
		t.Errorf("steps: %s", got)
	}
	if got := b.types(id); got != "order.created stock.reserved order.checked stock.released order.failed" {
		t.Errorf("history is %s", got)
	}
	if n := b.count(`select reserved + (select count(*) from payments) + (select count(*) from dead_letters) from products where sku = 'A'`); n != 0 {
		t.Errorf("%d units, payments or dead letters are left", n)
	}
	if len(approval.keys)+len(b.effects()) != 0 {
		t.Errorf("approval was asked %v, the bank did %v", approval.keys, b.effects())
	}
	b.audit(t)
}

// A held order keeps its stock, does not expire, and begins its payment after a person completed
// the step, whichever way.
func TestStepHoldsTheOrder(t *testing.T) {
	t.Parallel()
	for name, let := range map[string]func(b *bundle, id uuid.UUID) error{
		"complete": func(b *bundle, id uuid.UUID) error { return b.complete(id, "approval") },
		"release": func(b *bundle, id uuid.UUID) error {
			_, err := b.Release(b.ctx, b.admin, id, nil, idempotency.Key[orders.Order]{})
			return err
		},
		"set status": func(b *bundle, id uuid.UUID) error { return b.move(id, lifecycle.Pending) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := &checks{name: "last"}
			b := stepped(t, last)
			b.UseSteps([]orders.Step{orders.Manual("approval"), last.step()})
			id := b.place(b.alice, basket("A", 2)).ID
			b.must(b.Advance(b.ctx, id))
			held := b.get(id)
			b.expire(id)
			b.settle()
			before := b.get(id)

			err := let(b, id)
			released := b.get(id)
			until := b.count(`select extract(epoch from reserved_until - now())::bigint from orders`)
			b.must(b.Advance(b.ctx, id))

			if held.Status != lifecycle.OnHold || *held.HeldFrom != "PENDING" || !strings.HasPrefix(*held.Reason, "approval: ") || stepsOf(held) != "approval held, last pending" {
				t.Errorf("held: %+v", held)
			}
			if before.Version != held.Version {
				t.Errorf("changed while it was held: %s", b.types(id))
			}
			if err != nil || released.Status != lifecycle.Pending || stepsOf(released) != "approval passed, last pending" {
				t.Errorf("%v: %s, %s", err, released.Status, stepsOf(released))
			}
			if until < 3500 {
				t.Errorf("reserved for %d s after the release", until)
			}
			if got := b.types(id); got != "order.created stock.reserved order.checked order.held order.checked order.released order.checked payment.authorized order.confirmed order.processing" {
				t.Errorf("history is %s", got)
			}
			if n := b.count(`select reserved from products where sku = 'A'`); n != 2 {
				t.Errorf("%d reserved", n)
			}
			b.audit(t)
		})
	}
}

// Only the step that holds an order can be completed, by an administrator. Completing it again
// changes nothing.
func TestCompleteStep(t *testing.T) {
	t.Parallel()
	b := stepped(t, &checks{name: "fraud"})
	b.UseSteps([]orders.Step{{Name: "fraud", Check: (&checks{name: "fraud"}).step().Check}, orders.Manual("approval"), orders.Manual("second")})
	id := b.place(b.alice, basket("A", 1)).ID
	code := func(err error) string {
		if f, told := fault.As(err); told {
			return f.Code
		}
		return fmt.Sprint(err)
	}
	early := code(b.complete(id, "approval"))
	b.must(b.Advance(b.ctx, id))
	_, byOwner := b.CompleteStep(b.ctx, b.alice, id, "approval", nil, nil, idempotency.Key[orders.Order]{})
	_, byStranger := b.CompleteStep(b.ctx, b.bob, id, "approval", nil, nil, idempotency.Key[orders.Order]{})
	_, stale := b.CompleteStep(b.ctx, b.admin, id, "approval", nil, web.IfMatch{1}, idempotency.Key[orders.Order]{})

	for what, got := range map[string][2]string{
		"before it was asked":    {early, "not-found"},
		"a step that is pending": {code(b.complete(id, "second")), "step-not-held"},
		"an unknown step":        {code(b.complete(id, "nap")), "not-found"},
		"a passed step":          {code(b.complete(id, "fraud")), "<nil>"},
		"by the owner":           {code(byOwner), "illegal-transition"},
		"by a stranger":          {code(byStranger), "not-found"},
		"stale":                  {code(stale), "stale"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s", what, got[0], got[1])
		}
	}
	if o := b.get(id); o.Status != lifecycle.OnHold || stepsOf(o) != "fraud passed, approval held, second pending" {
		t.Errorf("%s: %s", o.Status, stepsOf(o))
	}
	b.must(b.complete(id, "approval"))
	version := b.get(id).Version
	b.must(b.complete(id, "approval"))
	if got := b.get(id).Version; got != version {
		t.Errorf("version %d after the repetition, %d before", got, version)
	}
	kind, actor, d := b.last(id)
	if kind != "order.released" || actor != string(b.admin.Actor()) || d.Step != "" {
		t.Errorf("last is %s by %s", kind, actor)
	}
	b.audit(t)
}

// A cancelled order gives back what it held while a step held it, and its steps are not asked
// any more.
func TestCancelWhileAStepHolds(t *testing.T) {
	t.Parallel()
	b := stepped(t)
	b.UseSteps([]orders.Step{orders.Manual("approval")})
	id := b.place(b.alice, basket("A", 2)).ID
	b.must(b.Advance(b.ctx, id))

	b.cancel(b.alice, id)
	b.must(b.Advance(b.ctx, id))
	b.settle()

	if n := b.count(`select reserved from products where sku = 'A'`); n != 0 {
		t.Errorf("%d reserved", n)
	}
	if f, _ := fault.As(b.complete(id, "approval")); f == nil || f.Code != "step-not-held" {
		t.Errorf("completed: %+v", f)
	}
	b.audit(t)
}

// D4: a step that runs out of attempts holds the order with its stock, and a dead letter waits.
// Retry asks again with the same key, skip does not ask, release and complete decide for the step,
// cancel gives everything back.
func TestStepRunsOutOfAttempts(t *testing.T) {
	t.Parallel()
	const rest = " payment.authorized order.confirmed order.processing"
	for how, row := range map[string]struct {
		do                       func(b *bundle, id uuid.UUID) error
		steps, history, resolved string
		asked                    int
	}{
		"retry":    {func(b *bundle, id uuid.UUID) error { return b.resolve(id, "retry") }, "fraud passed", " order.retried order.released order.checked" + rest, "retried", queue.MaxAttempts + 1},
		"skip":     {func(b *bundle, id uuid.UUID) error { return b.resolve(id, "skip") }, "fraud skipped", " order.skipped order.released" + rest, "skipped", queue.MaxAttempts},
		"cancel":   {func(b *bundle, id uuid.UUID) error { return b.resolve(id, "cancel") }, "fraud pending", " stock.released order.cancelled", "cancelled", queue.MaxAttempts},
		"complete": {func(b *bundle, id uuid.UUID) error { return b.complete(id, "fraud") }, "fraud passed", " order.checked order.released" + rest, "skipped", queue.MaxAttempts},
		"release":  {func(b *bundle, id uuid.UUID) error { return b.move(id, lifecycle.Pending) }, "fraud passed", " order.checked order.released" + rest, "skipped", queue.MaxAttempts},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			fraud := &checks{name: "fraud", decide: never(errors.New("no answer"))}
			b := stepped(t, fraud)
			id := b.place(b.alice, basket("A", 2)).ID
			b.settle()
			held, letter := b.get(id), b.letterOf(id)
			fraud.decide = nil

			err := row.do(b, id)
			b.settle()

			if held.Status != lifecycle.OnHold || *held.Stalled != "fraud" || !strings.HasPrefix(*held.Reason, "fraud: ") || stepsOf(held) != "fraud pending" {
				t.Errorf("held: %+v", held)
			}
			if letter.Step != "fraud" || !strings.Contains(letter.Error, "no answer") || letter.Attempts != queue.MaxAttempts {
				t.Errorf("dead letter: %+v", letter)
			}
			o := b.get(id)
			if err != nil || o.Stalled != nil || stepsOf(o) != row.steps {
				t.Errorf("%v: %s, stalled %v, %s", err, o.Status, o.Stalled, stepsOf(o))
			}
			if got := b.types(id); got != "order.created stock.reserved order.held"+row.history {
				t.Errorf("history is %s", got)
			}
			if done := b.letters(orders.DeadLetterQuery{IDs: []uuid.UUID{letter.ID}, Resolved: true}); len(done) != 1 || *done[0].Resolution != row.resolved {
				t.Errorf("resolved: %+v", done)
			}
			if keys := slices.Compact(slices.Clone(fraud.keys)); len(fraud.keys) != row.asked || len(keys) != 1 {
				t.Errorf("asked %d times, want %d, with the keys %v", len(fraud.keys), row.asked, keys)
			}
			b.audit(t)
		})
	}
}

// An outage is no fault of the order: the attempts do not count.
func TestStepIsUnavailable(t *testing.T) {
	t.Parallel()
	fraud := &checks{name: "fraud", decide: never(queue.Snooze(time.Second, errors.New("away")))}
	b := stepped(t, fraud)
	id := b.place(b.alice, basket("A", 2)).ID
	for range queue.MaxAttempts + 3 {
		if _, snoozed := queue.IsSnooze(b.Advance(b.ctx, id)); !snoozed {
			t.Fatal("not snoozed")
		}
	}
	fraud.decide = nil

	b.settle()

	if o := b.get(id); o.Status != lifecycle.Processing {
		t.Errorf("%s: %s", o.Status, stepsOf(o))
	}
	b.audit(t)
}

// A step that this node does not know is never passed over: another version of the program, or
// a step that was taken out of the settings.
func TestUnknownStep(t *testing.T) {
	t.Parallel()
	b := stepped(t, &checks{name: "fraud", decide: never(errors.New("no answer"))})
	id := b.place(b.alice, basket("A", 2)).ID
	if b.Advance(b.ctx, id) == nil {
		t.Fatal("advanced")
	}
	b.use() // a node without steps

	err := b.Advance(b.ctx, id)
	b.settle()

	if err == nil || !strings.Contains(err.Error(), `no step "fraud" is configured`) {
		t.Errorf("advanced: %v", err)
	}
	if o := b.get(id); o.Status != lifecycle.OnHold || stepsOf(o) != "fraud pending" || b.letterOf(id).Step != "fraud" {
		t.Errorf("%s: %s", o.Status, stepsOf(o))
	}
	b.must(b.resolve(id, "skip"))
	b.settle()
	if o := b.get(id); o.Status != lifecycle.Processing || stepsOf(o) != "fraud skipped" {
		t.Errorf("%s: %s", o.Status, stepsOf(o))
	}
	b.audit(t)
}

// An order keeps the steps of the time when its stock was reserved.
func TestStepIsAddedLater(t *testing.T) {
	t.Parallel()
	b := stepped(t, &checks{name: "fraud", decide: never(errors.New("no answer"))})
	id := b.place(b.alice, basket("A", 2)).ID
	if b.Advance(b.ctx, id) == nil {
		t.Fatal("advanced")
	}

	b.use(&checks{name: "credit", decide: always(orders.Fail("too-much", "Too much."))}, &checks{name: "fraud"})
	b.must(b.Advance(b.ctx, id))

	if o := b.get(id); o.Status != lifecycle.Processing || stepsOf(o) != "fraud passed" {
		t.Errorf("%s: %s", o.Status, stepsOf(o))
	}
}

// A reopened order begins a new round: its steps are asked again, with other keys.
func TestReopenRepeatsTheSteps(t *testing.T) {
	t.Parallel()
	fraud := &checks{name: "fraud", decide: always(orders.Fail("fraud-suspected", "Suspected."))}
	b := stepped(t, fraud)
	id := b.place(b.alice, basket("A", 2)).ID
	b.must(b.Advance(b.ctx, id))
	fraud.decide = func(r orders.StepRequest) (orders.Verdict, error) {
		if r.Round != 2 {
			t.Errorf("round %d", r.Round)
		}
		return orders.Continue(), nil
	}

	b.must(b.move(id, lifecycle.Pending))
	reopened := b.get(id)
	b.must(b.Advance(b.ctx, id))

	if reopened.Status != lifecycle.Pending || len(reopened.Steps) != 0 {
		t.Errorf("%s with %s", reopened.Status, stepsOf(reopened))
	}
	if o := b.get(id); o.Status != lifecycle.Processing || stepsOf(o) != "fraud passed" {
		t.Errorf("%s: %s", o.Status, stepsOf(o))
	}
	if want := []string{id.String() + ":1:fraud", id.String() + ":2:fraud"}; !slices.Equal(fraud.keys, want) {
		t.Errorf("keys %v, want %v", fraud.keys, want)
	}
	b.audit(t)
}

// Two workers ask at the same time, and are told different things: one verdict is recorded, and
// the other changes nothing, also when it comes in a later round.
func TestFirstVerdictCounts(t *testing.T) {
	t.Parallel()
	b := stepped(t)
	both, late := make(chan struct{}), make(chan struct{})
	entered := make(chan struct{}, 2)
	step := func(wait chan struct{}, v orders.Verdict, next error) orders.Step {
		return orders.Step{Name: "fraud", Check: func(_ context.Context, r orders.StepRequest) (orders.Verdict, error) {
			if r.Round > 1 {
				return orders.Continue(), next
			}
			entered <- struct{}{}
			<-wait
			return v, nil
		}}
	}
	two := b.another()
	b.UseSteps([]orders.Step{step(both, orders.Fail("fraud-suspected", "Suspected."), errors.New("no answer"))})
	two.UseSteps([]orders.Step{step(late, orders.Hold("Late."), nil)})
	id := b.place(b.alice, basket("A", 2)).ID

	var all sync.WaitGroup
	for _, n := range []*bundle{b, two} {
		all.Go(func() {
			if err := n.Advance(n.ctx, id); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	close(both)
	b.until("the order does not fail", `select status = 'FAILED' from orders where id = $1`, id)
	b.must(b.move(id, lifecycle.Pending))
	if b.Advance(b.ctx, id) == nil { // now the step is pending in round 2
		t.Error("advanced")
	}
	close(late)
	all.Wait()

	o := b.get(id) // two saw round 2 through
	if got := b.types(id); got != "order.created stock.reserved order.checked stock.released order.failed order.reopened stock.reserved order.checked payment.authorized order.confirmed order.processing" {
		t.Errorf("%s: %s; history is %s", o.Status, stepsOf(o), got)
	}
	if n := b.count(`select count(*) from order_steps`); n != 2 {
		t.Errorf("%d rows of steps, want one for each round", n)
	}
	b.audit(t)
}

// A reader whose row is older than the steps reads again: the version of an order is that of its
// steps too.
func TestStepsAndRowAreOneVersion(t *testing.T) {
	t.Parallel()
	b := stepped(t)
	b.UseSteps([]orders.Step{orders.Manual("approval")})
	id := b.place(b.alice, basket("A", 1)).ID
	placed, err := ent.On(b.pool).Order.Get(b.ctx, id)
	b.must(err)
	b.must(b.Advance(b.ctx, id))
	before, err := ent.On(b.pool).Order.Get(b.ctx, id)
	b.must(err)
	b.must(b.complete(id, "approval"))
	after, err := ent.On(b.pool).Order.Get(b.ctx, id)
	b.must(err)

	_, stale := storage.Complete(b.ctx, b.pool, []*ent.Order{before})
	list, err := storage.Complete(b.ctx, b.pool, []*ent.Order{after})
	without, wrong := storage.Complete(b.ctx, b.pool, []*ent.Order{placed})

	if !errors.Is(stale, storage.ErrChanged) {
		t.Errorf("read the steps of another version: %v", stale)
	}
	if err != nil || len(list) != 1 || len(list[0].Steps) != 1 || list[0].Steps[0].Status != lifecycle.StepPassed {
		t.Errorf("%v: %+v", err, list)
	}
	if wrong != nil || len(without[0].Steps) != 0 {
		t.Errorf("the order as it was placed: %v: %+v", wrong, without)
	}
}

// A verdict that cannot be recorded, and a panic, are errors of the order and of nothing else.
func TestWrongVerdicts(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(orders.StepRequest) (orders.Verdict, error){
		"none":            always(orders.Verdict{}),
		"unknown":         always(orders.Verdict{Kind: "maybe"}),
		"no code":         always(orders.Fail("", "Because.")),
		"code in capital": always(orders.Fail("Fraud", "Because.")),
		"long code":       always(orders.Fail(strings.Repeat("a", orders.MaxCode+1), "Because.")),
		"no reason":       always(orders.Hold(" ")),
		"long reason":     always(orders.Hold(strings.Repeat("ü", orders.MaxReason+1))),
		"NUL":             always(orders.Hold("a\x00b")),
		"not UTF-8":       always(orders.Hold("a\xff")),
		"panic":           func(orders.StepRequest) (orders.Verdict, error) { panic("no luck") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := stepped(t, &checks{name: "fraud", decide: decide})
			id := b.place(b.alice, basket("A", 1)).ID

			err := b.Advance(b.ctx, id)

			if err == nil || !strings.Contains(err.Error(), "fraud order "+id.String()) {
				t.Errorf("advanced: %v", err)
			}
			if o := b.get(id); o.Status != lifecycle.Pending || stepsOf(o) != "fraud pending" {
				t.Errorf("%s: %s", o.Status, stepsOf(o))
			}
		})
	}
}

// Limits are inclusive.
func TestVerdictsAtTheirLimits(t *testing.T) {
	t.Parallel()
	for _, v := range []orders.Verdict{
		orders.Continue(), orders.Hold(strings.Repeat("ü", orders.MaxReason)), orders.Fail("a"+strings.Repeat("1", orders.MaxCode-1), "Because."),
	} {
		if err := orders.CheckVerdict(v); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

// E1: for any verdicts and commands, folding the events of an order yields its row and steps, and
// no order continues past a step without its verdict.
func TestStepsFoldToTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.products(map[string]int64{"A": 1000, "B": 5, "C": -1, "FREE": -1})
	b.exec(`update products set unit_price = 0 where sku = 'FREE'`)

	rapid.Check(t, func(r *rapid.T) {
		deciding := func(name string) orders.Step {
			return orders.Step{Name: name, Check: func(context.Context, orders.StepRequest) (orders.Verdict, error) {
				switch rapid.IntRange(0, 5).Draw(r, name) {
				case 0:
					return orders.Fail("refused", "Refused."), nil
				case 1:
					return orders.Hold("Look at it."), nil
				case 2:
					return orders.Verdict{}, errors.New("no answer")
				default:
					return orders.Continue(), nil
				}
			}}
		}
		lists := [][]orders.Step{{deciding("fraud")}, {deciding("fraud"), deciding("approval")}, {deciding("approval"), deciding("credit"), deciding("fraud")}, nil}
		b.actAndCheck(r, func() { b.UseSteps(rapid.SampledFrom(lists).Draw(r, "steps")) })
	})
}
