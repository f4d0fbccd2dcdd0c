package orders_test

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments/simulated"
)

// page is a list on its way in.
type page[T any] struct {
	Data       []T
	NextCursor *string
}

// graveyard has two orders that gave up at each step but process.
func graveyard(t *testing.T) (*front, map[string][]uuid.UUID) {
	t.Helper()
	out := &outage{}
	f := open(t, scripted(t, simulated.Options{Script: out.script}))
	f.products(map[string]int64{"A": 100})
	dead := map[string][]uuid.UUID{}
	for _, step := range []string{"capture", "void", "refund", "authorize"} {
		for range 2 {
			out.call = ""
			o := f.upTo(step)
			out.call = step
			f.settle()
			dead[step] = append(dead[step], o.ID)
		}
	}
	for range 2 {
		o := f.place(f.alice, basket("A", 1))
		f.giveUp(o.ID)
		dead["reserve"] = append(dead["reserve"], o.ID)
	}
	out.over.Store(true)
	return f, dead
}

func (f *front) list(t *testing.T, query string) (ids []uuid.UUID) {
	t.Helper()
	var p page[orders.DeadLetter]
	f.reply("admin", "GET /v1/dead-letters?limit=100&"+query, "").into(t, &p)
	for _, l := range p.Data {
		ids = append(ids, l.OrderID)
	}
	return ids
}

// D4: dead letters by step, by order and by whether they are resolved, in
// pages that show each one once, oldest first.
func TestDeadLettersAreListed(t *testing.T) {
	t.Parallel()
	f, dead := graveyard(t)

	for step, ids := range dead {
		if got := f.list(t, "step="+step); !slices.Equal(got, ids) {
			t.Errorf("%s lists %v, want %v", step, got, ids)
		}
		if got := f.list(t, "orderId="+ids[1].String()); !slices.Equal(got, ids[1:]) {
			t.Errorf("%s lists %v, want %v", ids[1], got, ids[1:])
		}
	}
	if got := f.list(t, "step=process"); len(got) != 0 {
		t.Errorf("process lists %v", got)
	}
	f.must(f.resolve(dead["void"][0], "retry"))
	if open, done := f.list(t, "step=void"), f.list(t, "resolved=true"); !slices.Equal(open, dead["void"][1:]) || !slices.Equal(done, dead["void"][:1]) {
		t.Errorf("open %v, resolved %v", open, done)
	}

	var walked []uuid.UUID
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		var p page[orders.DeadLetter]
		f.reply("admin", "GET /v1/dead-letters?limit=4&cursor="+url.QueryEscape(cursor), "").into(t, &p)
		for _, l := range p.Data {
			walked = append(walked, l.ID)
		}
		if cursor = ""; p.NextCursor != nil {
			cursor = *p.NextCursor
		}
	}
	if len(walked) != 9 || len(slices.Compact(slices.Clone(walked))) != 9 || !slices.IsSortedFunc(walked, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) }) {
		t.Errorf("the walk shows %v", walked)
	}
	one := f.reply("admin", "GET /v1/dead-letters/"+walked[0].String(), "")
	if one.status != 200 || !strings.Contains(string(one.body), `"id":"`+walked[0].String()+`"`) {
		t.Errorf("one is %d %s", one.status, one.body)
	}
}

// D4, C3, F6: what the routes refuse, and that a key makes an act happen once.
func TestDeadLetterRoutes(t *testing.T) {
	t.Parallel()
	f, dead := graveyard(t)
	letter := "/v1/dead-letters/" + f.letterOf(dead["capture"][0]).ID.String()
	absent := "/v1/dead-letters/" + uuid.NewString()
	for _, row := range []struct {
		what, body string
		status     int
		code       string
	}{
		{"GET " + absent, "", 404, "not-found"},
		{"POST " + absent + "/retry", "", 404, "not-found"},
		{"POST " + letter + "/bury", "", 404, "not-found"},
		{"POST " + letter + "/skip", "", 422, "invalid"},
		{"POST " + letter + "/skip", `{"reason":""}`, 422, "invalid"},
		{"POST " + letter + "/cancel", "", 409, "illegal-transition"},
		{"GET /v1/dead-letters?step=No_Step", "", 400, "malformed"},
		{"GET /v1/dead-letters?cursor=x", "", 400, "malformed"},
		{"GET /v1/dead-letters?limit=0", "", 400, "malformed"},
		{"POST /v1/dead-letters/bulk", `{"action":"skip","filter":{}}`, 422, "invalid"},
		{"POST /v1/dead-letters/bulk", `{"action":"nap","filter":{}}`, 422, "invalid"},
	} {
		if got := f.reply("admin", row.what, row.body); got.status != row.status || got.code() != row.code {
			t.Errorf("%s %s is answered %d %s, want %d %s", row.what, row.body, got.status, got.body, row.status, row.code)
		}
		if got := f.reply("alice", row.what, row.body); got.status != 403 && got.status != 404 {
			t.Errorf("%s by a customer is answered %d", row.what, got.status)
		}
	}

	for _, act := range []struct{ step, how, body string }{
		{"capture", "retry", ""}, {"void", "skip", `{"reason":"because"}`}, {"refund", "retry", `{"reason":"because"}`}, {"authorize", "retry", ""},
	} {
		id := dead[act.step][1]
		what := "POST /v1/dead-letters/" + f.letterOf(id).ID.String() + "/" + act.how
		first := f.reply("admin", what, act.body, "Idempotency-Key: k")
		again := f.reply("admin", what, act.body, "Idempotency-Key: k")
		other := f.reply("admin", what, act.body)

		if first.status != 200 || again.status != 200 || !bytes.Equal(again.body, first.body) || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %s, then %d %s", what, first.status, first.body, again.status, again.body)
		}
		if other.code() != "resolved" {
			t.Errorf("%s without the key: %d %s", what, other.status, other.body)
		}
	}
	f.settle()
	f.audit(t)
}

