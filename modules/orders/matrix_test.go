package orders_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// request is one thing that can be asked of an order. {id} and {letter} stand for
// its id and its dead letter's.
type request struct {
	name, what, body string
	to               lifecycle.Status // for what it asks in the table's words
	action           string           // as allowedActions has it
	read             bool
}

var requests = func() []request {
	list := []request{
		{name: "get", what: "GET /v1/orders/{id}", read: true},
		{name: "get events", what: "GET /v1/orders/{id}/events", read: true},
		{name: "get refunds", what: "GET /v1/orders/{id}/refunds", read: true},
		{name: "get ledger", what: "GET /v1/orders/{id}/ledger", read: true},
		{name: "cancel", what: "POST /v1/orders/{id}/cancel", to: lifecycle.Cancelled, action: "cancel"},
	}
	for _, s := range lifecycle.All {
		list = append(list, request{
			name: "set " + string(s), what: "PATCH /v1/orders/{id}/status", to: s, action: s.Meaning().Action,
			body: fmt.Sprintf(`{"status":%q,"reason":"because"}`, s),
		})
	}
	return append(list,
		request{name: "hold", what: "POST /v1/orders/{id}/hold", body: `{"reason":"because"}`, to: lifecycle.OnHold, action: "hold"},
		request{name: "release", what: "POST /v1/orders/{id}/release", action: "release"},
		request{name: "delete", what: "DELETE /v1/orders/{id}", action: "delete"},
		request{name: "refund amount", what: "POST /v1/orders/{id}/refunds", body: `{"amount":{"amount":1,"currency":"EUR"},"reason":"because"}`, action: "refund"},
		request{name: "refund items", what: "POST /v1/orders/{id}/refunds", body: `{"items":[{"sku":"B","quantity":1}],"reason":"because"}`},
		request{name: "letter retry", what: "POST /v1/dead-letters/{letter}/retry"},
		request{name: "letter skip", what: "POST /v1/dead-letters/{letter}/skip", body: `{"reason":"because"}`},
		request{name: "letter cancel", what: "POST /v1/dead-letters/{letter}/cancel", to: lifecycle.Cancelled},
	)
}()

// A2, A7, C7, C8, C9, C10, D4: every position x every act x every role, over HTTP.
// The golden file is what each is answered. What is refused changes nothing; what
// the table refuses is refused in its words; what allowedActions lists works, and
// what it omits is refused.
func TestMatrix(t *testing.T) {
	t.Parallel()
	const parts = 4 // each with a database of its own, so that they run beside each other
	answers := make([]string, len(positions))

	t.Run("positions", func(t *testing.T) {
		for part := range parts {
			t.Run(strconv.Itoa(part), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.products(map[string]int64{"A": 1_000_000, "B": 1_000_000, "NONE": 0, "FREE": -1})
				r.exec(`update products set unit_price = 0 where sku = 'FREE'`)
				for i := part; i < len(positions); i += parts {
					answers[i] = r.probe(t, positions[i])
				}
				r.checkBooks(t)
			})
		}
	})

	golden.Check(t, "testdata/matrix.golden", "# what: stranger | owner | admin | admin who owns\n"+strings.Join(answers, ""))
}

// role is the relation of a caller to an order: an administrator may own it as well.
type role struct {
	name, who string
	owner     func(r *rig) identity.Caller
	party     lifecycle.Role
}

func alice(r *rig) identity.Caller { return r.alice }
func admin(r *rig) identity.Caller { return r.admin }

var roles = []role{
	{"stranger", "bob", alice, 0},
	{"owner", "alice", alice, lifecycle.Owner},
	{"admin", "admin", alice, lifecycle.Admin},
	{"admin who owns", "admin", admin, lifecycle.Owner | lifecycle.Admin},
}

