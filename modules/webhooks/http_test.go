package webhooks

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC E8: endpoints from their creation to their end. The secret is seen once.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	const url = "http://127.0.0.1:9999/in"

	a := n.want(201, h.alice, "POST /v1/webhooks", `{"url":"`+url+`","description":"mine","types":["order.shipped","order.created","order.shipped"]}`)
	id := a.text("id")
	if a.header.Get("Location") != "/v1/webhooks/"+id || !strings.HasPrefix(a.text("secret"), "whsec_") || a.text("userId") != h.alice.UserID.String() ||
		a.text("ordering") != "none" || a.body["enabled"] != true || fmt.Sprint(a.body["types"]) != "[order.created order.shipped]" {
		t.Errorf("%s", a.raw)
	}
	same := n.want(200, h.alice, "GET /v1/webhooks/"+id, "")
	if _, shown := same.body["secret"]; shown || same.text("url") != url || same.text("description") != "mine" {
		t.Errorf("%s", same.raw)
	}
	off := n.want(200, h.alice, "PATCH /v1/webhooks/"+id, `{"enabled":false,"types":[],"ordering":"order","description":"","url":"`+url+`2"}`)
	if off.text("disabledReason") != byHand || off.body["disabledAt"] == nil || fmt.Sprint(off.body["types"]) != "[]" || off.text("ordering") != "order" || off.text("url") != url+"2" {
		t.Errorf("%s", off.raw)
	}
	on := n.want(200, h.alice, "PATCH /v1/webhooks/"+id, `{"enabled":true}`)
	if on.body["disabledReason"] != nil || on.body["disabledAt"] != nil || on.text("ordering") != "order" {
		t.Errorf("%s", on.raw)
	}
	of := n.want(201, h.admin, "POST /v1/webhooks", `{"url":"`+url+`","enabled":false}`)
	if of.body["userId"] != nil || of.text("disabledReason") != byHand {
		t.Errorf("%s", of.raw)
	}
	n.want(204, h.alice, "DELETE /v1/webhooks/"+id, "")
	n.want(404, h.alice, "GET /v1/webhooks/"+id, "")
	n.want(404, h.alice, "DELETE /v1/webhooks/"+id, "")
}

// Everything that is wrong is named at once.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	id, _ := n.hook(h.alice, "http://127.0.0.1:9999", "")
	for _, row := range []struct {
		who            identity.Caller
		what, body     string
		status         int
		pointers, code string
	}{
		{h.alice, "POST /v1/webhooks", `{"url":"http://10.0.0.1","types":["order.created","order.eaten"]}`, 422, "/url /types/1", "invalid"},
		{h.alice, "POST /v1/webhooks", `{"url":"http://127.0.0.1:9999","types":["order.eaten"]}`, 422, "/types/0", "invalid"},
		{h.alice, "POST /v1/webhooks", `{}`, 422, "/url", "invalid"},
		{h.alice, "POST /v1/webhooks", `{"url":"http://127.0.0.1:9999","ordering":"all","secret":"x"}`, 422, "/ordering /secret", "invalid"},
		{h.alice, "POST /v1/webhooks", `{"url":"http://127.0.0.1:9999","userId":"` + h.bob.UserID.String() + `"}`, 403, "", "forbidden"},
		{h.admin, "POST /v1/webhooks", `{"url":"http://127.0.0.1:9999","userId":"` + uuid.NewString() + `"}`, 422, "/userId", "invalid"},
		{h.alice, "PATCH /v1/webhooks/" + id, `{"url":"http://169.254.169.254/","types":["x"]}`, 422, "/url /types/0", "invalid"},
		{h.alice, "PATCH /v1/webhooks/" + id, `{"types":["x"]}`, 422, "/types/0", "invalid"},
		{h.alice, "PATCH /v1/webhooks/" + id, `{"userId":null}`, 422, "/userId", "invalid"},
		{h.alice, "POST /v1/webhooks/" + id + "/replays", `{}`, 422, "/from", "invalid"},
		{h.alice, "POST /v1/webhooks/" + id + "/replays", `{"from":3,"to":2}`, 422, "/to", "invalid"},
		{h.alice, "POST /v1/webhooks/" + id + "/replays", `{"from":3,"since":"2026-01-01T00:00:00Z"}`, 422, "/since", "invalid"},
		{h.alice, "POST /v1/webhooks/" + id + "/replays", `{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`, 422, "/until", "invalid"},
		{h.alice, "POST /v1/webhooks/" + id + "/replays", `{"from":1,"rate":101,"status":["pending"]}`, 422, "/rate /status/0", "invalid"},
		{h.alice, "GET /v1/webhooks/" + id + "/deliveries?status=lost", "", 400, "/query/status", "malformed"},
		{h.alice, "GET /v1/webhooks/" + id + "/deliveries?cursor=x", "", 400, "/query/cursor", "malformed"},
		{h.alice, "GET /v1/webhooks/" + id + "/deliveries/0", "", 400, "/path/number", "malformed"},
		{h.alice, "GET /v1/webhooks/" + id + "/deliveries/1", "", 404, "", "not-found"},
		{h.alice, "POST /v1/webhooks/" + id + "/deliveries/1/resend", "", 404, "", "not-found"},
		{h.alice, "GET /v1/webhooks/" + id + "/replays/" + uuid.NewString(), "", 404, "", "not-found"},
		{h.alice, "POST /v1/webhooks/" + id + "/replays/" + uuid.NewString() + "/cancel", "", 404, "", "not-found"},
		// Others' are not there, to administrators either.
		{h.bob, "GET /v1/webhooks/" + id, "", 404, "", "not-found"},
		{h.admin, "GET /v1/webhooks/" + id, "", 404, "", "not-found"},
		{h.bob, "PATCH /v1/webhooks/" + id, `{"enabled":false}`, 404, "", "not-found"},
		{h.bob, "DELETE /v1/webhooks/" + id, "", 404, "", "not-found"},
		{h.bob, "POST /v1/webhooks/" + id + "/rotate-secret", "", 404, "", "not-found"},
		{h.bob, "POST /v1/webhooks/" + id + "/test", "", 404, "", "not-found"},
		{h.bob, "GET /v1/webhooks/" + id + "/deliveries", "", 404, "", "not-found"},
		{h.bob, "GET /v1/webhooks/" + id + "/replays", "", 404, "", "not-found"},
		{h.bob, "POST /v1/webhooks/" + id + "/replays", `{"from":1}`, 404, "", "not-found"},
	} {
		a := n.ask(row.who, row.what, row.body)
		var problem struct {
			Code   string
			Errors []struct{ Pointer string }
		}
		_ = json.Unmarshal([]byte(a.raw), &problem)
		var pointers []string
		for _, e := range problem.Errors {
			pointers = append(pointers, e.Pointer)
		}
		if a.status != row.status || problem.Code != row.code || strings.Join(pointers, " ") != row.pointers {
			t.Errorf("%s %s: %d %s", row.what, row.body, a.status, a.raw)
		}
	}
	if w := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); w.body["enabled"] != true {
		t.Errorf("%s", w.raw)
	}
}

