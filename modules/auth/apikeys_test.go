package auth

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// made is a key as its owner got it.
type made struct {
	APIKeyWithSecret
	*bundle
	session pair
}

// makesKey creates a key; more is further members of the body.
func (b *bundle) makesKey(p pair, more string, scopes ...identity.Scope) made {
	b.t.Helper()
	list, _ := json.Marshal(scopes)
	got := b.do("POST", "/v1/api-keys", p.access, `{"name":"scanner","scopes":`+string(list)+more+`}`)
	k := made{bundle: b, session: p}
	if err := json.Unmarshal([]byte(got.body), &k.APIKeyWithSecret); err != nil || got.status != 201 {
		b.t.Fatalf("create: %d %s", got.status, got.body)
	}
	return k
}

func (k made) rotates(body string) string {
	k.t.Helper()
	got := k.do("POST", "/v1/api-keys/"+k.ID.String()+"/rotate", k.session.access, body)
	if got.status != 200 || got.member("prefix") != k.Prefix || !keyForm.MatchString(got.member("secret")) {
		k.t.Fatalf("rotate: %d %s", got.status, got.body)
	}
	return got.member("secret")
}

func (k made) revokes() {
	k.t.Helper()
	if got := k.do("DELETE", "/v1/api-keys/"+k.ID.String(), k.session.access, ""); got.status != 204 {
		k.t.Fatalf("revoke: %d %s", got.status, got.body)
	}
}