// probe asks everything of orders in one position, and renders the answers: what is
// answered alike, by role, stands in one line.
func (r *rig) probe(t *testing.T, p position) string {
	t.Helper()
	answers := make([][]string, len(requests)) // by request and role
	listed := make([]string, len(roles))
	for i, who := range roles {
		s := &subject{rig: r, t: t, position: p, role: who}
		for n, q := range requests {
			answers[n] = append(answers[n], s.try(q))
		}
		listed[i] = fmt.Sprint(s.actions)
	}

	var lines []string
	names := map[string][]string{}
	for n, q := range requests {
		line := strings.Join(answers[n], " | ")
		if names[line] == nil {
			lines = append(lines, line)
		}
		names[line] = append(names[line], q.name)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n  allowedActions: %s\n", p.name, strings.Join(listed, " | "))
	for _, line := range lines {
		fmt.Fprintf(&out, "  %s: %s\n", strings.Join(names[line], ", "), line)
	}
	return out.String()
}

// subject is the order that is asked for things, until one of them is done; then
// another one takes its place.
type subject struct {
	*rig
	t        *testing.T
	position position
	role     role
	id       uuid.UUID
	letter   uuid.UUID
	trace    string // of all that is known of it
	actions  []string
}

func (s *subject) place() {
	if s.id != uuid.Nil {
		return
	}
	s.id = s.reach(s.t, s.position, s.role.owner(s.rig))
	for _, l := range s.letters(orders.DeadLetterQuery{Orders: []uuid.UUID{s.id}}) {
		s.letter = l.ID
	}
	s.trace = s.look()
	if s.role.party != 0 {
		var o orders.Order
		s.reply(s.role.who, "GET /v1/orders/"+s.id.String(), "").into(s.t, &o)
		s.actions = o.AllowedActions
	}
}

// try asks, checks the answer, and renders it: the status, and what the order
// became or why not.
func (s *subject) try(q request) string {
	s.t.Helper()
	s.place()
	if strings.Contains(q.what, "{letter}") && s.letter == uuid.Nil {
		return "-" // there is none
	}
	what := strings.NewReplacer("{id}", s.id.String(), "{letter}", s.letter.String()).Replace(q.what)
	got := s.reply(s.role.who, what, q.body)
	if got.status >= 500 {
		s.t.Errorf("%s: %s by %s: %d %s", s.position.name, q.name, s.role.name, got.status, got.body)
	}
	if q.read && got.status < 300 {
		return fmt.Sprint(got.status)
	}
	s.compare(q, got)
	if got.status == http.StatusForbidden {
		return "403" // by the role alone: it has not come to the order
	}
	if now := s.look(); (now == s.trace) != (got.status >= 400 || s.answeredAsItIs(q)) {
		s.t.Errorf("%s: %s by %s is answered %d and leaves\n%s\nof\n%s", s.position.name, q.name, s.role.name, got.status, now, s.trace)
	}
	if got.status >= 400 {
		return fmt.Sprintf("%d %s", got.status, got.code())
	}
	became := s.describe(s.t, s.id)
	s.id = uuid.Nil
	return fmt.Sprintf("%d %s", got.status, became)
}

// answeredAsItIs: a second cancel is answered like the first (SPEC C7).
func (s *subject) answeredAsItIs(q request) bool {
	return q.to == lifecycle.Cancelled && strings.HasPrefix(s.position.name, "CANCELLED")
}

// compare holds the answer against the table and against what was offered.
func (s *subject) compare(q request, got reply) {
	s.t.Helper()
	if got.code() == "illegal-transition" {
		s.checkRefusal(q, got)
	}
	listed := slices.Contains(s.actions, actionOf(q, s.position))
	worked := got.status < http.StatusMultipleChoices && !s.answeredAsItIs(q)
	if actionOf(q, s.position) != "" && listed != worked {
		s.t.Errorf("%s: %s by %s is listed %v and answered %d %s", s.position.name, q.name, s.role.name, listed, got.status, got.code())
	}
}

// actionOf is the action that a request is; a PATCH to PENDING reopens what failed.
func actionOf(q request, p position) string {
	if q.to == lifecycle.Pending && strings.HasPrefix(p.name, "FAILED") {
		return "reopen"
	}
	return q.action
}

// checkRefusal wants the table's own words: from, to and what would be allowed.
func (s *subject) checkRefusal(q request, got reply) {
	s.t.Helper()
	var said struct {
		From, To lifecycle.Status
		Allowed  []lifecycle.Status
	}
	got.into(s.t, &said)
	party := s.role.party
	if strings.HasPrefix(q.what, "PATCH") {
		party = lifecycle.Admin // that route has no action of the owner
	}
	from := lifecycle.State{}
	err := s.pool.QueryRow(s.ctx, `select status, coalesce(held_from, '') from orders where id = $1`, s.id).Scan(&from.Status, &from.HeldFrom)
	s.must(err)
	want := append([]lifecycle.Status{}, lifecycle.Next(from, party)...)
	if said.From != from.Status || q.to != "" && said.To != q.to || !reflect.DeepEqual(said.Allowed, want) || slices.Contains(want, said.To) || got.status != http.StatusConflict {
		s.t.Errorf("%s: %s by %s is refused with %s, want allowed %v", s.position.name, q.name, s.role.name, got.body, want)
	}
}

// look is all that is known of the order: a refusal must not change any of it.
func (s *subject) look() string {
	s.t.Helper()
	const all = `
		select coalesce(json_agg(row_to_json(o)), '[]') from orders o where id = $1
		union all select coalesce(json_agg(row_to_json(r) order by sku), '[]') from reservations r where order_id = $1
		union all select coalesce(json_agg(row_to_json(p) order by id), '[]') from payments p where order_id = $1
		union all select coalesce(json_agg(row_to_json(r) order by id), '[]') from refunds r where order_id = $1
		union all select coalesce(json_agg(row_to_json(l) order by at, kind), '[]') from ledger l where order_id = $1
		union all select coalesce(json_agg(row_to_json(d) order by id), '[]') from dead_letters d where order_id = $1
		union all select to_json(count(*)) from events where order_id = $1
		union all select to_json(max(id)) from river_job`
	var parts []string
	for _, raw := range column[json.RawMessage](s.bundle, s.t, all, s.id) {
		parts = append(parts, string(raw))
	}
	return strings.Join(parts, "\n")
}

// C9: every act honours If-Match, and what it refuses changes nothing.
func TestStaleIfMatch(t *testing.T) {
	t.Parallel()
	f := open(t, setup(t))
	f.products(map[string]int64{"A": 10})
	id := f.processed(f.alice, basket("A", 1)).ID
	before := f.get(id)
	for _, q := range requests {
		if q.to == "" && q.action == "" || strings.Contains(q.what, "refunds") || strings.Contains(q.what, "{letter}") {
			continue
		}
		what := strings.ReplaceAll(q.what, "{id}", id.String())

		stale := f.reply("admin", what, q.body, `If-Match: "1"`)
		weak := f.reply("admin", what, q.body, `If-Match: W/"5"`)

		if stale.status != http.StatusPreconditionFailed || weak.status != http.StatusPreconditionFailed {
			t.Errorf("%s: %d %s, weak %d %s", q.name, stale.status, stale.body, weak.status, weak.body)
		}
	}
	if after := f.get(id); after.Version != before.Version {
		t.Errorf("%+v became %+v", before, after)
	}
	if got := f.reply("admin", "POST /v1/orders/"+id.String()+"/hold", `{"reason":"x"}`, fmt.Sprintf(`If-Match: "%d"`, before.Version)); got.status != http.StatusOK {
		t.Errorf("fresh: %d %s", got.status, got.body)
	}
}
