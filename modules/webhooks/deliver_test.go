package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// verified: the official library takes the message.
func verified(t *testing.T, secret string, in received) {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Verify(in.raw, in.header); err != nil {
		t.Errorf("%v: %v", err, in.header)
	}
	changed := append([]byte{' '}, in.raw...)
	if w.Verify(changed, in.header) == nil {
		t.Error("another body passes as well")
	}
}

// SPEC E8: an event of the owner's arrives as on the socket, signed and numbered;
// others' do not arrive at all.
func TestDelivers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r, all := receive(t, nil), receive(t, nil)
	id, secret := n.hook(h.alice, r.URL+"/in?x=1", `,"types":["order.created","order.shipped"]`)
	n.hook(h.admin, all.URL, "")
	order := uuid.New()

	n.happens(h.bob, uuid.New(), "order.created")
	n.happens(h.alice, order, "order.created", "order.confirmed", "order.shipped")
	got := r.take(2)
	slices.SortFunc(got, func(a, b received) int { return int(a.DeliveryNumber - b.DeliveryNumber) })

	for i, in := range got {
		verified(t, secret, in)
		e, err := n.events.Find(t.Context(), order, in.Version)
		if err != nil {
			t.Fatal(err)
		}
		if in.DeliveryNumber != int64(i+1) || fmt.Sprint(in.Message.Message) != fmt.Sprint(e.Message()) {
			t.Errorf("got %s, want number %d and %v", in.raw, i+1, e.Message())
		}
		if id := in.header.Get("webhook-id"); strings.Contains(id, ".") || !strings.HasPrefix(id, "msg_") {
			t.Errorf("webhook-id %q", id)
		}
		if in.header.Get("User-Agent") != "Orderflow/test" || in.header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", in.header)
		}
	}
	if got[0].Type != "order.created" || got[1].Type != "order.shipped" {
		t.Errorf("types %s, %s", got[0].Type, got[1].Type)
	}
	all.take(4)
	a := n.becomes(h.alice, id, 2, delivered)
	if tries := a.body["attempts"].([]any); len(tries) != 1 || a.text("messageId") != got[1].header.Get("webhook-id") || a.body["nextTryAt"] != nil {
		t.Errorf("the log says %s", a.raw)
	}
	r.quiet()
	all.quiet()
}

// SPEC E8, D4: what is not taken is tried again under the same id, with a fresh
// signature, until it is.
func TestRetries(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	answers := []reply{{status: 500, body: "oh\x00no" + strings.Repeat("x", 5000)}, {status: 404}, {status: 302, header: map[string]string{"Location": "/elsewhere"}, body: "secret of the target"}, {status: 204}}
	var mu sync.Mutex
	r := receive(t, func(received) reply {
		mu.Lock()
		defer mu.Unlock()
		next := answers[0]
		answers = answers[1:]
		return next
	})
	id, secret := n.hook(h.alice, r.URL, "")

	n.happens(h.alice, uuid.New(), "order.created")
	got := r.take(4)

	for _, in := range got {
		verified(t, secret, in)
		if in.header.Get("webhook-id") != got[0].header.Get("webhook-id") || !bytes.Equal(in.raw, got[0].raw) {
			t.Errorf("another message: %v %s", in.header, in.raw)
		}
	}
	a := n.becomes(h.alice, id, 1, delivered)
	var said []string
	for _, try := range a.body["attempts"].([]any) {
		try := try.(map[string]any)
		said = append(said, fmt.Sprint(try["statusCode"], " ", try["error"]))
		if answer := try["answer"].(string); len(answer) > keepAnswer+8 || strings.Contains(answer, "\x00") || strings.Contains(answer, "secret") {
			t.Errorf("keeps %d bytes", len(answer))
		}
	}
	want := "[204 <nil> 302 answered with a redirect, which is not followed 404 answered with status 404 500 answered with status 500]"
	if fmt.Sprint(said) != want {
		t.Errorf("the log says %v, want %s", said, want)
	}
	if w := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); w.body["failingSince"] != nil {
		t.Errorf("still failing: %s", w.raw)
	}
	r.quiet()
}

