package webhooks

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/uuidv7"
)

// SPEC E8: one is sent again under its number and webhook-id, at once.
func TestResend(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.policy.waits = []time.Duration{time.Hour} })
	r := receive(t, nil)
	id, secret := n.hook(h.alice, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	first := r.next()
	n.becomes(h.alice, id, 1, delivered)
	resend := fmt.Sprintf("POST /v1/webhooks/%s/deliveries/1/resend", id)
	r.plays(func(received) reply { return reply{status: 500} })

	a := n.want(202, h.alice, resend, "", "Idempotency-Key: again")
	again := r.next()
	b := n.want(202, h.alice, resend, "", "Idempotency-Key: again")

	verified(t, secret, again)
	if again.header.Get("webhook-id") != first.header.Get("webhook-id") || !bytes.Equal(again.raw, first.raw) || again.DeliveryNumber != 1 {
		t.Errorf("sent %v %s", again.header, again.raw)
	}
	if a.text("status") != pending || a.num("tries") != 0 || b.raw != a.raw || b.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s, then %s", a.raw, b.raw)
	}
	until(t, "the failure to be noted", func() bool {
		return n.ask(h.alice, fmt.Sprintf("GET /v1/webhooks/%s/deliveries/1", id), "").num("tries") == 1
	})
	if c := n.want(409, h.alice, resend, ""); c.text("code") != "delivery-under-way" {
		t.Errorf("%s", c.raw)
	}
	r.quiet()
}

// SPEC E8: a replayRange is sent again, a few every second, with its old numbers and ids;
// its progress can be read.
func TestReplay(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.policy.slice = 50 * time.Millisecond })
	r := receive(t, nil)
	id, _ := n.hook(h.alice, r.URL, `,"ordering":"order"`)
	order := uuid.New()
	for range 6 {
		n.happens(h.alice, order, "order.created", "order.confirmed")
	}
	ids := map[int64]string{}
	for _, in := range r.take(12) {
		ids[in.DeliveryNumber] = in.header.Get("webhook-id")
	}
	n.becomes(h.alice, id, 12, delivered)

	begin := time.Now()
	a := n.want(202, h.alice, "POST /v1/webhooks/"+id+"/replays", `{"from":2,"to":11,"types":["order.confirmed"],"rate":20}`, "Idempotency-Key: x")
	b := n.want(202, h.alice, "POST /v1/webhooks/"+id+"/replays", `{"from":2,"to":11,"types":["order.confirmed"],"rate":20}`, "Idempotency-Key: x")
	n.want(409, h.alice, "POST /v1/webhooks/"+id+"/replays", `{"from":1}`)
	var got []int64
	for _, in := range r.take(5) {
		got = append(got, in.DeliveryNumber)
		if ids[in.DeliveryNumber] != in.header.Get("webhook-id") {
			t.Errorf("number %d has another id", in.DeliveryNumber)
		}
	}
	took := time.Since(begin)

	if fmt.Sprint(got) != "[2 4 6 8 10]" || took < 200*time.Millisecond {
		t.Errorf("sent %v in %s", got, took)
	}
	if a.header.Get("Location") != "/v1/webhooks/"+id+"/replays/"+a.text("id") || b.text("id") != a.text("id") {
		t.Errorf("%v, %s", a.header, b.raw)
	}
	var end answer
	until(t, "the replay to be done", func() bool {
		end = n.want(200, h.alice, "GET "+a.header.Get("Location"), "")
		return end.text("status") == "done"
	})
	if end.num("sent") != 5 || end.num("position") != 11 || end.body["finishedAt"] == nil {
		t.Errorf("%s", end.raw)
	}
	r.quiet()
}