// Fifty are enough for one account, however many ask at once.
func TestTooMany(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	h.exec(`insert into webhooks (id, owner_id, user_id, url, types, ordering, secret, created_at, updated_at)
		select gen_random_uuid(), $1, $1, 'https://example.com', '[]', 'none', '\x00', now(), now() from generate_series(1, 48)`, h.alice.UserID)

	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if a := n.ask(h.alice, "POST /v1/webhooks", `{"url":"http://127.0.0.1:9999"}`); a.status != 201 && a.text("code") != "too-many-webhooks" {
				t.Errorf("%d %s", a.status, a.raw)
			}
		})
	}
	all.Wait()

	if got := h.count(`select count(*) from webhooks where owner_id = $1`, h.alice.UserID); got != 50 {
		t.Errorf("%d webhooks", got)
	}
	n.want(201, h.bob, "POST /v1/webhooks", `{"url":"http://127.0.0.1:9999"}`)

	seen, cursor := map[string]bool{}, ""
	for {
		a := n.want(200, h.alice, "GET /v1/webhooks?limit=20"+cursor, "")
		for _, w := range a.body["data"].([]any) {
			seen[w.(map[string]any)["id"].(string)] = true
		}
		if a.body["nextCursor"] == nil {
			break
		}
		cursor = "&cursor=" + a.text("nextCursor")
	}
	if len(seen) != 50 {
		t.Errorf("walked over %d", len(seen))
	}
}

// The log of deliveries: walked, and narrowed by status, type and order.
func TestLog(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	id, _ := n.hook(h.alice, "http://127.0.0.1:9999", `,"enabled":false`)
	order := uuid.New()
	h.happens(h.alice, uuid.New(), "order.created", "order.confirmed")
	h.happens(h.alice, order, "order.created", "order.confirmed", "order.shipped")
	h.happens(h.alice, uuid.New(), "order.created")
	h.fanOut(n, h.page())
	h.exec(`update webhook_deliveries set status = 'delivered' where number in (2, 5)`)

	walk := func(query string) (numbers string) {
		cursor := ""
		for {
			a := n.want(200, h.alice, "GET /v1/webhooks/"+id+"/deliveries?limit=2"+query+cursor, "")
			for _, d := range a.body["data"].([]any) {
				numbers += fmt.Sprint(d.(map[string]any)["number"], " ")
			}
			if a.body["nextCursor"] == nil {
				return numbers
			}
			cursor = "&cursor=" + a.text("nextCursor")
		}
	}
	for query, want := range map[string]string{
		"": "6 5 4 3 2 1 ", "&status=held": "6 4 3 1 ", "&status=held&status=delivered": "6 5 4 3 2 1 ", "&status=delivered&type=order.shipped": "5 ",
		"&type=order.created": "6 3 1 ", "&orderId=" + order.String(): "5 4 3 ", "&orderId=" + order.String() + "&type=order.confirmed": "4 ", "&status=failed": "",
	} {
		if got := walk(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// A test tells at once what came of it, has no number, and does not need the endpoint
// to be enabled.
func TestPing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	r := receive(t, func(received) reply { return reply{status: 418, body: "short and stout"} })
	id, secret := n.hook(h.alice, r.URL, `,"enabled":false`)

	a := n.want(200, h.alice, "POST /v1/webhooks/"+id+"/test", "")
	in := r.next()

	verified(t, secret, in)
	if in.Type != TestType || in.Subject.String() != id || in.DeliveryNumber != 0 || in.header.Get("webhook-id") != a.text("messageId") {
		t.Errorf("sent %s", in.raw)
	}
	if a.body["delivered"] != false || a.num("statusCode") != 418 || a.text("answer") != "short and stout" {
		t.Errorf("%s", a.raw)
	}
	r.Close()
	if a := n.want(200, h.alice, "POST /v1/webhooks/"+id+"/test", ""); a.body["statusCode"] != nil || a.text("error") != noResponse {
		t.Errorf("%s", a.raw)
	}
}