// SPEC E8: out of tries, the endpoint is disabled and says so; what comes then is
// numbered and held, and enabling it sends none of that.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r := receive(t, func(received) reply { return reply{status: 503} })
	id, _ := n.hook(h.alice, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	r.take(4)
	a := n.becomes(h.alice, id, 1, failed)
	if a.num("tries") != 4 {
		t.Errorf("%s", a.raw)
	}
	w := n.want(200, h.alice, "GET /v1/webhooks/"+id, "")
	if w.body["enabled"] != false || w.text("disabledReason") != failing || w.body["disabledAt"] == nil || w.body["failingSince"] == nil {
		t.Errorf("%s", w.raw)
	}
	until(t, "the log to tell it", func() bool { return strings.Contains(n.said.String(), "webhook disabled") }) // after the commit

	n.happens(h.alice, uuid.New(), "order.created", "order.confirmed")
	n.becomes(h.alice, id, 3, held)
	n.want(409, h.alice, "POST /v1/webhooks/"+id+"/deliveries/1/resend", "")
	n.want(409, h.alice, "POST /v1/webhooks/"+id+"/replays", `{"from":1}`)
	r.plays(nil)
	w = n.want(200, h.alice, "PATCH /v1/webhooks/"+id, `{"enabled":true}`)
	n.happens(h.alice, uuid.New(), "order.created")

	if in := r.next(); in.DeliveryNumber != 4 {
		t.Errorf("number %d", in.DeliveryNumber)
	}
	n.becomes(h.alice, id, 4, delivered)
	if got := fmt.Sprint(n.statuses(h.alice, id)); got != "map[1:failed 2:held 3:held 4:delivered]" || w.body["failingSince"] != nil {
		t.Errorf("%s, %s", got, w.raw)
	}
	r.quiet()
}

// An endpoint that takes nothing for days is disabled before any delivery has run
// out of tries, with all that is under way.
func TestFailsForDays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.policy.waits = []time.Duration{time.Hour} })
	r := receive(t, func(received) reply { return reply{status: 500} })
	id, _ := n.hook(h.alice, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	r.next()
	until(t, "the failure to be noted", func() bool { return n.want(200, h.alice, "GET /v1/webhooks/"+id, "").body["failingSince"] != nil })
	h.exec(`update webhooks set failing_since = now() - interval '73 hours'`)

	n.happens(h.alice, uuid.New(), "order.created")

	n.becomes(h.alice, id, 2, failed)
	n.becomes(h.alice, id, 1, held)
	if w := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); w.text("disabledReason") != failing {
		t.Errorf("%s", w.raw)
	}
}

// SPEC E8: 410 is a farewell.
func TestGone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r := receive(t, func(received) reply { return reply{status: 410} })
	id, _ := n.hook(h.alice, r.URL, "")

	n.happens(h.alice, uuid.New(), "order.created")

	n.becomes(h.alice, id, 1, failed)
	if w := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); w.text("disabledReason") != gone || w.body["enabled"] != false {
		t.Errorf("%s", w.raw)
	}
	r.take(1)
	r.quiet()
}

// Retry-After counts when it asks for more than we would wait, and up to a bound.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node(func(m *Module) { m.policy.atMost = 3 * time.Hour })
	r := receive(t, nil)
	id, _ := n.hook(h.alice, r.URL, "")
	for number, row := range []struct {
		status   int
		after    string
		min, max time.Duration
	}{
		{429, "3600", time.Hour, time.Hour},
		{503, time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), 2*time.Hour - time.Minute, 2 * time.Hour},
		{503, "999999", 3 * time.Hour, 3 * time.Hour},
	} {
		r.plays(func(received) reply {
			return reply{status: row.status, header: map[string]string{"Retry-After": row.after}}
		})
		begin := time.Now()
		n.happens(h.alice, uuid.New(), "order.created")
		r.next()

		var due time.Duration
		until(t, "the next try to be planned", func() bool {
			a := n.want(200, h.alice, fmt.Sprintf("GET /v1/webhooks/%s/deliveries/%d", id, number+1), "")
			at, err := time.Parse(time.RFC3339, a.text("nextTryAt"))
			due = at.Sub(begin)
			return err == nil && a.num("tries") == 1
		})

		if due < row.min-time.Second || due > row.max+patience {
			t.Errorf("%d with %s: again in %s", row.status, row.after, due)
		}
	}
}