// SPEC A8: made, shown once, listed, used, revoked. ASVS 5.0 11.4.1: a hash is stored.
func TestAPIKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()

	created := b.do("POST", "/v1/api-keys", p.access, `{"name":"scanner","scopes":["orders:write","orders:read"],"expiresAt":"2099-01-31T12:00:00Z"}`)

	secret, at := created.member("secret"), "/v1/api-keys/"+created.member("id")
	if created.status != 201 || created.header.Get("Location") != at || !keyForm.MatchString(secret) || !strings.HasPrefix(secret, created.member("prefix")+"_") {
		t.Fatalf("created: %d %s", created.status, created.body)
	}
	want := strings.Replace(created.body, `,"secret":"`+secret+`"`, "", 1)
	if !strings.Contains(want, `"scopes":["orders:read","orders:write"]`) || !strings.Contains(want, `"expiresAt":"2099-01-31T12:00:00.000Z"`) {
		t.Errorf("it is %s", want)
	}
	if got := b.do("GET", at, p.access, ""); got.status != 200 || got.body != want {
		t.Errorf("read: %d %s", got.status, got.body)
	}
	if got := b.do("GET", "/v1/api-keys", p.access, ""); got.body != `{"data":[`+want+`],"nextCursor":null}` {
		t.Errorf("listed: %s", got.body)
	}
	if n := b.count("select count(*) from api_keys k where k::text like '%' || $1 || '%' or length(hash) <> 32", secret[27:]); n != 0 {
		t.Error("the secret is stored")
	}

	if got := b.who(secret); got.status != 200 || got.body != `"user"` {
		t.Errorf("used: %d %s", got.status, got.body)
	}
	if got := b.do("GET", "/v1/who", "", "", "Authorization", "bearer  "+secret); got.status != 200 {
		t.Errorf("another spelling of the scheme: %d", got.status)
	}
	if got := b.do("GET", "/v1/who", secret, "", "Authorization", "Bearer "+p.access); got.status != 401 {
		t.Errorf("a key and a token: %d", got.status)
	}

	if got := b.do("DELETE", at, p.access, ""); got.status != 204 {
		t.Errorf("revoked: %d %s", got.status, got.body)
	}
	if got := b.who(secret); got.status != 401 || got.member("code") != "invalid-api-key" || !strings.Contains(got.header.Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if got := b.do(method, at, p.access, ""); got.status != 404 {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
}

// SPEC A8, API5:2023: a key does what both its scopes and its owner's role allow,
// and nothing that makes or ends credentials.
func TestScopesOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	reads, writes := b.makesKey(p, "", identity.OrdersRead), b.makesKey(p, "", identity.OrdersWrite)
	catalogue := b.makesKey(p, "", identity.ProductsRead)
	rows := []struct {
		key          made
		method, path string
		status       int
		code         string
	}{
		{reads, "GET", "/v1/who", 200, ""},
		{writes, "GET", "/v1/who", 403, "scope-missing"},
		{reads, "GET", "/v1/root", 403, "forbidden"},
		{reads, "GET", "/v1/unsaid", 403, "key-not-allowed"},
		{reads, "POST", "/v1/api-keys", 403, "key-not-allowed"},
		{reads, "GET", "/v1/api-keys", 403, "key-not-allowed"},
		{reads, "GET", "/v1/api-keys/" + reads.ID.String(), 403, "key-not-allowed"},
		{reads, "DELETE", "/v1/api-keys/" + reads.ID.String(), 403, "key-not-allowed"},
		{reads, "POST", "/v1/api-keys/" + reads.ID.String() + "/rotate", 403, "key-not-allowed"},
		{reads, "POST", "/v1/auth/logout", 403, "key-not-allowed"},
		{reads, "GET", "/v1/auth/sessions", 403, "key-not-allowed"},
		{reads, "DELETE", "/v1/auth/sessions/" + reads.ID.String(), 403, "key-not-allowed"},
		{reads, "POST", "/v1/auth/password", 403, "key-not-allowed"},
	}
	for _, row := range rows {
		got := b.do(row.method, row.path, row.key.Secret, "")
		if got.status != row.status || got.member("code") != row.code {
			t.Errorf("%s %s: %d %s", row.method, row.path, got.status, got.body)
		}
		missing := strings.Contains(got.header.Get("WWW-Authenticate"), `error="insufficient_scope", scope="orders:read"`)
		if missing != (row.code == "scope-missing") { // RFC 6750 section 3.1
			t.Errorf("%s %s: challenge %q", row.method, row.path, got.header.Get("WWW-Authenticate"))
		}
	}
	// On open routes a key without the scope is ignored, like an invalid token.
	if got := b.do("GET", "/v1/anyone", reads.Secret, ""); got.status != 200 || got.body != `""` {
		t.Errorf("without the scope: %d %s", got.status, got.body)
	}
	if got := b.do("GET", "/v1/anyone", catalogue.Secret, ""); got.status != 200 || got.body != `"user"` {
		t.Errorf("with the scope: %d %s", got.status, got.body)
	}
	if got := b.do("POST", "/v1/auth/login", reads.Secret, object("email", email, "password", goodPassword)); got.status != 200 {
		t.Errorf("log in beside a key: %d", got.status)
	}
}

