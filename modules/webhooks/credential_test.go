package webhooks

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

var hooks = []identity.Scope{identity.WebhooksRead, identity.WebhooksWrite, identity.EventsRead}

// SPEC A8: a key needs the scopes of what a webhook carries, to make one, to choose who
// gets what, to enable, and to have anything sent; a session needs none.
func TestKeysNeedWhatTheyCarry(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	r := receive(t, nil)
	id, _ := n.hook(h.admin, r.URL, "")
	h.exec(`insert into webhook_deliveries (id, webhook_id, number, order_id, version, user_id, type, status, created_at)
		values (gen_random_uuid(), $1, 1, gen_random_uuid(), 1, $2, 'order.created', 'held', now())`, id, h.admin.UserID)
	h.exec(`update webhooks set last_number = 1 where id = $1`, id)
	weak, strong := h.keyOf(h.admin, identity.WebhooksRead, identity.WebhooksWrite), h.keyOf(h.admin, hooks...)
	one := "/v1/webhooks/" + id
	rows := []struct {
		what, body string
		carries    bool
		status     int // for who may
	}{
		{"POST /v1/webhooks", fmt.Sprintf(`{"url":%q}`, r.URL), true, 201},
		{"POST /v1/webhooks", fmt.Sprintf(`{"url":%q,"enabled":false}`, r.URL), true, 201},
		{"PATCH " + one, fmt.Sprintf(`{"url":%q}`, r.URL+"/other"), true, 200},
		{"PATCH " + one, `{"types":[]}`, true, 200},
		{"PATCH " + one, `{"enabled":true}`, true, 200},
		{"POST " + one + "/test", "", true, 200},
		{"POST " + one + "/deliveries/1/resend", "", true, 202},
		{"POST " + one + "/replays", `{"from":1}`, true, 202},
		{"PATCH " + one, `{"description":"mine"}`, false, 200},
		{"POST " + one + "/rotate-secret", "", false, 200},
		{"GET " + one + "/deliveries", "", false, 200},
		{"PATCH " + one, `{"enabled":false}`, false, 200},
		{"DELETE " + one, "", false, 204},
	}
	for _, row := range rows {
		if !row.carries {
			n.want(row.status, weak, row.what, row.body)
			continue
		}
		a := n.ask(weak, row.what, row.body)
		if a.status != 403 || a.text("code") != "scope-missing" || a.text("scope") != "events:read" {
			t.Errorf("%s %s: %d %s", row.what, row.body, a.status, a.raw)
		}
		n.want(row.status, strong, row.what, row.body)
	}
}

// SPEC A5, A8: what a key made ends with the key, whichever way that goes, and at once: what
// is new is numbered and held, what was queued is held, and the API says why.
func TestWebhooksEndWithTheirKey(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(h *bundle, key identity.Caller){
		"revoked": func(h *bundle, key identity.Caller) { h.people.may(key.KeyID) },
		"narrowed": func(h *bundle, key identity.Caller) {
			h.people.may(key.KeyID, identity.WebhooksRead, identity.WebhooksWrite)
		},
		"deactivated": func(h *bundle, key identity.Caller) { h.people.becomes(key.UserID, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			n := h.node(func(m *Module) { m.policy.waits = []time.Duration{2 * time.Second} })
			r := receive(t, func(received) reply { return reply{status: 500} })
			root := h.account(identity.Admin)
			key := h.keyOf(root, hooks...)
			id, _ := n.hook(key, r.URL, "")
			if a := n.want(200, root, "GET /v1/webhooks/"+id, ""); a.text("createdByKeyId") != key.KeyID.String() {
				t.Errorf("%s", a.raw)
			}
			n.happens(h.alice, uuid.New(), "order.created")
			r.take(1) // refused: it will be tried again

			end(h, key)
			n.becomes(root, id, 1, held)
			h.people.becomes(root.UserID, identity.Admin)
			n.happens(h.alice, uuid.New(), "order.created")
			n.becomes(root, id, 2, held)

			a := n.want(200, root, "GET /v1/webhooks/"+id, "")
			if a.body["enabled"] != false || a.text("disabledReason") != "credential" || a.text("disabledAt") == "" {
				t.Errorf("%s", a.raw)
			}
			r.quiet()

			// The owner may take it over.
			r.plays(nil)
			a = n.want(200, root, "PATCH /v1/webhooks/"+id, `{"enabled":true}`)
			if a.body["createdByKeyId"] != nil || a.body["disabledReason"] != nil {
				t.Errorf("%s", a.raw)
			}
			n.happens(h.alice, uuid.New(), "order.created")
			n.becomes(root, id, 3, delivered)
			r.take(1)
		})
	}
}

