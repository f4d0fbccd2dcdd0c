package app

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// A7, A8, API1:2023 (objects), API5:2023 (functions), ASVS 5.0 8.2.1, 8.2.2: authorization.
// Every caller asks every route for its own resources, for those of another account, and for
// deleted and invented ones. What comes of it must follow from the route's role and scope,
// and is written to testdata/matrix.golden for people to read: a route without a row
// fails, and so does one whose row is another.
//
// A new route needs nothing here as long as its body follows from its schema, and its
// path is about something that a POST makes: see things, known and bodies.
func TestMatrix(t *testing.T) {
	t.Parallel()
	const parts = 3 // each with a node and a database of its own, so that they run beside each other
	routes := described().Routes()
	rows := make([]string, len(routes))

	t.Run("routes", func(t *testing.T) {
		for part := range parts {
			t.Run(strconv.Itoa(part), func(t *testing.T) {
				t.Parallel()
				m := newMatrix(t)
				m.invite()
				for i := part; i < len(routes); i += parts {
					rows[i] = m.rows(routes[i])
				}
			})
		}
	})

	golden.Check(t, "testdata/matrix.golden", "# unauthenticated: anonymous, inactive (session and key), an expired key, a revoked key; x+*: the keys of x with any other scope\n"+strings.Join(rows, ""))
}

// scopesOf are all that a key needs.
func scopesOf(r web.Route) string {
	text := string(r.Scope)
	for _, scope := range r.ExtraScopes {
		text += "+" + string(scope)
	}
	return text
}

type matrix struct {
	t      *testing.T
	s      *server
	db     *pgxpool.Pool
	doc    *description
	root   *person
	a, b   *person
	askers []*asker
	held   map[string]string   // what was made to be asked about, until it is spent
	placed map[string][]string // orders that may not be PROCESSING yet, by their owners
	serial int

	factors []string // the accounts that may have a second factor
}

// rows renders the responses to all requests to a route.
func (m *matrix) rows(r web.Route) string {
	m.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s  %s %s\n", r.Method, r.Path, r.Role, scopesOf(r))
	sameness := &sameness{t: m.t}
	for _, target := range m.targets(r) {
		fmt.Fprintf(&b, "  %-16s %s\n", target, m.row(r, target, sameness))
	}
	sameness.check(r)
	return b.String()
}

// row sends the request as every caller and groups the callers by response.
func (m *matrix) row(r web.Route, target string, same *sameness) string {
	m.t.Helper()
	got := map[string][]*asker{}
	for _, who := range m.askers {
		if who.also != "" && len(r.ExtraScopes) == 0 {
			continue // it is there for routes that need two scopes
		}
		q := m.question(r, target, who)
		a := m.ask(who, q)
		outcome := outcomeOf(a)
		if want := expected(r, target, who); outcome != want && (want != "ok" || outcome != "409") {
			m.t.Errorf("%s %s (%s) by %s: want %s, got %s", r.Method, q.path, target, who, want, a)
		}
		m.leaks(q, who, a)
		if outcome == "404" && who.name == "a" {
			same.see(target, q, a)
		}
		if outcome == "ok" && r.Method != http.MethodGet {
			m.spent(r, target, who)
		}
		got[outcome] = append(got[outcome], who)
	}
	return m.table(got)
}

// expected follows from the route's declaration alone.
func expected(r web.Route, target string, who *asker) string {
	admin := who.role() == identity.Admin
	switch {
	case r.Role == identity.Anyone:
	case !who.good:
		return "401"
	case !who.role().Covers(r.Role):
		return "403 forbidden"
	case who.has(append([]identity.Scope{r.Scope}, r.ExtraScopes...)...):
	case r.Scope == identity.NoKeys:
		return "403 key-not-allowed"
	default:
		return "403 scope-missing"
	}
	switch {
	case target == "deleted" && strings.HasPrefix(r.Path, "/v1/users/{id}/") && r.Name != "start-password-reset":
		return "ok" // administrators end what belongs to a deleted account
	case target == "deleted" || target == "made up":
		return "404"
	case target == "other account's" && (!admin || thingOf(r.Path).private):
		return "404"
	case target == "inactive" && r.Scope == identity.ProductsRead && (!who.good || !admin || !who.has(r.Scope, identity.ProductsWrite)):
		return "404"
	case target == "userId=another" && !admin:
		return "403 forbidden"
	}
	return "ok"
}

