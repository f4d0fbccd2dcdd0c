package app

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/golden"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// inTheEventLog is why the commands of orders write no audit entry.
const inTheEventLog = "the event log of the order has it, with its actor"

// unaudited are the routes that change something and write no audit entry, each with the reason.
var unaudited = map[string]string{
	"POST /v1/auth/refresh":        "the session goes on; its beginning and end are recorded, and so is a token that is used twice",
	"POST /v1/auth/verification":   "a message to the account's own address; the verification is recorded",
	"POST /v1/auth/password-reset": "the job records it if there is an account, so that the response does not depend on that",
	"POST /v1/events/tickets":      "a ticket has no more rights than its credential, and ends after 30 seconds",
	"PATCH /v1/notifications":      "a reader's own marks",
	"PATCH /v1/notifications/{id}": "a reader's own marks",
	"POST /v1/orders":              inTheEventLog,
	"POST /v1/orders/bulk":         inTheEventLog,
	"POST /v1/orders/quote":        "it writes nothing",
	"DELETE /v1/orders/{id}":       inTheEventLog,
	"POST /v1/orders/{id}/cancel":  inTheEventLog,
	"POST /v1/orders/{id}/hold":    inTheEventLog,
	"POST /v1/orders/{id}/release": inTheEventLog,
	"PATCH /v1/orders/{id}/status": inTheEventLog,
	"POST /v1/orders/{id}/refunds": inTheEventLog,
}

// auditBodies are requests that change something, where the smallest request of a route does not.
var auditBodies = map[string]func(m *matrix) string{
	"POST /v1/auth/verification": func(m *matrix) string {
		m.exec(`update users set email_verified_at = null where id = $1`, m.root.id)
		return ""
	},
	"PATCH /v1/users/me":   func(*matrix) string { return `{"name":"Another name"}` },
	"PATCH /v1/users/{id}": func(*matrix) string { return `{"name":"Another name","role":"admin","active":false}` },
	"PATCH /v1/products/{sku}": func(*matrix) string {
		return `{"name":"Another name","unitPrice":{"amount":1,"currency":"EUR"},"active":false}`
	},
	"PATCH /v1/webhooks/{id}": func(*matrix) string {
		return `{"url":"http://127.0.0.2:65001/secret-path","description":"another","types":["order.shipped"],"enabled":false}`
	},
	"POST /v1/dead-letters/bulk": func(m *matrix) string {
		return fmt.Sprintf(`{"action":"skip","reason":"by hand","filter":{"ids":[%q]}}`, things["/v1/dead-letters/"].make(m, m.root))
	},
}

// SPEC F11: every route that changes something writes an audit entry in its transaction, or is listed
// with the reason. testdata/audit.golden shows the entries: no personal data, no secrets. A new
// route fails here until it does one of the two.
func TestEveryRouteIsAudited_F11(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	root := &asker{name: "admin", who: m.root, good: true}
	var b strings.Builder
	for _, r := range described().Routes() {
		if r.Method == http.MethodGet && r.Path != "/v1/orders/export" {
			continue
		}
		name := r.Method + " " + r.Path
		entries := m.audited(r, root)
		switch why := unaudited[name]; {
		case why == "" && len(entries) == 0:
			t.Errorf("%s writes no audit entry: record one in its transaction, or list it in unaudited with the reason", name)
		case why != "" && len(entries) > 0:
			t.Errorf("%s is listed in unaudited and writes %v", name, entries)
		}
		for _, e := range entries {
			fmt.Fprintf(&b, "%s: %s\n", name, e)
		}
	}
	for name := range unaudited {
		if !slices.ContainsFunc(described().Routes(), func(r web.Route) bool { return name == r.Method+" "+r.Path }) {
			t.Errorf("there is no %s", name)
		}
	}
	for _, e := range m.otherEntries() {
		fmt.Fprintln(&b, e)
	}
	golden.Check(t, "testdata/audit.golden", b.String())

	// Filters know the actions that modules declare.
	actions := recordedActions(t)
	for line := range strings.Lines(b.String()) {
		_, entry, _ := strings.Cut(line, ": ")
		name, _, _ := strings.Cut(strings.TrimSpace(entry), " ")
		if !slices.ContainsFunc(actions, func(a audit.Action) bool { return a.Name == name }) {
			t.Errorf("no module declares the action %q among its AuditActions", name)
		}
	}
	var missing []string
	for _, a := range actions {
		if !strings.Contains(b.String(), " "+a.Name+" ") {
			missing = append(missing, a.Name)
		}
	}
	// Those of limits, of the retention and of EMAIL_VERIFICATION have tests of their own.
	if want := []string{"login.limited", "user.password-limited", "audit.pruned", "user.replaced"}; !slices.Equal(slices.Sorted(slices.Values(missing)), slices.Sorted(slices.Values(want))) {
		t.Errorf("no entry has the actions %v", missing)
	}
}