// The plan is that of Standard Webhooks: three days, ten tries.
func TestPlan(t *testing.T) {
	t.Parallel()
	var all time.Duration
	tries := 1
	for wait, again := usual.wait(tries, 0); again; wait, again = usual.wait(tries, 0) {
		want := usual.waits[tries-1]
		if wait < want*9/10 || wait > want*11/10 {
			t.Errorf("before try %d: %s, about %s", tries+1, wait, want)
		}
		all += want
		tries++
	}
	if tries != 10 || all < 71*time.Hour || all > 73*time.Hour {
		t.Errorf("%d tries in %s", tries, all)
	}
	if wait, _ := usual.wait(1, time.Hour); wait != time.Hour {
		t.Errorf("asked for an hour: %s", wait)
	}
	if tryWithin+settleWithin >= 20*time.Second || usual.claim < 20*time.Second {
		t.Error("a try does not fit into a job")
	}
}

// SPEC E8: a secret signs for the day that its rotation promised, also if the next one is rotated on that day.
func TestRotations_E8(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	id, _ := n.hook(h.alice, receive(t, nil).URL, "")
	signing := func() int {
		row, err := ent.On(n.pool).Webhook.Get(t.Context(), uuid.MustParse(id))
		if err != nil {
			t.Fatal(err)
		}
		earlier, err := n.earlierSecrets(t.Context(), row.ID)
		if err != nil {
			t.Fatal(err)
		}
		var previous []byte
		if row.PreviousSecret != nil {
			previous = *row.PreviousSecret
		}
		return len(secretsOf(row.Secret, previous, row.PreviousUntil, earlier))
	}
	for i := range maxEarlier + 1 {
		n.want(200, h.alice, "POST /v1/webhooks/"+id+"/rotate-secret", "")
		if got := signing(); got != i+2 {
			t.Fatalf("%d secrets sign after %d rotations", got, i+1)
		}
	}
	n.want(409, h.alice, "POST /v1/webhooks/"+id+"/rotate-secret", "")

	h.exec(`update webhook_secrets set until = now()`)
	if got := signing(); got != 2 {
		t.Errorf("%d secrets sign after a day", got)
	}
	n.want(200, h.alice, "POST /v1/webhooks/"+id+"/rotate-secret", "")
	if got := signing(); got != 3 {
		t.Errorf("%d secrets sign", got)
	}
	h.exec(`update webhook_secrets set until = now()`)
	if err := n.CleanOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// SPEC E8: after a rotation both secrets sign for a day, and then the new one alone.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r := receive(t, nil)
	id, first := n.hook(h.alice, r.URL, "")

	a := n.want(200, h.alice, "POST /v1/webhooks/"+id+"/rotate-secret", "")
	second := a.text("secret")
	n.happens(h.alice, uuid.New(), "order.created")
	in := r.next()

	if until, err := time.Parse(time.RFC3339, a.text("previousSecretUntil")); err != nil || time.Until(until) < 23*time.Hour || second == first {
		t.Errorf("%s", a.raw)
	}
	if parts := strings.Split(in.header.Get("webhook-signature"), " "); len(parts) != 2 {
		t.Errorf("signatures %q", parts)
	}
	verified(t, first, in)
	verified(t, second, in)

	h.exec(`update webhooks set previous_until = now()`)
	n.happens(h.alice, uuid.New(), "order.created")
	in = r.next()
	verified(t, second, in)
	if w, _ := standardwebhooks.NewWebhook(first); w.Verify(in.raw, in.header) == nil {
		t.Error("the old secret still signs")
	}
	if w := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); w.body["previousSecretUntil"] != nil || strings.Contains(w.raw, "whsec") {
		t.Errorf("%s", w.raw)
	}
}

