package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/testwait"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// thing is a kind of resource that a path names by its parameter.
type thing struct {
	make    func(m *matrix, owner *person) string     // one of the owner's, and its id
	bury    func(m *matrix, owner *person, id string) // delete it; nil when that cannot be
	own     func(m *matrix, caller *person) string    // instead of make, for the caller's own
	common  bool                                      // it is nobody's own
	private bool                                      // an administrator may not reach anybody else's
}

// things are by the path up to their parameter; add a line for a new kind.
var things = map[string]thing{
	"/v1/orders/": {
		make: func(m *matrix, owner *person) string { return m.order(owner) },
		bury: func(m *matrix, _ *person, id string) { m.root.want(204, "DELETE", "/v1/orders/"+id, "") },
	},
	"/v1/products/": {
		make: func(m *matrix, _ *person) string {
			sku := fmt.Sprintf("SKU-%d", m.next())
			m.root.product(sku, 1000)
			return sku
		},
		bury:   func(m *matrix, _ *person, id string) { m.root.want(204, "DELETE", "/v1/products/"+id, "") },
		common: true,
	},
	"/v1/users/": {
		own:  func(_ *matrix, caller *person) string { return caller.id },
		make: func(m *matrix, _ *person) string { return m.person("somebody").id },
		bury: func(m *matrix, _ *person, id string) { m.root.want(204, "DELETE", "/v1/users/"+id, "") },
	},
	"/v1/auth/sessions/": {
		make:    func(m *matrix, owner *person) string { return sessionOf(m.s.logIn(owner.email, owner.password)) },
		bury:    func(_ *matrix, owner *person, id string) { owner.want(204, "DELETE", "/v1/auth/sessions/"+id, "") },
		private: true,
	},
	"/v1/api-keys/": {
		make: func(_ *matrix, owner *person) string {
			return owner.want(201, "POST", "/v1/api-keys", `{"name":"of the matrix","scopes":["orders:read"]}`).text("id")
		},
		bury:    func(_ *matrix, owner *person, id string) { owner.want(204, "DELETE", "/v1/api-keys/"+id, "") },
		private: true,
	},
	"/v1/webhooks/": {
		make: func(m *matrix, owner *person) string {
			// There may be fifty: those that were made, changed or replayed by what was let through make room.
			m.exec(`update webhooks w set deleted_at = now() where owner_id = $1 and (description <> 'of the matrix' or updated_at > created_at
				or exists (select from webhook_replays r where r.webhook_id = w.id and r.id <> w.id))`, owner.id)
			id := owner.want(201, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/","description":"of the matrix"}`).text("id")
			m.exec(`insert into webhook_deliveries (id, webhook_id, number, order_id, version, user_id, type, status, created_at)
				values (gen_random_uuid(), $1, 1000, gen_random_uuid(), 1, $2, 'order.created', 'delivered', now())`, id, owner.id)
			m.exec(`insert into webhook_replays (id, webhook_id, from_number, to_number, types, statuses, rate, status, position, created_at, finished_at)
				values ($1, $1, 1, 1, '[]', '[]', 1, 'done', 1, now(), now())`, id)
			return id
		},
		bury:    func(_ *matrix, owner *person, id string) { owner.want(204, "DELETE", "/v1/webhooks/"+id, "") },
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

// bodies are for routes whose schema does not say what would be let through. They
// are made for the person who asks.
var bodies = map[string]func(m *matrix, p *person) string{
	"POST /v1/auth/register": func(m *matrix, _ *person) string {
		return fmt.Sprintf(`{"email":"new-%d@example.com","password":%q}`, m.next(), userPassword)
	},
	"POST /v1/auth/login": func(_ *matrix, p *person) string {
		return fmt.Sprintf(`{"email":%q,"password":%q}`, p.email, p.password)
	},
	"POST /v1/auth/refresh": func(m *matrix, p *person) string {
		return fmt.Sprintf(`{"refreshToken":%q}`, m.s.logIn(p.email, p.password).refresh)
	},
	"POST /v1/auth/password": func(_ *matrix, p *person) string {
		return fmt.Sprintf(`{"currentPassword":%[1]q,"newPassword":%[1]q}`, p.password)
	},
	"PATCH /v1/users/{id}": func(*matrix, *person) string { return `{"name":"Somebody"}` },
	"POST /v1/products": func(m *matrix, _ *person) string {
		return fmt.Sprintf(`{"sku":"NEW-%d","name":"New","unitPrice":{"amount":1,"currency":"EUR"},"stock":1}`, m.next())
	},
	"POST /v1/webhooks":               func(*matrix, *person) string { return `{"url":"http://127.0.0.1:65001/"}` },
	"PATCH /v1/webhooks/{id}":         func(*matrix, *person) string { return `{"description":"another"}` }, // more needs more, see TestKeysNeedWhatTheyCarry
	"POST /v1/webhooks/{id}/replays":  func(*matrix, *person) string { return `{"from":1}` },
	"PATCH /v1/orders/{id}/status":    func(*matrix, *person) string { return `{"status":"SHIPPED"}` },
	"POST /v1/orders/{id}/refunds":    func(*matrix, *person) string { return `{"amount":{"amount":1,"currency":"EUR"},"reason":"late"}` },
	"POST /v1/dead-letters/bulk":      func(*matrix, *person) string { return `{"action":"retry","filter":{"error":"nothing like it"}}` },
	"POST /v1/dead-letters/{id}/skip": func(*matrix, *person) string { return `{"reason":"done by hand"}` },
}

// thingOf is what a path is about; the zero value when it names nothing.
func thingOf(path string) thing {
	prefix, _, named := strings.Cut(path, "{")
	if !named {
		return thing{}
	}
	return things[prefix]
}

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
		m.t.Errorf("%s %s: the matrix does not know how to make one; add a line to things", r.Method, r.Path)
		return nil
	}
	list := []string{"own", "somebody else's"}
	if kind.common {
		list = []string{"there"}
	}
	if kind.bury != nil {
		list = append(list, "deleted")
	}
	return append(list, "made up")
}

// thing returns the id of what is asked about, made once and kept until it is spent.
func (m *matrix) thing(r web.Route, target string, who *asker) string {
	m.t.Helper()
	caller := who.who
	if caller == nil || !who.good {
		caller = m.a // who proves nothing is nobody: it is a's that they want
	}
	kind, owner := thingOf(r.Path), caller
	switch {
	case strings.Contains(r.Path, "{sku}") && target == "made up":
		return "NONE"
	case target == "made up":
		return uuid.Must(uuid.NewV7()).String()
	case target == "own" && kind.own != nil:
		return kind.own(m, caller)
	case target == "somebody else's" && caller == m.a:
		owner = m.b
	case target == "somebody else's":
		owner = m.a
	}
	slot := m.slot(r, target, owner)
	if m.held[slot] == "" {
		m.held[slot] = kind.make(m, owner)
		if target == "deleted" {
			kind.bury(m, owner, m.held[slot])
		}
	}
	return m.held[slot]
}

func (m *matrix) slot(r web.Route, target string, owner *person) string {
	prefix, _, _ := strings.Cut(r.Path, "{")
	return prefix + " " + target + " " + owner.name
}

// spent forgets what an allowed request may have changed.
func (m *matrix) spent(r web.Route, target string, who *asker) {
	m.t.Helper()
	if target == "own" || target == "somebody else's" || target == "there" {
		prefix, _, _ := strings.Cut(r.Path, "{")
		for slot := range m.held {
			if strings.HasPrefix(slot, prefix+" "+target) {
				delete(m.held, slot)
			}
		}
	}
	if r.Path == "/v1/auth/logout" || r.Path == "/v1/auth/password" {
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