// audited makes a successful request to a route and returns the entries of that request.
func (m *matrix) audited(r web.Route, who *asker) []string {
	m.t.Helper()
	targets := m.targets(r)
	target := targets[0]
	if strings.HasPrefix(r.Path, "/v1/users/{id}") {
		target = "other account's"
	}
	q := m.question(r, target, who)
	if write, special := auditBodies[r.Method+" "+r.Path]; special {
		q.body = write(m)
	}
	if strings.HasSuffix(r.Path, "/replays/{replayId}/cancel") {
		m.exec(`update webhook_replays set status = 'running', finished_at = null, due_at = now() + interval '1 hour' where id = $1`, q.id)
	}
	if r.Name == "reset-totp" {
		m.exec(someFactor, q.id)
	}
	a := m.ask(who, q)
	if a.status == http.StatusConflict && unaudited[r.Method+" "+r.Path] == inTheEventLog {
		return nil // the state of the order does not allow it
	}
	if a.status >= 300 {
		m.t.Errorf("%s %s: %s", q.method, q.path, a)
		return nil
	}
	m.spent(r, target, who)
	return m.entries(`request_id = $1`, a.header.Get("X-Request-Id"))
}

// otherEntries are those that no successful request of the routes writes.
func (m *matrix) otherEntries() (list []string) {
	m.t.Helper()
	anonymous := m.s.anonymous()
	one := func(what string, a answer) {
		for _, e := range m.entries(`request_id = $1`, a.header.Get("X-Request-Id")) {
			list = append(list, what+": "+e)
		}
	}
	ann := m.person("ann")
	one("a wrong password", anonymous.want(401, "POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":"not the one"}`, ann.email)))
	one("an unknown address", anonymous.want(401, "POST", "/v1/auth/login", `{"email":"nobody@example.com","password":"not the one"}`))
	one("a wrong current password", ann.want(422, "POST", "/v1/auth/password", `{"currentPassword":"not the one","newPassword":"another quiet morning"}`))
	m.secondFactor(ann, true)
	one("a wrong code", anonymous.want(401, "POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q,"code":"not the one"}`, ann.email, ann.password)))
	one("a wrong code in a session", ann.want(422, "DELETE", "/v1/auth/totp", `{"code":"not the one"}`))
	used := ann.refresh
	ann.want(200, "POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, used))
	m.exec(`update refresh_tokens set used_at = used_at - interval '11 seconds'`) // the grace is over
	one("a stolen refresh token", anonymous.want(401, "POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, used)))
	m.root.want(200, "PATCH", "/v1/users/"+ann.id, `{"active":false}`)
	one("an activated account", m.root.want(200, "PATCH", "/v1/users/"+ann.id, `{"active":true}`))

	one("a registration with an invitation", m.invited("guest@example.com"))
	reset := anonymous.want(202, "POST", "/v1/auth/password-reset", fmt.Sprintf(`{"email":%q}`, ann.email))
	testwait.Until(m.t, "the requested reset to be recorded", func() bool {
		return len(m.entries(`request_id = $1`, reset.header.Get("X-Request-Id"))) == 1
	})
	one("a requested reset", reset)

	key := m.keyOf(m.root, "hooks", "webhooks:write", "events:read")
	id := key.client(m.s).want(201, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:65001/"}`).text("id")
	m.exec(`update api_keys set revoked_at = now() where name = 'hooks'`)
	m.exec(`insert into revocations (user_id) values ($1)`, m.root.id)
	testwait.Until(m.t, "the webhook of the revoked key to be disabled", func() bool {
		return len(m.entries(`subject_id = $1 and action = 'webhook.disabled'`, id)) == 1
	})
	for _, e := range m.entries(`subject_id = $1 and action = 'webhook.disabled'`, id) {
		list = append(list, "a webhook of a revoked key: "+e)
	}
	for _, e := range m.entries(`action in ('settings.changed', 'user.created') and outcome = $1`, "success") {
		list = append(list, "the first start: "+e)
	}
	return list
}

var (
	anID         = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	aDigest      = regexp.MustCompile(`\b[0-9a-f]{16,}\b`)
	someSessions = regexp.MustCompile(`"sessions","after":\d+`)
	aTime        = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
	aName        = regexp.MustCompile(`\b(SKU|NEW)-\d+`)
	settingsOf   = regexp.MustCompile(`"after":\{"ADMIN_EMAIL.*\}\}`)
)

// entries renders entries without what differs between two runs.
func (m *matrix) entries(where string, args ...any) []string {
	m.t.Helper()
	rows, err := m.db.Query(m.t.Context(), `
		select format(' %s %s by %s%s on %s %s%s %s', action, outcome, actor_type, case when key_id is not null then '/key' when session_id is not null then '/session' end,
			subject_type, subject_id, case when user_id is not null then ' of a user' end, changes)
		from audit_entries where `+where+` order by id`, args...)
	if err != nil {
		m.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		m.t.Fatal(err)
	}
	for i, e := range list {
		e = anID.ReplaceAllString(e, "ID")
		e = settingsOf.ReplaceAllString(e, `"after":{"...":"..."}}`)
		e = aDigest.ReplaceAllString(e, "DIGEST")
		e = someSessions.ReplaceAllString(e, `"sessions","after":N`)
		e = aTime.ReplaceAllString(e, "TIME")
		list[i] = strings.TrimPrefix(aName.ReplaceAllString(e, "$1"), "")
	}
	return list
}

// invited registers with an invitation, whose token it takes from the outbox.
func (m *matrix) invited(email string) answer {
	m.t.Helper()
	m.root.want(201, "POST", "/v1/invitations", fmt.Sprintf(`{"email":%q}`, email))
	return m.s.anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q,"invitation":%q}`, email, userPassword, m.s.mailedToken(email, inviteSubject)))
}

// SPEC F11: docs/security.md lists the actions as the code declares them.
func TestSecurityListsTheActions_F11(t *testing.T) {
	t.Parallel()
	const path, head = "../docs/security.md", "| action | written when | fields |\n|---|---|---|\n"
	seen := map[string]string{}
	form := regexp.MustCompile(`^[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*$`)
	for _, a := range recordedActions(t) {
		if !form.MatchString(a.Name) || seen[a.Name] != "" || a.Subject == "" || !strings.HasSuffix(a.Doc, ".") {
			t.Errorf("the action %+v is not resource.verb, declared twice, or has no subject or sentence", a)
		}
		fields := strings.Join(a.Fields, ", ")
		if a.Name == settingsChanged.Name {
			fields = "settings, and each setting by its variable"
		}
		seen[a.Name] = "| `" + a.Name + "` | " + a.Doc + " | " + fields + " |"
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		lines = append(lines, strings.ReplaceAll(seen[name], "|  |", "| |"))
	}
	golden.CheckTable(t, path, head, lines)
}

// SPEC F11: administrators find who did what to whom; users see what happened to their account, and
// not who and where an administrator is.
func TestAuditIsServed_F11(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	root, ann := s.admin(), s.user("ann")
	id := ann.want(200, "GET", "/v1/users/me", "").text("id")
	rootID := root.want(200, "GET", "/v1/users/me", "").text("id")
	promoted := root.want(200, "PATCH", "/v1/users/"+id, `{"role":"admin"}`, "X-Request-Id: promote-1").header.Get("X-Request-Id")
	root.want(200, "PATCH", "/v1/users/"+id, `{"role":"user"}`)

	found := root.want(200, "GET", "/v1/audit?action=user.&subjectId="+id+"&requestId="+promoted, "")
	if n := len(found.at("data").([]any)); n != 1 || found.text("data.0.action") != "user.role-changed" || found.text("data.0.actor.userId") != rootID ||
		found.text("data.0.actor.type") != "admin" || found.text("data.0.subject.id") != id || found.text("data.0.userId") != id ||
		found.text("data.0.changes.0.before") != "user" || found.text("data.0.changes.0.after") != "admin" || found.text("data.0.network") != "127.0.0.0/24" {
		t.Errorf("%s", found)
	}
	for query, want := range map[string]int{
		"action=user.role-changed": 2, "action=user.role-changed&actorId=" + rootID: 2, "action=user.role-changed&actorId=" + id: 0,
		"userId=" + id + "&action=user.": 3, "subjectType=session&userId=" + id: 1, "from=2999-01-01T00:00:00Z": 0, "to=2001-01-01T00:00:00Z": 0,
	} {
		if a := root.want(200, "GET", "/v1/audit?"+query, ""); len(a.at("data").([]any)) != want {
			t.Errorf("%s: %s", query, a)
		}
	}
	for _, query := range []string{"action=user", "action=user.forgotten", "action=nothing.", "action=User.", "actorId=x", "from=yesterday", "subjectId="} {
		root.want(400, "GET", "/v1/audit?"+query, "")
	}
	first := root.want(200, "GET", "/v1/audit?limit=1", "")
	second := root.want(200, "GET", "/v1/audit?limit=1&cursor="+first.text("nextCursor"), "")
	if first.text("data.0.id") <= second.text("data.0.id") {
		t.Errorf("%s then %s", first, second)
	}

	own := ann.want(200, "GET", "/v1/users/me/activity", "")
	var by []string
	for _, e := range own.at("data").([]any) {
		e := e.(map[string]any)
		by = append(by, fmt.Sprint(e["action"], " ", e["by"]))
	}
	if got := strings.Join(by, ", "); got != "user.role-changed administrator, user.role-changed administrator, session.created anonymous, user.registered anonymous" {
		t.Errorf("the activity is %s", got)
	}
	if strings.Contains(string(own.raw), rootID) || own.at("data.0.network") != nil || own.text("data.2.network") != "127.0.0.0/24" {
		t.Errorf("the activity is %s", own)
	}
	if a := root.want(200, "GET", "/v1/users/me/activity", ""); strings.Contains(string(a.raw), id) {
		t.Errorf("it shows another account: %s", a)
	}
}

// SPEC F11: a node that starts with other settings records which; and `admin create` is recorded as a
// command, and sealed.
func TestSettingsAndCommandsAreAudited_F11(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	serveTest(t, cfg).stop()
	serveTest(t, cfg).stop()
	cfg.WorkerSlots, cfg.AuditKeys = 51, config.Secret("a=7Tz0Lm4q7Tz0Lm4q7Tz0Lm4qXk4mN8vQ")
	s := serveTest(t, cfg)
	program, err := newProgram(&cfg, extensions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := runCommand(t, program, io.Discard, "admin", "create", "--email=second@example.com"); err != nil {
		t.Fatal(err)
	}
	root := s.admin()

	changed := root.want(200, "GET", "/v1/audit?action=settings.changed", "")
	var names []string
	for _, c := range changed.at("data.0.changes").([]any) {
		names = append(names, c.(map[string]any)["field"].(string))
	}
	if n := len(changed.at("data").([]any)); n != 2 || !slices.Contains(names, "WORKER_SLOTS") || !slices.Contains(names, "AUDIT_KEYS") || slices.Contains(names, "JWT_ISSUER") ||
		changed.text("data.0.actor.type") != "system" || strings.Contains(string(changed.raw), "7Tz0Lm4q") || strings.Contains(string(changed.raw), `"51"`) {
		t.Errorf("%v: %s", names, changed)
	}
	made := root.want(200, "GET", "/v1/audit?action=user.created", "")
	if made.text("data.0.actor.type") != "command" || made.text("data.1.actor.type") != "system" || made.text("data.0.changes.0.after") != "admin" {
		t.Errorf("%s", made)
	}
}

// recordedActions are those of the product's modules and of the program.
func recordedActions(t *testing.T) []audit.Action {
	t.Helper()
	cfg := settings(t)
	return must(outlineOf(&cfg, extensions{})).actions
}