// SPEC A8: what cannot be a key is refused, with everything wrong at once.
func TestBadAPIKeyRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	theirs := b.makesKey(p, "", identity.OrdersRead)
	b.exec("update api_keys set user_id = gen_random_uuid() where id = $1", theirs.ID)
	rows := []struct {
		method, path, body string
		status             int
		pointers           string
	}{
		{"POST", "", `{}`, 422, "/name /scopes"},
		{"POST", "", `{"name":"","scopes":[]}`, 422, "/name /scopes"},
		{"POST", "", `{"name":"a","scopes":["orders:delete","no-keys"]}`, 422, "/scopes/0 /scopes/1"},
		{"POST", "", `{"name":"a","scopes":["orders:read","orders:read"]}`, 422, "/scopes"},
		{"POST", "", `{"name":" ","scopes":["orders:read"],"expiresAt":"2020-01-01T00:00:00Z"}`, 422, "/name /expiresAt"},
		{"POST", "", `{"name":"a\u0007","scopes":["orders:read"]}`, 422, "/name"},
		{"POST", "", `{"name":"a","scopes":["orders:read"],"role":"admin"}`, 422, "/role"},
		{"POST", "", `{"name":"a","scopes":["orders:read"],"expiresAt":"tomorrow"}`, 422, "/expiresAt"},
		{"POST", "", `{"name":"` + strings.Repeat("x", 101) + `","scopes":["orders:read"]}`, 422, "/name"},
		{"POST", "/" + theirs.ID.String() + "/rotate", `{"graceSeconds":-1}`, 422, "/graceSeconds"},
		{"POST", "/" + theirs.ID.String() + "/rotate", `{"graceSeconds":604801}`, 422, "/graceSeconds"},
		{"POST", "/" + theirs.ID.String() + "/rotate", ``, 404, ""},
		{"GET", "/" + theirs.ID.String(), ``, 404, ""},
		{"DELETE", "/" + theirs.ID.String(), ``, 404, ""},
		{"GET", "/" + uuid.NewString(), ``, 404, ""},
		{"GET", "/mine", ``, 400, "/path/id"},
	}
	for _, row := range rows {
		got := b.do(row.method, "/v1/api-keys"+row.path, p.access, row.body)

		var problem struct{ Errors []struct{ Pointer string } }
		_ = json.Unmarshal([]byte(got.body), &problem)
		var pointers []string
		for _, e := range problem.Errors {
			pointers = append(pointers, e.Pointer)
		}
		if got.status != row.status || strings.Join(pointers, " ") != row.pointers {
			t.Errorf("%s %s %.60s: %d %s", row.method, row.path, row.body, got.status, got.body)
		}
	}
}

// SPEC A8, A5: at once on this node, with and without a memory.
func TestAKeyFollowsItsOwner(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		b := setup(t)
		if running {
			b.runs()
		}
		key := b.makesKey(b.logsIn(), "", identity.OrdersRead).Secret
		steps := []struct {
			end    bool
			change func(f *fakeAccounts)
			status int
			role   string
		}{
			{false, func(f *fakeAccounts) { f.role = identity.Admin }, 200, `"admin"`},
			{false, func(f *fakeAccounts) { f.role = identity.User }, 200, `"user"`},
			{true, func(f *fakeAccounts) { f.active = false }, 401, ""},
			{false, func(f *fakeAccounts) { f.active = true }, 200, `"user"`},
			{true, func(*fakeAccounts) {}, 200, `"user"`}, // its owner's sessions end; it is none
		}
		for i, step := range steps {
			b.who(key) // may be remembered
			b.announce(step.end, step.change)
			if got := b.who(key); got.status != step.status || step.role != "" && got.body != step.role {
				t.Errorf("running %v, step %d: got %d %s", running, i, got.status, got.body)
			}
		}
	}
}

// SPEC A8, A5: revoked here, over there within a second, without Redis; and its
// sockets hear of it.
func TestRevokedKeyReachesOtherNodes(t *testing.T) {
	t.Parallel()
	accounts, url := newAccounts(), pgtest.URL(t)
	here, there := node(t, url, accounts), node(t, url, accounts)
	there.runs()
	heard := make(chan uuid.UUID, 100)
	there.OnChange(func(_, credential uuid.UUID) { heard <- credential })
	key := here.makesKey(here.logsIn(), "", identity.OrdersRead)
	there.until(func() bool { return there.who(key.Secret).status == 200 && there.remembers(key.ID) })

	key.revokes()

	there.knowsSoon("revoked", key.Secret, 401)
	if got := <-heard; got != key.ID {
		t.Errorf("heard of %s", got)
	}
}