// SPEC A8: the API says so before anything is to be sent, and new events find it disabled.
func TestWebhooksEndUnprompted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r := receive(t, nil)
	key, other := h.keyOf(h.alice, hooks...), h.keyOf(h.alice, hooks...)
	id, _ := n.hook(key, r.URL, "")
	kept, _ := n.hook(other, r.URL, "")

	h.people.may(key.KeyID)
	n.Revoked(h.alice.UserID, key.KeyID)

	until(t, "it is disabled", func() bool {
		return n.want(200, h.alice, "GET /v1/webhooks/"+id, "").text("disabledReason") == "credential"
	})
	n.happens(h.alice, uuid.New(), "order.created")
	n.becomes(h.alice, id, 1, held)
	n.becomes(h.alice, kept, 1, delivered)
	r.take(1)
	r.quiet()
}

// SPEC A8: the credential that chooses the receiver is responsible from then on, and a key also for
// what is sent; a session that only describes it is not.
func TestWhoMadeIt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.idle()
	key, other := h.keyOf(h.alice, hooks...), h.keyOf(h.alice, hooks...)
	id, _ := n.hook(h.alice, "http://127.0.0.1:65001/", "")
	for _, row := range []struct {
		who  identity.Caller
		body string
		made any
	}{
		{h.alice, `{"description":"a"}`, nil},
		{key, `{"description":"b"}`, nil},
		{key, `{"enabled":false}`, nil},
		{key, `{"url":"http://127.0.0.1:65002/"}`, key.KeyID.String()},
		{h.alice, `{"description":"c"}`, key.KeyID.String()},
		{h.alice, `{"types":[]}`, key.KeyID.String()},
		{other, `{"types":["order.created"]}`, other.KeyID.String()},
		{h.alice, `{"url":"http://127.0.0.1:65003/"}`, nil},
		{key, `{"types":[]}`, key.KeyID.String()},
		{h.alice, `{"enabled":true}`, nil},
		{key, `{"enabled":true}`, key.KeyID.String()},
	} {
		if a := n.want(200, row.who, "PATCH /v1/webhooks/"+id, row.body); a.body["createdByKeyId"] != row.made {
			t.Errorf("%s by a key %v: %s", row.body, row.who.IsKey(), a.raw)
		}
	}
}

// SPEC A8: a replay ends with the key that asked for it, also of a session's webhook.
func TestReplaysEndWithTheirKey(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := receive(t, nil)
	idle := h.idle()
	id, _ := idle.hook(h.alice, r.URL, "")
	for range 3 {
		h.happens(h.alice, uuid.New(), "order.created")
	}
	h.fanOut(idle, h.page())
	h.exec(`update webhook_deliveries set status = 'held', due_at = null, settled_at = now()`)
	key := h.keyOf(h.alice, hooks...)
	replay := idle.want(202, key, "POST /v1/webhooks/"+id+"/replays", `{"from":1}`).text("id")
	h.people.may(key.KeyID)

	n := h.node()

	until(t, "it has ended", func() bool {
		return n.want(200, h.alice, "GET /v1/webhooks/"+id+"/replays/"+replay, "").text("status") == "stopped"
	})
	if a := n.want(200, h.alice, "GET /v1/webhooks/"+id, ""); a.body["enabled"] != true {
		t.Errorf("%s", a.raw)
	}
	r.quiet()
}

// SPEC A5, C3: a former administrator neither sees the deliveries of others' orders nor has
// a kept answer about them.
func TestDeliveriesOfAFormerAdministrator(t *testing.T) {
	t.Parallel()
	h := setup(t)
	n := h.node()
	r := receive(t, nil)
	id, _ := n.hook(h.admin, r.URL, "")
	n.happens(h.alice, uuid.New(), "order.created")
	n.happens(h.admin, uuid.New(), "order.created")
	r.take(2)
	n.becomes(h.admin, id, 1, delivered)
	n.becomes(h.admin, id, 2, delivered)
	alices := h.count(`select number from webhook_deliveries where user_id = $1`, h.alice.UserID)
	resend := fmt.Sprintf("POST /v1/webhooks/%s/deliveries/%d/resend", id, alices)
	n.want(202, h.admin, resend, "", "Idempotency-Key: k")
	r.take(1)

	demoted := h.admin
	demoted.Role = identity.User

	n.want(404, demoted, resend, "", "Idempotency-Key: k")
	n.want(404, demoted, resend, "")
	n.want(404, demoted, fmt.Sprintf("GET /v1/webhooks/%s/deliveries/%d", id, alices), "")
	if list := n.statuses(demoted, id); len(list) != 1 || list[alices] != "" {
		t.Errorf("they see %v", list)
	}
}
