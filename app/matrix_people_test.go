package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// person has an account, a session and keys.
type person struct {
	*client
	name, email, password, id string
	role                      identity.Role
}

// asker is one credential, or none.
type asker struct {
	name  string
	who   *person // nil without a credential
	key   *client // nil for a session
	scope identity.Scope
	also  identity.Scope // a second one
	good  bool
}

// has tells whether a credential suffices for the scopes of a route.
func (a *asker) has(scopes ...identity.Scope) bool {
	return a.scope == "" || !slices.ContainsFunc(scopes, func(s identity.Scope) bool { return s != a.scope && s != a.also })
}

func (a *asker) String() string { return a.name }

func (a *asker) role() identity.Role {
	if a.who == nil || !a.good {
		return identity.Anyone
	}
	return a.who.role
}

func (a *asker) client(s *server) *client {
	switch {
	case a.key != nil:
		return a.key
	case a.who != nil:
		return a.who.client
	}
	return s.anonymous()
}

// newMatrix is a node with an administrator, two customers and something to buy.
func newMatrix(t *testing.T) *matrix {
	t.Helper()
	cfg := settings(t)
	return newMatrixOn(t, cfg, cfg.DatabaseURL.Reveal())
}

// newMatrixOn is newMatrix with settings of a node that may reach its database in another way.
func newMatrixOn(t *testing.T, cfg config.Config, database string) *matrix {
	t.Helper()
	cfg.SessionsPerAccount = 1000 // each refresh and each ended session is one of its own
	m := &matrix{t: t, s: serveTest(t, cfg, WithStep(orders.Step{Name: heldStep, Check: holdIfAsked})), held: map[string]string{}, placed: map[string][]string{}}
	var err error
	if m.db, err = pgxpool.New(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.db.Close)
	m.doc = describe(t, m.s)

	m.root = &person{name: "admin", email: adminEmail, password: adminPassword, role: identity.Admin}
	m.root.logIn(m.s)
	m.a, m.b = m.person("a"), m.person("b")
	m.root.want(201, "POST", "/v1/products", `{"sku":"KETTLE","name":"Kettle","unitPrice":{"amount":250,"currency":"EUR"}}`)
	return m
}

// invite creates all callers.
func (m *matrix) invite() {
	m.t.Helper()
	// The keys that have ended are another person's, so that those of the others stay below the limit.
	gone, ended, scopes := m.person("inactive"), m.person("ended"), described().Scopes()
	m.askers = []*asker{
		{name: "anonymous"}, {name: "inactive", who: gone}, m.keyOf(gone, "inactive's key", scopes...),
		m.keyOf(ended, "expired key", scopes...), m.keyOf(ended, "revoked key", scopes...),
		{name: "a", who: m.a, good: true}, {name: "b", who: m.b, good: true}, {name: "admin", who: m.root, good: true},
	}
	m.exec(`update api_keys set expires_at = now() - interval '1 second' where name = 'expired key'`)
	m.exec(`update api_keys set revoked_at = now() - interval '1 second' where name = 'revoked key'`)
	for _, owner := range []*person{m.a, m.root} {
		for _, scope := range scopes {
			k := m.keyOf(owner, owner.name+"+"+string(scope), scope)
			k.scope, k.good = scope, true
			m.askers = append(m.askers, k)
		}
		both := m.keyOf(owner, owner.name+"+webhooks:write+events:read", identity.WebhooksWrite, identity.EventsRead)
		both.scope, both.also, both.good = identity.WebhooksWrite, identity.EventsRead, true
		m.askers = append(m.askers, both)
	}
	m.root.want(200, "PATCH", "/v1/users/"+gone.id, `{"active":false}`)
}

func (m *matrix) person(name string) *person {
	m.t.Helper()
	p := &person{name: name, email: fmt.Sprintf("%s-%d@example.com", name, m.next()), password: userPassword, role: identity.User}
	m.s.anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q}`, p.email, p.password))
	p.logIn(m.s)
	return p
}

// logIn begins another session.
func (p *person) logIn(s *server) {
	s.t.Helper()
	p.client = s.logIn(p.email, p.password)
	p.id = p.want(200, "GET", "/v1/users/me", "").text("id")
}

func (m *matrix) keyOf(owner *person, name string, scopes ...identity.Scope) *asker {
	m.t.Helper()
	body, err := json.Marshal(map[string]any{"name": name, "scopes": scopes})
	if err != nil {
		m.t.Fatal(err)
	}
	secret := owner.want(201, "POST", "/v1/api-keys", string(body)).text("secret")
	return &asker{name: name, who: owner, key: &client{server: m.s, token: secret}}
}

func (m *matrix) exec(sql string, args ...any) {
	m.t.Helper()
	if _, err := m.db.Exec(m.t.Context(), sql, args...); err != nil {
		m.t.Fatal(err)
	}
}

func (m *matrix) next() int {
	m.serial++
	return m.serial
}