// SPEC A8: the end of a key's life is announced when it comes, so that its sockets
// are closed too.
func TestKeyExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.runs()
	heard := make(chan uuid.UUID, 100)
	b.OnChange(func(_, credential uuid.UUID) { heard <- credential })
	expires := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")
	p := b.logsIn()
	key := b.makesKey(p, `,"expiresAt":"`+expires+`"`, identity.OrdersRead)
	if got := b.who(key.Secret); got.status != 200 || len(heard) != 0 {
		t.Fatalf("before: %d, heard %d", got.status, len(heard))
	}
	if n := b.count("select count(*) from revocations where session_id = $1 and at = $2", key.ID, expires); n != 1 {
		t.Errorf("%d changes are due at its end", n)
	}

	// The hour passes.
	b.exec("update api_keys set expires_at = now() where id = $1", key.ID)
	b.exec("update revocations set at = now() where session_id = $1", key.ID)
	if got := <-heard; got != key.ID {
		t.Errorf("heard of %s", got)
	}
	if got := b.who(key.Secret); got.status != 401 || got.member("code") != "invalid-api-key" {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
	if got := b.do("POST", "/v1/api-keys/"+key.ID.String()+"/rotate", p.access, ""); got.status != 409 || got.member("code") != "key-expired" {
		t.Errorf("rotate: %d %s", got.status, got.body)
	}
	if got := b.do("GET", "/v1/api-keys/"+key.ID.String(), p.access, ""); got.status != 200 {
		t.Errorf("its owner may not see why: %d", got.status)
	}
}

// SPEC A8: rotated; the secret before is good for as long as was said, on all nodes.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	accounts, url := newAccounts(), pgtest.URL(t)
	here, there := node(t, url, accounts), node(t, url, accounts)
	there.runs()
	both := func(step, secret string, status int) {
		t.Helper()
		if got := here.who(secret); got.status != status {
			t.Errorf("%s, here: %d", step, got.status)
		}
		there.knowsSoon(step+", there", secret, status)
	}
	key := here.makesKey(here.logsIn(), "", identity.OrdersRead)
	first := key.Secret
	both("made", first, 200)

	second := key.rotates("")
	both("a day of grace, the new one", second, 200)
	both("a day of grace, the old one", first, 200)
	if until := here.do("GET", "/v1/api-keys/"+key.ID.String(), key.session.access, "").member("previousSecretUntil"); until == "" {
		t.Error("it does not say how long")
	}

	third := key.rotates(`{"graceSeconds":3600}`)
	both("rotated twice, the first", first, 401)
	both("rotated twice, the second", second, 200)
	both("rotated twice, the third", third, 200)

	fourth := key.rotates(`{"graceSeconds":0}`)
	both("without grace, the third", third, 401)
	both("without grace, the fourth", fourth, 200)

	fifth := key.rotates(`{"graceSeconds":1}`)
	both("a second of grace, the fifth", fifth, 200)
	there.until(func() bool { return there.who(fourth).status == 401 && here.who(fourth).status == 401 })
}

// SPEC A8: no account has more than 25, however many are made at once. API4:2023.
func TestNumberOfKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	var all sync.WaitGroup
	answers := make(chan answered, 40)
	for range cap(answers) {
		all.Go(func() { answers <- b.do("POST", "/v1/api-keys", p.access, `{"name":"a","scopes":["orders:read"]}`) })
	}
	all.Wait()
	close(answers)
	counted := map[string]int{}
	for a := range answers {
		counted[fmt.Sprint(a.status, a.member("code"))]++
	}
	if counted["201"] != maxKeys || counted["409too-many-keys"] != cap(answers)-maxKeys {
		t.Errorf("answers %v", counted)
	}

	page := b.do("GET", "/v1/api-keys?limit=20", p.access, "")
	next := b.do("GET", "/v1/api-keys?limit=20&cursor="+page.member("nextCursor"), p.access, "")
	if strings.Count(page.body, `"id"`) != 20 || strings.Count(next.body, `"id"`) != maxKeys-20 || next.member("nextCursor") != "" {
		t.Errorf("pages %s and %s", page.body, next.body)
	}
	var first struct{ Data []APIKey }
	_ = json.Unmarshal([]byte(page.body), &first)
	b.do("DELETE", "/v1/api-keys/"+first.Data[0].ID.String(), p.access, "")
	b.makesKey(p, "", identity.OrdersRead)
}