// SPEC E8: with ordering, the deliveries of an order are sent in sequence, also after failures;
// those of other orders overtake them.
func TestOrdering(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	var mu sync.Mutex
	busy, failures := map[uuid.UUID]bool{}, map[string]int{}
	r := receive(t, func(in received) reply {
		mu.Lock()
		if busy[in.Subject] {
			t.Errorf("two of order %s at once", in.Subject)
		}
		busy[in.Subject] = true
		id := in.header.Get("webhook-id")
		failures[id]++
		again := failures[id] <= int(in.Version)%3
		mu.Unlock()
		return reply{status: map[bool]int{true: 500, false: 200}[again], after: func() {
			<-time.After(time.Millisecond) // so that they would overlap
			mu.Lock()
			defer mu.Unlock()
			busy[in.Subject] = false
		}}
	})
	id, _ := n.hook(h.alice, r.URL, `,"ordering":"order"`)
	orders := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	for range 3 { // some in one page, some while others are under way
		for _, order := range orders {
			n.happens(h.alice, order, "order.created", "order.confirmed")
		}
	}

	seen := map[uuid.UUID][]int64{}
	until(t, "all to be delivered", func() bool {
		return h.count(`select count(*) from webhook_deliveries where status = 'delivered'`) == 18
	})
	close(r.got)
	for in := range r.got {
		seen[in.Subject] = append(seen[in.Subject], in.Version)
	}

	for order, versions := range seen {
		if !slices.IsSorted(versions) || len(slices.Compact(slices.Clone(versions))) != 6 {
			t.Errorf("order %s: %v", order, versions)
		}
	}
	if len(seen) != 3 || len(n.statuses(h.alice, id)) != 18 {
		t.Errorf("%d orders", len(seen))
	}
}

// SPEC E8, G1: two nodes and many writers: each event once for each endpoint, and no
// hole in any numbering.
func TestNumbersWithTwoNodes(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a, b := h.node(), h.node()
	r, own := receive(t, nil), receive(t, nil)
	a.hook(h.admin, r.URL, "")
	a.hook(h.alice, own.URL, "")

	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			who := []identity.Caller{h.alice, h.bob}[w%2]
			for range 25 {
				h.happens(who, uuid.New(), "order.created", "order.confirmed")
				a.Wake()
				b.Wake()
			}
		})
	}
	writers.Wait()

	numbers := func(list []received) (n []int64) {
		ids := map[string]bool{}
		for _, in := range list {
			n = append(n, in.DeliveryNumber)
			ids[in.header.Get("webhook-id")] = true
		}
		slices.Sort(n)
		if len(ids) != len(list) {
			t.Errorf("%d ids for %d deliveries", len(ids), len(list))
		}
		return n
	}
	for _, row := range []struct {
		r *receiver
		n int
	}{{r, 200}, {own, 100}} {
		got := numbers(row.r.take(row.n))
		if got[0] != 1 || got[row.n-1] != int64(row.n) || len(slices.Compact(got)) != row.n {
			t.Errorf("numbers %v", got)
		}
	}
	r.quiet()
	own.quiet()
}

// SPEC D5: what a worker had claimed when it died is taken up by another one.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, nil)
	n := h.idle()
	id, _ := n.hook(h.alice, r.URL, "")
	h.happens(h.alice, uuid.New(), "order.created")
	list := h.page()
	h.fanOut(n, list)
	// It has claimed the delivery, perhaps even sent it, and is gone; its job is taken
	// for lost, and so is the whole of it.
	h.exec(`update webhook_deliveries set claim = gen_random_uuid(), claimed_until = now() + interval '200 milliseconds'`)
	other := h.node()

	in := r.next()

	other.becomes(h.alice, id, 1, delivered)
	if in.DeliveryNumber != 1 {
		t.Errorf("number %d", in.DeliveryNumber)
	}
	r.quiet()
}