func outcomeOf(a answer) string {
	switch {
	case a.status == http.StatusSwitchingProtocols || a.status < 300:
		return "ok"
	case a.status == http.StatusForbidden:
		return "403 " + a.text("code")
	case a.status == http.StatusConflict, a.status == http.StatusUnauthorized, a.status == http.StatusNotFound:
		return fmt.Sprint(a.status)
	}
	return fmt.Sprint(a.status, " ", a.text("code")) // never expected: the question was a bad one
}

// table writes outcomes with those who got them.
func (m *matrix) table(got map[string][]*asker) string {
	if len(got) == 1 {
		for outcome := range got {
			return outcome + ": all"
		}
	}
	var parts []string
	for _, outcome := range slices.SortedFunc(maps.Keys(got), compareOutcomes) {
		parts = append(parts, outcome+": "+strings.Join(m.names(got[outcome]), " "))
	}
	return strings.Join(parts, " | ")
}

// names lists askers. Several keys of one owner are all but those named elsewhere.
func (m *matrix) names(list []*asker) (names []string) {
	keys, bad := map[*person]int{}, 0
	for _, who := range list {
		if who.scope != "" {
			keys[who.who]++
		}
		if !who.good {
			bad++
		}
	}
	for _, who := range list {
		name := who.name
		switch {
		case who.scope != "" && keys[who.who] > 1:
			name = who.who.name + "+*"
		case !who.good && bad == m.bad():
			name = "unauthenticated"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (m *matrix) bad() (n int) {
	for _, who := range m.askers {
		if !who.good {
			n++
		}
	}
	return n
}

// compareOutcomes puts what was allowed first.
func compareOutcomes(x, y string) int {
	if (x == "ok") != (y == "ok") {
		if x == "ok" {
			return -1
		}
		return 1
	}
	return strings.Compare(x, y)
}

var actors = regexp.MustCompile(`"actor":"[^"]*"`)

// leaks looks for data of other accounts in the response to a user (API3:2023).
func (m *matrix) leaks(q question, who *asker, a answer) {
	if who.role() == identity.Admin {
		return
	}
	told := actors.ReplaceAllString(string(a.raw), "") // who did it is a part of one's history (SPEC C6)
	if q.id != "" {
		told = strings.ReplaceAll(told, q.id, "") // they said it themselves
	}
	for _, other := range []*person{m.a, m.b, m.root} {
		if other == who.who {
			continue
		}
		for _, mark := range []string{other.email, other.id} {
			if strings.Contains(told, mark) {
				m.t.Errorf("%s %s tells %s of %s: %s", q.method, q.path, who, other.name, a)
			}
		}
	}
}

// sameness holds the refusals that must be indistinguishable: a response does not reveal
// whether a resource belongs to another account, was deleted or never existed (SPEC R4).
type sameness struct {
	t    *testing.T
	seen map[string]string
}

var requestIDs = regexp.MustCompile(`"requestId":"[^"]*"`)

func (s *sameness) see(target string, q question, a answer) {
	headers := a.header.Clone()
	headers.Del("Date")
	headers.Del("X-Request-Id")
	body := strings.ReplaceAll(requestIDs.ReplaceAllString(string(a.raw), ""), q.id, "ID")
	if s.seen == nil {
		s.seen = map[string]string{}
	}
	if len(headers["Content-Length"]) == 1 && len(q.id) != 36 { // a sku may have any length
		headers.Del("Content-Length")
	}
	s.seen[target] = fmt.Sprintf("%d %v %s", a.status, headers, body)
}

func (s *sameness) check(r web.Route) {
	looks := map[string][]string{}
	for target, look := range s.seen {
		looks[look] = append(looks[look], target)
	}
	if len(looks) > 1 {
		s.t.Errorf("%s %s: they can be told apart: %v", r.Method, r.Path, looks)
	}
}