// SPEC A8: no request writes lastUsedAt itself, and it is written at most once a minute.
func TestLastUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	key := b.makesKey(p, "", identity.OrdersRead)
	lastUse := func() string {
		return b.do("GET", "/v1/api-keys/"+key.ID.String(), p.access, "").member("lastUsedAt")
	}
	write := func() {
		t.Helper()
		if err := b.sessions.writeUses(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if at := lastUse(); at != "" {
		t.Errorf("unused, it was used at %s", at)
	}

	b.who(key.Secret)
	if at := lastUse(); at != "" {
		t.Error("the request wrote it")
	}
	write()
	first := lastUse()
	b.who(key.Secret)
	write()
	if first == "" || lastUse() != first {
		t.Errorf("written %s and %s within a minute", first, lastUse())
	}
	b.exec("update api_keys set last_used_at = now() - interval '2 minutes'")
	b.who(key.Secret)
	b.who(key.Secret[:len(key.Secret)-1] + "x") // is no use
	write()
	if at := lastUse(); at < first {
		t.Errorf("after a minute: %s", at)
	}
}

// A write that fails is made up for; one that another node is at is left to it.
func TestLastUseDoesNotBlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.makesKey(b.logsIn(), "", identity.OrdersRead)
	b.who(key.Secret)
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx) }()
	if _, err := tx.Exec(b.ctx, "select 1 from api_keys for update"); err != nil {
		t.Fatal(err)
	}
	if err := b.sessions.writeUses(b.ctx); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}

	b.who(key.Secret)
	b.exec("alter table api_keys rename column last_used_at to elsewhere")
	if err := b.sessions.writeUses(b.ctx); err == nil {
		t.Error("wrote to nowhere")
	}
	if len(b.sessions.uses.take()) != 1 {
		t.Error("the use is forgotten")
	}
}

// SPEC E2, A8: a ticket that a key got is the key's, with its scopes, and ends with it.
func TestTicketOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.makesKey(b.logsIn(), "", identity.EventsRead)
	caller, err := b.callerOf(b.ctx, key.Secret, netip.Addr{})
	if err != nil || caller.KeyID != key.ID || caller.SessionID != uuid.Nil || !caller.Scopes.Has(identity.EventsRead) {
		t.Fatalf("%+v, %v", caller, err)
	}
	issue := func() string {
		ticket, _, err := b.IssueTicket(b.ctx, caller)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}

	if got, err := b.RedeemTicket(b.ctx, issue()); err != nil || got != caller {
		t.Errorf("redeemed as %+v, %v", got, err)
	}
	late := issue()
	key.revokes()
	if _, err := b.RedeemTicket(b.ctx, late); !fault.Is(err, "invalid-ticket") {
		t.Errorf("of a revoked key: %v", err)
	}
	if _, err := b.CurrentCaller(b.ctx, key.ID); !fault.Is(err, "invalid-token") {
		t.Errorf("a revoked key stands: %v", err)
	}
}

// API4:2023: made-up keys and tickets cost an address 50 looks a second, and those
// whose key was good here nothing, even when it has to be looked up again.
func TestMadeUpCredentialsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.failedLookups = newFailedLookups(redis.Limit{Count: 50, Period: time.Hour}) // how the period ends is for TestMisses
	b.runs()
	key := b.makesKey(b.logsIn(), "", identity.OrdersRead)
	b.until(func() bool { return b.who(key.Secret).status == 200 && b.remembers(key.ID) })
	made := func() string { secret, _ := newAPIKey(uuid.Must(uuid.NewV7())); return secret }

	for i := range 50 {
		if got := b.who(made()); got.status != 401 {
			t.Fatalf("look %d: %d", i+1, got.status)
		}
	}
	got := b.who(made())
	if wait, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != 429 || got.member("code") != "too-many-attempts" || err != nil || wait < 1 || wait > 3600 {
		t.Errorf("got %d %s, Retry-After %d", got.status, got.body, wait)
	}
	b.sessions.memory.evict(b.accounts.id, uuid.Nil)
	if got := b.who(key.Secret); got.status != 200 {
		t.Errorf("a good key: %d", got.status)
	}
}

