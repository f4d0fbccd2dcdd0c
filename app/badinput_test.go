package app

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// SPEC R4: a client can never cause a 500. ASVS 5.0 1.1.1, 1.5.3,
// 2.2.1, 4.1.1 and API8:2023: any value in any input of any route is accepted, or
// refused with a named fault; it never causes a failure, a hang or a leak of memory.
//
// A new route needs nothing here as long as its body follows from its schema (see
// known) and its path is about something that a POST makes (see things).
//
// It is not parallel, because of the memory that it measures.
func TestBadInput(t *testing.T) {
	m, routes := newMatrix(t), described().Routes()
	before := heap()

	t.Run("routes", func(t *testing.T) {
		for i, r := range routes {
			t.Run(r.Name, func(t *testing.T) {
				t.Parallel()
				p := m.probe(t, i+1, r)
				p.letThrough()
				for j, try := range slices.Concat(p.parameters(), p.envelopes(), p.bodies()) {
					// The race detector makes it slow and looks for something else: a part of
					// it will do there.
					if !raced || (i+j)%5 == 0 {
						p.see(try)
					}
				}
			})
		}
	})

	// Jobs and deliveries that the requests caused may still run. What they hold is freed when
	// they end; a leak stays.
	const most = 32 << 20 // ASVS 5.0 15.2.2, API4:2023
	testwait.Until(t, "at most 32 MiB more in use than before", func() bool { return heap()-before <= most })
}