// A replay by times, of what was held, goes on after a lost job, and can be cancelled.
func TestReplayOfWhatWasHeld(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, nil)
	idle := h.idle(func(m *Module) { m.policy.slice = 20 * time.Millisecond })
	id, _ := idle.hook(h.alice, r.URL, `,"enabled":false`)
	for range 5 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.fanOut(idle, h.page())
	h.exec(`update webhook_deliveries set created_at = now() - interval '1 hour' where number <= 2`)
	h.exec(`update webhook_deliveries set status = 'delivered' where number = 4`)
	idle.want(200, h.alice, "PATCH /v1/webhooks/"+id, `{"enabled":true}`)
	since := time.Now().Add(-30 * time.Minute).UTC().Format(time.RFC3339)
	a := idle.want(202, h.alice, "POST /v1/webhooks/"+id+"/replays", fmt.Sprintf(`{"since":%q,"status":["held"],"rate":100}`, since))
	if a.num("from") != 3 || a.num("to") != 5 || a.text("status") != "running" {
		t.Errorf("%s", a.raw)
	}
	h.exec(`delete from river_job`)
	h.exec(`update webhook_replays set due_at = now() - interval '2 minutes'`)
	h.must(idle.SweepOnce(t.Context()))

	h.node(func(m *Module) { m.policy.slice = 20 * time.Millisecond })
	got := []int64{r.next().DeliveryNumber, r.next().DeliveryNumber}

	slices.Sort(got)
	if fmt.Sprint(got) != "[3 5]" {
		t.Errorf("sent %v", got)
	}
	until(t, "the replay to be done", func() bool {
		return idle.want(200, h.alice, "GET "+a.header.Get("Location"), "").text("status") == "done"
	})
	b := idle.want(202, h.alice, "POST /v1/webhooks/"+id+"/replays", `{"until":"2020-01-01T00:00:00Z"}`)
	until(t, "nothing to be replayed", func() bool {
		return idle.want(200, h.alice, "GET "+b.header.Get("Location"), "").text("status") == "done"
	})
	r.quiet()
}

func TestReplayIsCancelledOrStopped(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	id, _ := n.hook(h.alice, "http://127.0.0.1:9999", `,"enabled":false`)
	h.happens(h.alice, uuid.New(), "order.created", "order.confirmed")
	h.fanOut(n, h.page())
	n.want(200, h.alice, "PATCH /v1/webhooks/"+id, `{"enabled":true}`)
	start := func() string {
		return n.want(202, h.alice, "POST /v1/webhooks/"+id+"/replays", `{"from":1,"rate":1}`).header.Get("Location")
	}

	first := start()
	for range 2 { // the second comes early: its job was there twice
		if wait, err := n.sendSlice(t.Context(), uuid.MustParse(first[len(first)-36:])); wait <= 0 || err != nil {
			t.Errorf("goes on in %s, %v", wait, err)
		}
	}
	if got := fmt.Sprint(n.statuses(h.alice, id)); got != "map[1:pending 2:held]" {
		t.Errorf("at one a second: %s", got)
	}
	a := n.want(200, h.alice, "POST "+first+"/cancel", "")
	b := n.want(200, h.alice, "POST "+first+"/cancel", "")
	if a.text("status") != "cancelled" || a.body["finishedAt"] == nil || b.raw != a.raw {
		t.Errorf("%s, %s", a.raw, b.raw)
	}
	if wait, err := n.sendSlice(t.Context(), uuid.MustParse(a.text("id"))); wait != 0 || err != nil {
		t.Errorf("goes on in %s, %v", wait, err)
	}

	second := start()
	n.want(200, h.alice, "PATCH /v1/webhooks/"+id, `{"enabled":false}`)
	replay := uuid.MustParse(second[len(second)-36:])
	if wait, err := n.sendSlice(t.Context(), replay); wait != 0 || err != nil {
		t.Errorf("goes on in %s, %v", wait, err)
	}
	if a := n.want(200, h.alice, "GET "+second, ""); a.text("status") != "stopped" {
		t.Errorf("%s", a.raw)
	}
	if a := n.want(200, h.alice, "GET /v1/webhooks/"+id+"/replays", ""); len(a.body["data"].([]any)) != 2 {
		t.Errorf("%s", a.raw)
	}
	if got := n.statuses(h.alice, id); got[1] != held {
		t.Errorf("%v", got)
	}
}

// SPEC G2: what is old goes, with its tries; so does all of a deleted endpoint.
func TestCleans(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	keep, _ := n.hook(h.alice, "http://127.0.0.1:9999", `,"enabled":false`)
	drop, _ := n.hook(h.alice, "http://127.0.0.1:9999", `,"enabled":false`)
	for range 3 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.fanOut(n, h.page())
	old := uuidv7.First(time.Now().Add(-31 * 24 * time.Hour))
	h.exec(`update webhook_deliveries set id = $1 where webhook_id = $2 and number = 1`, old, keep)
	h.exec(`insert into webhook_attempts (id, delivery_id, at, duration_ms, answer) values ($1, $1, now(), 1, '')`, old)
	n.want(204, h.alice, "DELETE /v1/webhooks/"+drop, "")

	h.must(n.CleanOnce(t.Context()))

	if got := fmt.Sprint(n.statuses(h.alice, keep)); got != "map[2:held 3:held]" {
		t.Errorf("%s", got)
	}
	if left := h.count(`select count(*) from webhook_attempts`) + h.count(`select count(*) from webhooks where id = $1`, drop) +
		h.count(`select count(*) from webhook_deliveries where webhook_id = $1`, drop); left != 0 {
		t.Errorf("%d rows are left", left)
	}
}
