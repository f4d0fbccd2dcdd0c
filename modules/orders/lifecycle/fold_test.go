package lifecycle

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// E1, C9: for any sequence of decisions, folding the recorded events from the empty state yields
// the state that would be written, and the table has every transition among them.
func TestFoldIsWhatWasWritten_E1(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var history []Event
		stored, deadlines := State{}, Deadlines{}
		at := time.UnixMilli(1_000_000).UTC()
		for n := range rapid.IntRange(1, 40).Draw(r, "transactions") {
			o := Load(stored, deadlines, identity.System, at.Add(time.Duration(n)*time.Second))
			if n == 0 {
				o.Record(Place(Terms{
					ID: uuid.New(), UserID: uuid.New(), Currency: "EUR", Total: rapid.SampledFrom([]int64{0, 1000}).Draw(r, "total"),
					HoldOnShortage: rapid.Bool().Draw(r, "hold on shortage"),
				}))
			}
			for range rapid.IntRange(1, 4).Draw(r, "decisions") {
				decide(r, o)
			}
			history = append(history, o.Recorded...)
			stored, deadlines = o.State, o.Deadlines
		}

		folded, err := Fold(history)

		if err != nil || !reflect.DeepEqual(folded, stored) {
			r.Fatalf("folded %+v\nstored %+v\n%v", folded, stored, err)
		}
		if (deadlines.ReservedUntil != nil) != stored.Reserved {
			r.Fatalf("reserved %v, until %v", stored.Reserved, deadlines.ReservedUntil)
		}
		if stored.Status.Meaning().Automatic && deadlines.DueAt == nil {
			r.Fatalf("an order that is %s has no deadline", stored.Status)
		}
		checkTransitions(r, history)
	})
}

func checkTransitions(r *rapid.T, history []Event) {
	var s State
	for _, e := range history {
		if from := e.Data.PreviousStatus; from != "" && (from != s.Status || !slices.Contains(Next(s, System|Owner|Admin), e.Data.Status)) {
			r.Fatalf("%s leads from %s to %s, and the order was %s", e.Type, from, e.Data.Status, s.Status)
		}
		s = s.Apply(e)
	}
}

// decide takes one of all decisions. A refused one records nothing.
func decide(r *rapid.T, o *Order) {
	role := rapid.SampledFrom([]Role{Owner, Admin, Owner | Admin}).Draw(r, "role")
	to := rapid.SampledFrom(All).Draw(r, "to")
	reason, tracking := new("because"), new("1Z")
	items := []StockItem{{SKU: "A", Quantity: 2}}
	step := rapid.SampledFrom(OwnSteps).Draw(r, "step")
	always := func(e Event) func() (Event, error) { return func() (Event, error) { return e, nil } }
	decisions := map[string]func() (Event, error){
		"short":   func() (Event, error) { return o.RefuseForShortage([]string{"A"}) },
		"confirm": o.Confirm, "process": o.StartProcessing,
		"hold":     func() (Event, error) { return o.Hold(role, reason) },
		"release":  func() (Event, error) { return o.Release(role, to) },
		"cancel":   func() (Event, error) { return o.Cancel(role, reason) },
		"ship":     func() (Event, error) { return o.Ship(role, Fulfilment{reason, tracking, items}) },
		"complete": func() (Event, error) { return o.Complete(role, Fulfilment{Tracking: tracking}) },
		"fail":     func() (Event, error) { return o.Fail(Failure{Code: "x", Detail: "X."}, step) },
		"reopen":   func() (Event, error) { return o.Reopen(role, to, rapid.Bool().Draw(r, "outstanding")) },
		"pay":      func() (Event, error) { return o.RecordPayment(anyPayment(r)), nil },
		"stall":    always(o.Stall(step)), "late": always(o.ReportLate("overdue")), "retry": always(o.RetryStep(step, 3)),
		"skip": always(o.SkipStep(step, reason)), "delete": always(o.Delete()), "back": always(o.ReleaseStock(items)),
	}
	if o.NeedsStock() {
		decisions["reserve"] = always(o.Reserve(items, rapid.SampledFrom([][]string{nil, {"fraud"}, {"fraud", "approval"}}).Draw(r, "steps")))
	}
	if next := o.NextStep(); next != "" {
		kind := rapid.SampledFrom([]VerdictKind{VerdictContinue, VerdictFail, VerdictHold}).Draw(r, "verdict")
		decisions["check"] = always(o.RecordVerdict(next, Verdict{kind, "fraud-suspected", "Because."}))
		decisions["give up"] = func() (Event, error) { return o.HoldForStep(next, "Gave up.", true) }
	}
	name := rapid.SampledFrom(sorted(decisions)).Draw(r, "decision")
	e, err := decisions[name]()
	if err != nil {
		return
	}
	o.Record(e)
	if name == "reserve" {
		o.StartPaymentPeriod(time.Hour)
	}
}

func anyPayment(r *rapid.T) PaymentChange {
	return PaymentChange{
		Event: rapid.SampledFrom([]EventType{
			EventAuthorized, EventCaptured, EventVoided, EventDeclined, EventRefundRequested, EventRefunded, EventRefundFailed,
		}).Draw(r, "payment"),
		Amount: rapid.Int64Range(0, 1000).Draw(r, "amount"), Refunding: rapid.Int64Range(0, 1000).Draw(r, "refunding"),
		FailedRefunds: rapid.IntRange(0, 1).Draw(r, "failed"), Code: "no", Detail: "No.",
	}
}

func sorted(decisions map[string]func() (Event, error)) (names []string) {
	for name := range decisions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A hole in the versions is an error, not a state.
func TestFoldRefusesAHole(t *testing.T) {
	t.Parallel()
	o := Load(State{}, Deadlines{}, identity.System, time.UnixMilli(0))
	o.Record(Place(Terms{}), o.ReportLate("a"), o.ReportLate("b"))

	_, err := Fold([]Event{o.Recorded[0], o.Recorded[2]})

	if err == nil {
		t.Error("folded")
	}
}

// D4: the dead letters of a stalled order are closed in the words of the event that
// ended the stall.
func TestResolution_D4(t *testing.T) {
	t.Parallel()
	reason := "done by hand"
	stalled := State{Status: Shipped, Stalled: StepCapture, Payment: PaymentState{Status: PaymentAuthorized}}
	for want, e := range map[Resolution]Event{
		{How: "retried"}:                  stalled.RetryStep(StepCapture, 0),
		{How: "skipped", Reason: &reason}: stalled.SkipStep(StepCapture, &reason),
		{How: "superseded"}:               stalled.RecordPayment(PaymentChange{Event: EventCaptured}),
	} {
		o := Load(stalled, Deadlines{}, identity.System, time.UnixMilli(0))

		o.Record(e)

		if o.Resolved == nil || *o.Resolved != want || o.Stalled != "" {
			t.Errorf("%s: %+v, stalled at %q", e.Type, o.Resolved, o.Stalled)
		}
	}
}