func TestMisses(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	here, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
	full := func() *failedLookups {
		m := newFailedLookups(redis.Limit{Count: 50, Period: time.Second})
		for range 50 {
			m.add(here, now)
		}
		return m
	}
	for name, row := range map[string]struct {
		from    netip.Addr
		at      time.Time
		refused bool
	}{
		"the same":           {here, now, true},
		"a moment later":     {here, now.Add(time.Second - 1), true},
		"a second later":     {here, now.Add(time.Second), false},
		"its neighbour":      {netip.MustParseAddr("2001:db8::ffff:1"), now, true},
		"another network":    {netip.MustParseAddr("2001:db8:0:1::1"), now, false},
		"another owner":      {other, now, false},
		"an unknown address": {netip.Addr{}, now, false},
	} {
		if err := full().refuse(row.from, row.at); (err != nil) != row.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	off := newFailedLookups(redis.Limit{})
	for range 1000 {
		off.add(here, now)
	}
	if err := off.refuse(here, now); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

// A5: what was committed while this node could not look is announced all the same:
// its sockets are open.
func TestChangesDuringALongSilence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := 0
	b.OnChange(func(uuid.UUID, uuid.UUID) { heard++ })
	b.sessions.memory.looked = time.Now().Add(-time.Minute)
	b.exec("insert into revocations (user_id, at) values ($1, now() - interval '50 seconds')", b.accounts.id)
	b.exec("insert into revocations (user_id, at) values ($1, now() + interval '50 seconds')", b.accounts.id)
	for range 2 {
		if err := b.sessions.poll(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if heard != 1 {
		t.Errorf("heard %d", heard)
	}
}

// SPEC A8: with a maximum age, each new key expires by then, and one that would live longer is refused.
func TestMaximumAgeOfKeys_A8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.logsIn()
	older := b.do("POST", "/v1/api-keys", mine.access, `{"name":"older","scopes":["orders:read"]}`)
	b.keyMaxAge = 48 * time.Hour
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

	usual := b.do("POST", "/v1/api-keys", mine.access, `{"name":"usual","scopes":["orders:read"]}`)
	expires, err := time.Parse(time.RFC3339, usual.member("expiresAt"))
	if left := time.Until(expires); usual.status != 201 || err != nil || left > 48*time.Hour || left < 47*time.Hour {
		t.Errorf("without expiresAt: %d %s", usual.status, usual.body)
	}
	if got := b.do("POST", "/v1/api-keys", mine.access, `{"name":"x","scopes":["orders:read"],"expiresAt":null}`); got.member("expiresAt") == "" {
		t.Errorf("with null: %d %s", got.status, got.body)
	}
	short := at(47 * time.Hour)
	if got := b.do("POST", "/v1/api-keys", mine.access, `{"name":"x","scopes":["orders:read"],"expiresAt":"`+short+`"}`); got.status != 201 || got.member("expiresAt")[:19] != short[:19] {
		t.Errorf("shorter: %d %s", got.status, got.body)
	}
	if got := b.do("POST", "/v1/api-keys", mine.access, `{"name":"x","scopes":["orders:read"],"expiresAt":"`+at(49*time.Hour)+`"}`); got.status != 422 || !strings.Contains(got.body, `"/expiresAt"`) || !strings.Contains(got.body, "48h") {
		t.Errorf("longer: %d %s", got.status, got.body)
	}
	rotated := b.do("POST", "/v1/api-keys/"+older.member("id")+"/rotate", mine.access, "")
	if rotated.status != 200 || rotated.member("expiresAt") != "" {
		t.Errorf("a key from before: %d %s", rotated.status, rotated.body)
	}
}