func heap() int64 {
	brief.CloseIdleConnections()
	runtime.GC()
	runtime.GC() // what pools held is free after the second
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// probe sends requests to one route as a caller with the right to it, for a resource that exists.
type probe struct {
	*matrix
	n       int // of the route
	r       web.Route
	op      operation
	body    schema
	who     *asker
	target  string
	without string // a member that examples leave out
	at      string // the id of what was made ready
}

// attempt is a request with something wrong.
type attempt struct {
	name    string
	body    func() string // none when nil
	path    func(good string) string
	headers []string
	want    []int  // empty: anything that is no server's fault
	pointer string // what the refusal points at
}

func (m *matrix) probe(t *testing.T, n int, r web.Route) *probe {
	t.Helper()
	own := *m
	own.t, own.s = t, &server{t: t, base: m.s.base}
	own.held, own.placed, own.serial, own.factors = map[string]string{}, map[string][]string{}, n*1_000_000, nil
	root := *m.root
	root.client = root.on(own.s)
	own.root = &root

	p := &probe{matrix: &own, n: n, r: r, op: m.doc.operation(r)}
	p.body = m.doc.resolve(p.op.RequestBody.Content["application/json"].Schema)
	p.target = "own"
	switch thing := thingOf(r.Path); {
	case thing.common:
		p.target = "there"
	case thing.own != nil:
		p.target = "other account's"
	}
	p.a = &root // whom the least is refused
	p.who = &asker{name: "admin", who: p.a, good: true}
	if slices.ContainsFunc(ownCaller, func(prefix string) bool { return strings.HasPrefix(r.Path, prefix) }) {
		p.become()
	}
	return p
}

// ownCaller are the routes with a caller of their own: because sessions and keys get
// lost, or because an account has limits that the other routes use up. The deliveries to an
// account's webhooks and their tests share one.
var ownCaller = []string{"/v1/auth/", "/v1/api-keys", "/v1/users/me", "/v1/webhook"}

// become creates another administrator without orders, which may lose its sessions and keys.
func (p *probe) become() {
	p.t.Helper()
	p.a = p.person("probe")
	p.root.want(200, "PATCH", "/v1/users/"+p.a.id, `{"role":"admin"}`)
	p.a.role = identity.Admin
	p.a.logIn(p.s)
	p.who = &asker{name: "probe", who: p.a, good: true}
}

// ready is a question about something that is there, and in the state for it.
func (p *probe) ready() question {
	p.t.Helper()
	if p.r.Name == "send-verification" { // an address gets three messages at once
		p.become()
		p.exec(`update users set email_verified_at = null where id = $1`, p.a.id)
	}
	q := p.aim(p.r, p.target, p.who)
	if p.at == q.id {
		return q
	}
	switch p.at = q.id; p.r.Name {
	case "release-order":
		p.root.want(200, "POST", "/v1/orders/"+q.id+"/hold", `{"reason":"to be released"}`)
	case "reset-totp":
		p.exec(someFactor, q.id)
	case "refund-order":
		p.root.want(200, "PATCH", "/v1/orders/"+q.id+"/status", `{"status":"SHIPPED"}`)
		testwait.Until(p.t, "the money", func() bool {
			return p.root.send("GET", "/v1/orders/"+q.id, "").text("paymentStatus") == "CAPTURED"
		})
	}
	return q
}

// exclusive are members of which a body has one or the other.
var exclusive = map[string][]string{"POST /v1/orders/{id}/refunds": {"/items", "/amount"}}

func (p *probe) fresh() any {
	k := known{m: p.matrix, r: p.r, person: p.who.who, without: p.without}
	return sketch{doc: p.doc, given: k.value}.of("", "", p.body)
}

// letThrough shows that nothing but the fault stands in the way of what follows.
func (p *probe) letThrough() {
	p.t.Helper()
	q := p.ready()
	if p.body.Type != nil {
		p.without = p.variants()[0]
		q.body = textOf(p.fresh())
	}
	if a := p.ask(p.who, q); a.status >= 300 {
		p.t.Fatalf("%s %s is not let through, see known: %s\n%s", p.r.Method, q.path, a, q.body)
	}
	p.after(http.StatusOK)
}

// after renews what an accepted request may have changed.
func (p *probe) after(status int) {
	p.t.Helper()
	if status >= 300 || p.r.Method == http.MethodGet {
		return
	}
	switch p.r.Name {
	case "change-password": // which is not what it was
		p.become()
	case "refresh":
		p.a.logIn(p.s)
	case "refund-order": // there are many cents
	default:
		p.spent(p.r, p.target, p.who)
	}
	if strings.HasPrefix(p.r.Path, "/v1/api-keys") { // there may be 25
		p.exec(`delete from api_keys where user_id = $1`, p.who.who.id)
	}
}

// patience ends an exchange with a node that hangs, as no input may make it.
const patience = testwait.Limit

// see makes an attempt and judges the answer.
func (p *probe) see(try attempt) {
	p.t.Helper()
	q := p.ready()
	good := q.path
	if try.path != nil {
		q.path = try.path(good)
	}
	if try.body != nil {
		q.body = try.body()
	}
	a, err := p.try(p.who, q, try.headers...)
	if err != nil {
		p.t.Errorf("%s: %v", try.name, err)
		return
	}
	if why := p.judge(try, a); why != "" {
		p.t.Errorf("%s: %s %.200s: %s\n%.600s\nfor %.300s", try.name, p.r.Method, q.path, why, a, q.body)
	}
	if strings.Count(q.path, "/") == strings.Count(good, "/") { // else it is another route
		p.conforms(p.r.Method, good, a)
	}
	p.after(a.status)
}

func (p *probe) judge(try attempt, a answer) string {
	switch {
	case a.status >= 500:
		return "a server's fault"
	case a.status == http.StatusTooManyRequests:
		return "the corpus does not get through"
	case len(try.want) > 0 && !slices.Contains(try.want, a.status):
		return fmt.Sprint("want ", try.want)
	case a.status < 400:
		return ""
	case a.header.Get("Content-Type") != "application/problem+json" || a.text("code") == "" || a.text("detail") == "":
		return "not a problem document"
	case a.status == http.StatusUnprocessableEntity && a.text("errors.0.message") == "":
		return "no fault is named"
	case try.pointer != "" && !pointsAt(a, try.pointer):
		return "does not point at " + try.pointer
	}
	return ""
}

// pointsAt is true for a place and for what is in there.
func pointsAt(a answer, pointer string) bool {
	list, _ := a.at("errors").([]any)
	return slices.ContainsFunc(list, func(e any) bool {
		at, _ := e.(map[string]any)["pointer"].(string)
		return at == pointer || strings.HasPrefix(at, pointer+"/")
	})
}