// However many jobs a delivery has, one of them sends it.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	h := setup(t)
	leave := make(chan struct{})
	r := receive(t, func(received) reply { return reply{status: 200, after: func() { <-leave }} })
	n := h.node()
	id, _ := n.hook(h.alice, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	r.next()
	var d delivery
	h.must(h.pool.QueryRow(t.Context(), `select id, webhook_id from webhook_deliveries`).Scan(&d.id, &d.webhook))
	d.status = pending
	h.must(postgres.InTx(t.Context(), h.pool, func(tx pgx.Tx) error { return n.insertJobs(t.Context(), tx, []delivery{d, d, d}, postgres.Now()) }))
	until(t, "the others to have looked", func() bool {
		return h.count(`select count(*) from river_job where (metadata->>'snoozes')::int > 0`) == 3
	})

	close(leave)

	a := n.becomes(h.alice, id, 1, delivered)
	if tries := a.body["attempts"].([]any); len(tries) != 1 {
		t.Errorf("%s", a.raw)
	}
	r.quiet()
}

// What the owner of an endpoint reads of an error names no address of ours.
func TestReasons(t *testing.T) {
	t.Parallel()
	ours := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 43210}
	post := func(err error) error { return &url.Error{Op: "Post", URL: "https://x", Err: err} }
	for _, row := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Source: ours, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, noResponse},
		{post(&net.OpError{Op: "read", Source: ours, Err: os.NewSyscallError("read", syscall.ECONNRESET)}), noResponse},
		{post(context.DeadlineExceeded), noResponse},
		{post(io.EOF), noResponse},
		{post(errors.New(`malformed HTTP response "-ERR unknown command"`)), noResponse},
		{post(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), noResponse},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Server: "10.0.0.2:53", IsNotFound: true}}, "the host has no address"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", Server: "10.0.0.2:53", IsTimeout: true}}, "the host's address could not be looked up"},
		{&net.OpError{Op: "dial", Source: ours, Err: errRefused}, "the address is not a public one"},
		{&net.OpError{Op: "remote error", Source: ours, Err: errors.New("tls: bad certificate")}, "tls: bad certificate"},
		{post(&tls.CertificateVerificationError{Err: errors.New("x509: certificate has expired")}), "tls: failed to verify certificate: x509: certificate has expired"},
	} {
		if got := reason(row.err); got != row.want {
			t.Errorf("%v: %q, want %q", row.err, got, row.want)
		}
	}
}

// SPEC D6: a pending delivery whose job is lost gets a new one, as does one that waits
// for nothing.
func TestSweep(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, nil)
	n := h.idle()
	id, _ := n.hook(h.alice, r.URL, `,"ordering":"order"`)
	h.happens(h.alice, uuid.New(), "order.created", "order.confirmed")
	h.happens(h.alice, uuid.New(), "order.created")
	h.fanOut(n, h.page())
	h.exec(`delete from river_job`)
	h.exec(`update webhook_deliveries set due_at = now() - interval '2 minutes' where number = 3`)
	h.exec(`update webhook_deliveries set status = 'delivered', due_at = null where number = 1`)
	h.must(n.SweepOnce(t.Context()))
	h.must(n.SweepOnce(t.Context()))
	if jobs := h.count(`select count(*) from river_job`); jobs != 2 {
		t.Errorf("%d jobs", jobs)
	}

	other := h.node()

	r.take(2)
	other.becomes(h.alice, id, 2, delivered)
	other.becomes(h.alice, id, 3, delivered)
	r.quiet()
}

