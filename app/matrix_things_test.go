package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// thing is a kind of resource that a path names by its parameter. What is left out follows
// from the routes: POST to the collection makes one, with the smallest body that its schema
// allows, and DELETE deletes it. Resources of administrators are common.
type thing struct {
	make    func(m *matrix, owner *person) string     // one of the owner's, and its id
	remove  func(m *matrix, owner *person, id string) // delete it; nil when that cannot be
	own     func(m *matrix, caller *person) string    // instead of make, for the caller's own
	hide    func(m *matrix, id string)                // show it to those who may write it only; nil when that cannot be
	common  bool                                      // it belongs to no user
	private bool                                      // administrators have no access to those of other users
}

// things are by the path up to their parameter. A new kind needs a line only when the
// routes do not say how one is made, or whose it is.
var things = map[string]thing{
	"/v1/orders/": {
		make: func(m *matrix, owner *person) string { return m.order(owner) },
	},
	"/v1/orders/{id}/steps/": {
		make: func(m *matrix, owner *person) string { return m.heldOrder(owner) },
	},
	"/v1/products/": {
		make: func(m *matrix, _ *person) string {
			sku := fmt.Sprintf("SKU-%d", m.next())
			m.root.product(sku, 1000)
			return sku
		},
		hide:   func(m *matrix, id string) { m.root.want(200, "PATCH", "/v1/products/"+id, `{"active":false}`) },
		common: true,
	},
	"/v1/users/": {
		own:  func(_ *matrix, caller *person) string { return caller.id },
		make: func(m *matrix, _ *person) string { return m.person("another").id },
	},
	"/v1/auth/sessions/": {
		make:    func(m *matrix, owner *person) string { return sessionOf(m.s.logIn(owner.email, owner.password)) },
		private: true,
	},
	"/v1/api-keys/": {private: true},
	"/v1/webhooks/": {
		make: func(m *matrix, owner *person) string {
			// There may be fifty: those that were made, changed or replayed by what was let through make room.
			m.exec(`update webhooks w set deleted_at = now() where owner_id = $1 and (description <> 'of the matrix' or updated_at > created_at
				or exists (select from webhook_replays r where r.webhook_id = w.id and r.id <> w.id))`, owner.id)
			// For the owner's orders only: a webhook for all users would get a delivery for every order of every test.
			id := owner.want(201, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/","description":"of the matrix","userId":"`+owner.id+`"}`).text("id")
			m.exec(`insert into webhook_deliveries (id, webhook_id, number, order_id, version, user_id, type, status, created_at)
				values (gen_random_uuid(), $1, 1000, gen_random_uuid(), 1, $2, 'order.created', 'delivered', now())`, id, owner.id)
			m.exec(`insert into webhook_replays (id, webhook_id, from_number, to_number, types, statuses, rate, status, position, created_at, finished_at)
				values ($1, $1, 1, 1, '[]', '[]', 1, 'done', 1, now(), now())`, id)
			return id
		},
		private: true,
	},
	"/v1/notifications/": {
		make: func(m *matrix, owner *person) string {
			id := uuid.NewString()
			m.exec(`with one as (insert into notifications (id, user_id, order_id, version, type, at) values ($1, $2, gen_random_uuid(), 1, 'order.shipped', now()))
				insert into inbox_counts as c (user_id, unread) values ($2, 1) on conflict (user_id) do update set unread = c.unread + 1`, id, owner.id)
			return id
		},
		private: true,
	},
	"/v1/dead-letters/": {
		make: func(m *matrix, _ *person) string {
			id := uuid.NewString()
			m.exec(`insert into dead_letters (id, order_id, job_id, kind, step, error, attempts, created_at)
				values ($1, $2, 1, 'order_process', 'process', 'made up', 8, now())`, id, m.order(m.a))
			return id
		},
		common: true,
	},
}

// within makes what a path names below an account, with the id of the account.
func (m *matrix) within(r web.Route, id string) {
	m.t.Helper()
	for name, sql := range map[string]string{
		"{sessionId}": `insert into sessions (id, user_id, created_at, last_used_at, expires_at) values ($1, $1, now(), now(), now() + interval '1 day')
			on conflict (id) do update set ended_at = null, expires_at = excluded.expires_at`,
		"{keyId}": `insert into api_keys (id, user_id, name, scopes, hash, created_at) values ($1, $1, 'within', '{orders:read}', '', now())
			on conflict (id) do update set revoked_at = null`,
		"{webhookId}": `insert into webhooks (id, owner_id, user_id, url, types, ordering, enabled, disabled_reason, disabled_at, secret, created_at, updated_at)
			values ($1, $1, $1, 'http://127.0.0.1:65001/', '[]', 'none', false, 'manual', now(), '', now(), now()) on conflict (id) do update set deleted_at = null`,
	} {
		if strings.Contains(r.Path, name) {
			m.exec(sql, id)
		}
	}
}

// placeOf is the key of things for a path: a part of an order that needs an order of its own
// kind, or what stands before the first parameter.
func placeOf(path string) string {
	prefix, _, _ := strings.Cut(path, "{")
	if before, _, found := strings.Cut(path, "{name}"); found {
		prefix = before
	}
	return prefix
}

// thingOf is what a path is about; the zero value when it names nothing.
func thingOf(path string) thing {
	prefix, _, named := strings.Cut(path, "{")
	if !named {
		return thing{}
	}
	kind, listed := things[placeOf(path)]
	collection := strings.TrimSuffix(prefix, "/")
	for _, r := range described().Routes() {
		switch {
		case r.Method == http.MethodPost && r.Path == collection && kind.make == nil:
			kind.make = func(m *matrix, owner *person) string { return m.post(r, owner) }
			kind.common = kind.common || !listed && r.Role == identity.Admin
		case r.Method == http.MethodDelete && strings.HasPrefix(r.Path, prefix+"{") && strings.HasSuffix(r.Path, "}") && strings.Count(r.Path, "{") == 1:
			kind.remove = func(m *matrix, owner *person, id string) {
				m.maker(r, owner).want(204, r.Method, prefix+id, "")
			}
		}
	}
	return kind
}

// post makes a thing by its route. Its id is the end of Location.
func (m *matrix) post(r web.Route, owner *person) string {
	m.t.Helper()
	by := m.maker(r, owner)
	where := by.want(201, r.Method, r.Path, m.body(r, by)).header.Get("Location")
	if where == "" {
		m.t.Fatalf("%s %s: there is no Location, so the matrix does not know what it made; add a line to things", r.Method, r.Path)
	}
	return where[strings.LastIndex(where, "/")+1:]
}

// maker is the caller that creates a resource: the owner, or an administrator.
func (m *matrix) maker(r web.Route, owner *person) *person {
	if owner.role.Covers(r.Role) {
		return owner
	}
	return m.root
}

const unknownThing = "%s %s: the matrix does not know how to make one; add a line to things"

// targets are what a route is asked about.
func (m *matrix) targets(r web.Route) []string {
	if !strings.Contains(r.Path, "{") {
		if m.doc.operation(r).has("userId") {
			return []string{"-", "userId=another"}
		}
		return []string{"-"}
	}
	kind := thingOf(r.Path)
	if kind.make == nil {
		m.t.Errorf(unknownThing, r.Method, r.Path)
		return nil
	}
	list := []string{"own", "other account's"}
	if kind.common {
		list = []string{"there"}
	}
	if kind.hide != nil {
		list = append(list, "inactive")
	}
	if kind.remove != nil {
		list = append(list, "deleted")
	}
	return append(list, "made up")
}

// thing returns the id of what is asked about, made once and kept until it is spent.
func (m *matrix) thing(r web.Route, target string, who *asker) string {
	m.t.Helper()
	caller := who.who
	if caller == nil || !who.good {
		caller = m.a // anonymous callers ask for the resources of a
	}
	kind, owner := thingOf(r.Path), caller
	if kind.make == nil {
		m.t.Fatalf(unknownThing, r.Method, r.Path)
	}
	switch {
	case strings.Contains(r.Path, "{sku}") && target == "made up":
		return "NONE"
	case target == "made up":
		return uuid.Must(uuid.NewV7()).String()
	case target == "own" && kind.own != nil:
		return kind.own(m, caller)
	case target == "other account's" && caller == m.a:
		owner = m.b
	case target == "other account's":
		owner = m.a
	}
	slot := m.slot(r, target, owner)
	if m.held[slot] == "" {
		m.held[slot] = kind.make(m, owner)
		if target == "deleted" {
			kind.remove(m, owner, m.held[slot])
		}
		if target == "inactive" {
			kind.hide(m, m.held[slot])
		}
	}
	return m.held[slot]
}

func (m *matrix) slot(r web.Route, target string, owner *person) string {
	return placeOf(r.Path) + " " + target + " " + owner.name
}

// spent forgets what an allowed request may have changed.
func (m *matrix) spent(r web.Route, target string, who *asker) {
	m.t.Helper()
	if target == "own" || target == "other account's" || target == "there" || target == "inactive" {
		for slot := range m.held {
			if strings.HasPrefix(slot, placeOf(r.Path)+" "+target) {
				delete(m.held, slot)
			}
		}
	}
	if strings.HasSuffix(r.Path, "/sessions") { // all sessions have ended
		for slot := range m.held {
			if strings.HasPrefix(slot, "/v1/auth/sessions/ own") || strings.HasPrefix(slot, "/v1/auth/sessions/ other") {
				delete(m.held, slot)
			}
		}
	}
	if r.Path == "/v1/auth/logout" || r.Path == "/v1/auth/password" || r.Path == "/v1/users/{id}/sessions" && target == "own" {
		who.who.logIn(m.s)
	}
}

// order is one of the owner's that is paid for and being packed, so that each act
// has the same outcome every time.
func (m *matrix) order(owner *person) string {
	m.t.Helper()
	if len(m.placed[owner.id]) == 0 { // several at once: most of the time goes by with waiting for one
		for range 6 {
			m.placed[owner.id] = append(m.placed[owner.id], owner.order("KETTLE", 1))
		}
	}
	id := m.placed[owner.id][0]
	m.placed[owner.id] = m.placed[owner.id][1:]
	testwait.Until(m.t, "order "+id+" to be PROCESSING", func() bool {
		return m.root.want(200, "GET", "/v1/orders/"+id, "").text("status") == "PROCESSING"
	})
	return id
}

// heldStep is a step of the matrix's node. It holds the orders whose note asks for it.
const heldStep = "approval"

func holdIfAsked(_ context.Context, r orders.StepRequest) (orders.Verdict, error) {
	if r.Order.Note != nil && *r.Order.Note == "to be held" {
		return orders.Hold("The note asks for it."), nil
	}
	return orders.Continue(), nil
}

// heldOrder is one of the owner's that the step holds.
func (m *matrix) heldOrder(owner *person) string {
	m.t.Helper()
	id := owner.want(201, "POST", "/v1/orders", `{"note":"to be held","items":[{"sku":"KETTLE","quantity":1}]}`).text("id")
	m.root.becomes(id, "ON_HOLD")
	return id
}

// sessionOf reads which session an access token is of.
func sessionOf(c *client) string {
	c.t.Helper()
	var said struct{ Sid string }
	raw, err := base64.RawURLEncoding.DecodeString(slices.Concat(strings.Split(c.token, "."))[1])
	if err == nil {
		err = json.Unmarshal(raw, &said)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return said.Sid
}