// D4: many at once: a dry run tells and does nothing, a refusal of one is no refusal
// of the others, and doing it again meets nothing.
func TestDeadLettersInBulk(t *testing.T) {
	t.Parallel()
	f, dead := graveyard(t)
	bulk := func(body string) (list []orders.DeadLetterResult) {
		var p page[orders.DeadLetterResult]
		f.reply("admin", "POST /v1/dead-letters/bulk", body).into(t, &p)
		return p.Data
	}
	done := func(list []orders.DeadLetterResult) (n int) {
		for _, r := range list {
			if r.Done != (r.Code == nil) {
				t.Errorf("result %+v", r)
			}
			if r.Done {
				n++
			}
		}
		return n
	}
	events := f.count(`select count(*) from events`)

	dry := bulk(`{"action":"cancel","filter":{},"dryRun":true}`)
	if n := f.count(`select count(*) from events`); len(dry) != 10 || dry[0].Done || n != events {
		t.Errorf("a dry run of %d did something: %+v", len(dry), dry)
	}
	if none := bulk(`{"action":"cancel","filter":{"step":"refund"}}`); len(none) != 2 || done(none) != 0 || *none[0].Code != "illegal-transition" {
		t.Errorf("refunds cancelled: %+v", none)
	}
	byError := bulk(`{"action":"retry","filter":{"error":"capture order"}}`)
	if len(byError) != 2 || done(byError) != 2 {
		t.Errorf("by error: %+v", byError)
	}
	byID := bulk(fmt.Sprintf(`{"action":"skip","filter":{"ids":[%q,%q],"step":"void"},"reason":"because"}`,
		f.letterOf(dead["void"][0]).ID, f.letterOf(dead["authorize"][0]).ID))
	if len(byID) != 1 || done(byID) != 1 || byID[0].OrderID != dead["void"][0] {
		t.Errorf("by id and step: %+v", byID)
	}
	byOrder := bulk(fmt.Sprintf(`{"action":"retry","filter":{"orderIds":[%q]}}`, dead["reserve"][0]))
	if len(byOrder) != 1 || done(byOrder) != 1 || byOrder[0].Step != "reserve" {
		t.Errorf("by order: %+v", byOrder)
	}
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	if none := bulk(fmt.Sprintf(`{"action":"retry","filter":{"createdTo":%q}}`, past)); len(none) != 0 {
		t.Errorf("from an hour ago: %+v", none)
	}

	// One of the rest cannot be retried: its money is still to be let go.
	stuck := f.place(f.alice, basket("A", 1)).ID
	f.inFlight(stuck, "authorize", false, func() {
		f.giveUp(stuck)
		rest := bulk(fmt.Sprintf(`{"action":"retry","filter":{"createdFrom":%q}}`, past))
		if len(rest) != 7 || done(rest) != 6 || *rest[6].Code != "payment-unsettled" {
			t.Errorf("the rest: %+v", rest)
		}
	})
	f.settle()
	if again := bulk(`{"action":"retry","filter":{}}`); len(again) != 1 || done(again) != 1 || again[0].OrderID != stuck {
		t.Errorf("again: %+v", again)
	}
	f.settle()
	if left := f.list(t, ""); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	for _, id := range append(dead["capture"], dead["authorize"]...) {
		if _, actor, _ := f.last(id); actor != "system" || f.get(id).Stalled != nil {
			t.Errorf("order %+v", f.get(id))
		}
	}
	if n := f.count(`select count(*) from dead_letters where resolved_by = $1`, string(f.admin.Actor())); n != 11 {
		t.Errorf("%d were dealt with by the administrator", n)
	}
	f.audit(t)
}

// A call with little time left tells what it has done, rather than fail in the middle.
func TestDeadLettersInBulkOutOfTime(t *testing.T) {
	t.Parallel()
	f, _ := graveyard(t)
	var p page[orders.DeadLetterResult]

	f.reply("admin", "POST /v1/dead-letters/bulk", `{"action":"retry","filter":{}}`, "Test-Within: 1990ms").into(t, &p)

	if len(p.Data) != 0 {
		t.Errorf("%+v", p.Data)
	}
}