// A stopping node gives back what it has not finished, and counts no try (SPEC D5).
func TestStopCountsNoTry(t *testing.T) {
	t.Parallel()
	h := setup(t)
	leave := make(chan struct{})
	r := receive(t, func(received) reply { return reply{status: 200, after: func() { <-leave }} })
	defer close(leave)
	n := h.node()
	id, _ := n.hook(h.alice, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	r.next()

	n.stop()
	r.plays(nil)
	other := h.node()

	r.next()
	a := other.becomes(h.alice, id, 1, delivered)
	if len(a.body["attempts"].([]any)) != 1 {
		t.Errorf("%s", a.raw)
	}
}

// Who does not answer in time has not taken it.
func TestTimeout(t *testing.T) {
	t.Parallel()
	h := setup(t)
	leave := make(chan struct{})
	r := receive(t, func(received) reply { return reply{status: 200, after: func() { <-leave }} })
	defer close(leave)
	n := h.node(func(m *Module) {
		m.policy.waits = []time.Duration{time.Hour}
		m.sender.client.Timeout = 100 * time.Millisecond
	})
	id, _ := n.hook(h.alice, r.URL, "")

	n.happens(h.alice, uuid.New(), "order.created")

	var a answer
	until(t, "a try", func() bool {
		a = n.ask(h.alice, "GET /v1/webhooks/"+id+"/deliveries/1", "")
		return a.num("tries") == 1
	})
	if try := a.body["attempts"].([]any)[0].(map[string]any); try["error"] != noResponse || try["statusCode"] != nil {
		t.Errorf("%s", a.raw)
	}
}

// A slow receiver gets no more than its share of the slots, and does not keep the
// deliveries of others waiting.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	h := setup(t)
	leave := make(chan struct{})
	slow := receive(t, func(received) reply { return reply{status: 200, after: func() { <-leave }} })
	quick := receive(t, nil)
	n := h.node(func(m *Module) {
		m.shares = newShares(16, 8, 4)
		m.sender.client.Timeout = patience // no try ends before leave is closed
	})
	n.hook(h.alice, slow.URL, "")
	n.hook(h.bob, quick.URL, "")
	for range 20 { // more than there are slots
		h.happens(h.alice, uuid.New(), "order.created")
	}
	n.Wake()
	slow.take(4)

	n.happens(h.bob, uuid.New(), "order.created")
	quick.next()

	if more := len(slow.got); more > 0 {
		t.Errorf("there were %d tries at once to the slow one", 4+more)
	}
	close(leave)
	slow.take(16)
	until(t, "all to be taken", func() bool {
		return h.count(`select count(*) from webhook_deliveries where status = 'delivered'`) == 21
	})
}

// Fan-out and the end of a delivery cannot miss each other: what is written down as
// waiting while the one before it ends is released by the transaction that commits last.
func TestOrderingWhileFanningOut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	leave := make(chan struct{})
	r := receive(t, func(in received) reply { return reply{status: 200, after: func() { <-leave }} })
	n := h.node()
	id, _ := n.hook(h.alice, r.URL, `,"ordering":"order"`)
	order := uuid.New()
	n.happens(h.alice, order, "order.created")
	r.next()

	tx, err := h.pool.Begin(t.Context())
	h.must(err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), `select from event_readers where name = 'webhooks' for update`)
	h.must(err)
	h.happens(h.alice, order, "order.confirmed")
	second, err := n.events.Find(t.Context(), order, 2)
	h.must(err)
	h.must(n.fanOut(t.Context(), tx, []events.Event{second}))
	_, err = tx.Exec(t.Context(), `update event_readers set xid = $1, seq = $2 where name = 'webhooks'`, second.Cursor.Xid, second.Cursor.Seq)
	h.must(err)
	close(leave)
	until(t, "the first to be settled, or to wait", func() bool {
		return h.count(`select count(*) from webhook_deliveries where status = 'delivered'`)+
			h.count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%for share%'`) > 0
	})
	h.must(tx.Commit(t.Context()))

	if in := r.next(); in.DeliveryNumber != 2 {
		t.Errorf("number %d", in.DeliveryNumber)
	}
	n.becomes(h.alice, id, 2, delivered)
}
