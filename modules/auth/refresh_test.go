package auth

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

// refreshed returns the next refresh token.
func (b *bundle) refreshed(token string) string {
	b.t.Helper()
	got := b.refreshes(token)
	if got.status != 200 {
		b.t.Fatalf("refresh: %d %s", got.status, got.body)
	}
	return got.member("refreshToken")
}

// later lets the grace of used tokens, and the limit of refreshes, pass.
func (b *bundle) later() {
	b.t.Helper()
	b.exec("update refresh_tokens set used_at = used_at - interval '11 seconds'")
	b.exec("update sessions set refresh_due = null")
}

// isOver fails unless the session ended because a used token was presented.
func (b *bundle) isOver(what string, p pair, current string) {
	b.t.Helper()
	if access, refresh := b.who(p.access).status, b.refreshes(current).status; access != 401 || refresh != 401 {
		b.t.Errorf("%s: the session goes on: access %d, refresh %d", what, access, refresh)
	}
	if n := b.count("select count(*) from sessions where id = $1 and end_reason = 'refresh-token-reused'", sidOf(b.t, p.access)); n != 1 {
		b.t.Errorf("%s: the session was not ended", what)
	}
}

// SPEC A4: a used token that is presented again ends the session, and is logged.
func TestRefreshReuse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other, first := b.logsIn(), b.logsIn()
	second := b.refreshes(first.refresh)
	b.later()

	got := b.refreshes(first.refresh)

	if got.status != 401 || got.member("code") != "invalid-refresh-token" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	b.isOver("reuse", first, second.member("refreshToken"))
	if got := b.who(second.member("accessToken")); got.status != 401 {
		t.Errorf("new access: %d", got.status)
	}
	if got := b.who(other.access); got.status != 200 {
		t.Errorf("another session: %d", got.status)
	}
	if !strings.Contains(b.log.String(), sidOf(t, first.access).String()) {
		t.Error("not logged")
	}
}

// SPEC A4: a session has two rows of tokens, however often it is refreshed, and still every
// token that was ever used ends it.
func TestEveryUsedTokenIsRecognised_A4(t *testing.T) {
	t.Parallel()
	const refreshes = 25
	for _, again := range []int{0, 1, 12, refreshes - 2, refreshes - 1} {
		b := setup(t)
		p := b.logsIn()
		tokens := []string{p.refresh}
		for i := range refreshes {
			tokens = append(tokens, b.refreshed(tokens[i]))
			b.later()
		}
		if n := b.count("select count(*) from refresh_tokens"); n != 2 {
			t.Errorf("%d rows of tokens", n)
		}

		if got := b.refreshes(tokens[again]); got.status != 401 {
			t.Errorf("token %d: got %d", again, got.status)
		}
		b.isOver(fmt.Sprint("token ", again), p, tokens[refreshes])
	}
}

// SPEC A4: a token that has the tag of a session but is none of its tokens ends nothing.
func TestForgedRefreshTokenEndsNothing_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	current := b.refreshed(b.refreshed(p.refresh))
	raw, err := base64.RawURLEncoding.DecodeString(current)
	if err != nil {
		t.Fatal(err)
	}
	forged := firstRefresh(raw[:tagSize]).text()

	if got := b.refreshes(forged); got.status != 401 || got.member("code") != "invalid-refresh-token" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := b.who(p.access); got.status != 200 {
		t.Errorf("the session: %d", got.status)
	}
	b.refreshed(current)
}

// SPEC A4; RFC 9700, section 4.14.2: within the grace, any number of requests with one token, on
// two nodes, get one successor, and the session goes on. Afterwards the same token ends it.
func TestRefreshRace(t *testing.T) {
	t.Parallel()
	accounts, url := newAccounts(), pgtest.URL(t)
	nodes := []*bundle{node(t, url, accounts), node(t, url, accounts)}
	b := nodes[0]
	first := b.logsIn()
	token := b.refreshed(first.refresh) // now a row of a used token is there to be deleted
	answers := make([]answered, 40)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = nodes[i%2].refreshes(token) })
	}
	all.Wait()

	next := answers[0].member("refreshToken")
	for _, a := range answers {
		if a.status != 200 || a.member("refreshToken") != next || next == token {
			t.Errorf("got %d %s", a.status, a.body)
			continue
		}
		if got := b.who(a.member("accessToken")); got.status != 200 {
			t.Errorf("an access token: %d", got.status)
		}
	}
	if n := b.count("select count(*) from refresh_tokens where used_at is null"); n != 1 {
		t.Errorf("%d tokens can be used", n)
	}
	if n := b.count("select max(refresh_count) from sessions"); n != 2 {
		t.Errorf("%d refreshes", n)
	}
	next = b.refreshed(next)

	b.later()
	all.Go(func() { nodes[0].refreshes(token) })
	all.Go(func() { nodes[1].refreshes(token) })
	all.Wait()
	b.isOver("after the grace", first, next)
}

// SPEC A4: the grace is for the token that was used last. The one before it ends the session
// even when both were used a moment ago.
func TestGraceIsForTheLastToken_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	second := b.refreshed(p.refresh)
	third := b.refreshed(second)
	if again := b.refreshed(second); again != third {
		t.Error("the last one used has another successor")
	}

	b.refreshes(p.refresh)

	b.isOver("the one before", p, third)

	session, old := b.logsInBefore() // its row is kept
	b.refreshed(b.refreshed(old))
	b.refreshes(old)
	if n := b.count("select count(*) from sessions where id = $1 and end_reason = 'refresh-token-reused'", session); n != 1 {
		t.Error("a token with a row: the session goes on")
	}
}

// SPEC A4: races of different tokens of one session neither deadlock nor open a second line of
// tokens.
func TestRefreshesOfAllTokensAtOnce_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 5 {
		p := b.logsIn()
		second := b.refreshed(p.refresh)
		answers := make([]answered, 20)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = b.refreshes([]string{p.refresh, second}[i%2]) })
		}
		all.Wait()
		for _, a := range answers {
			if a.status != 200 && a.status != 401 {
				t.Errorf("got %d %s", a.status, a.body)
			}
		}
		if n := b.count("select count(*) from refresh_tokens where session_id = $1 and used_at is null", sidOf(t, p.access)); n != 1 {
			t.Errorf("%d tokens can be used", n)
		}
	}
}

// SPEC A4: the row of a used token, which a request with that token may hold while it waits for the
// session, does not block a refresh: otherwise the two would be a deadlock.
func TestRefreshWaitsForNoOtherToken_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	second := b.refreshed(b.logsIn().refresh)
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(b.ctx)
	if tag, err := tx.Exec(b.ctx, `select from refresh_tokens where used_at is not null for update`); err != nil || tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}

	var got answered
	if b.waitsFor(tx, func() { got = b.refreshes(second) }) || got.status != 200 {
		t.Errorf("it waited, or failed: %d %s", got.status, got.body)
	}
}

// SPEC A4: a session is refreshed ten times at once and then once in ten seconds; a refused
// token stays valid.
func TestRefreshesAreLimited_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	token := p.refresh
	for range refreshBurst {
		token = b.refreshed(token)
	}
	if n := b.count("select count(*) from sessions where refresh_due > created_at + interval '90 seconds'"); n != 1 {
		t.Error("the refreshes were not counted")
	}

	b.exec("update sessions set refresh_due = now() + interval '10 minutes'")
	got := b.refreshes(token)
	if got.status != 429 || got.member("code") != "too-many-refreshes" || !slices.Contains([]string{"509", "510"}, got.header.Get("Retry-After")) {
		t.Fatalf("got %d %s, Retry-After %s", got.status, got.body, got.header.Get("Retry-After"))
	}
	if got := b.who(p.access); got.status != 200 {
		t.Errorf("the session: %d", got.status)
	}
	b.exec("update sessions set refresh_due = now() + interval '90 seconds'")
	b.refreshed(token)
}

// The statements with which version 0.1 opened and refreshed sessions (SPEC G1).
func (b *bundle) logsInBefore() (session uuid.UUID, token string) {
	b.t.Helper()
	session = uuid.Must(uuid.NewV7())
	b.exec(`insert into sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at)
		values ($1, $2, '', '', now(), now(), now() + interval '30 days')`, session, b.accounts.id)
	return session, b.addsBefore(session)
}

func (b *bundle) addsBefore(session uuid.UUID) (token string) {
	b.t.Helper()
	token, hash := newSecret()
	b.exec(`insert into refresh_tokens (hash, session_id, created_at, expires_at) values ($1, $2, now(), now() + interval '30 days')`, hash, session)
	return token
}

func (b *bundle) refreshesBefore(token string) (next string) {
	b.t.Helper()
	hash, err := hashOf(token)
	if err != nil {
		b.t.Fatal(err)
	}
	var session uuid.UUID
	err = b.pool.QueryRow(b.ctx, `update refresh_tokens set used_at = now()
		where hash = $1 and used_at is null and expires_at > now() returning session_id`, hash).Scan(&session)
	if err != nil {
		b.t.Fatal("the previous version does not take the token: ", err)
	}
	if n := b.count(`with done as (update sessions set last_used_at = now(), expires_at = now() + interval '30 days'
		where id = $1 and ended_at is null and expires_at > now() returning 1) select count(*) from done`, session); n != 1 {
		b.t.Fatal("the previous version finds no session")
	}
	return b.addsBefore(session)
}

// SPEC G1, A4: while nodes of two versions run, each takes the tokens of the other, and a used
// token ends the session on the new ones, whichever node it was used on.
func TestRefreshAcrossVersions_G1(t *testing.T) {
	t.Parallel()
	for name, presented := range map[string]int{
		"used on an old node, made by one": 0, "used on a new node, made by an old one": 1, "used on a new node, made by one": 2,
		"used on an old node, made by a new one": 3,
	} {
		b := setup(t)
		session, token := b.logsInBefore()
		tokens := []string{token}
		for i, refresh := range []func(string) string{b.refreshesBefore, b.refreshed, b.refreshed, b.refreshesBefore, b.refreshed, b.refreshed, b.refreshed} {
			tokens = append(tokens, refresh(tokens[i]))
			b.later()
		}

		if got := b.refreshes(tokens[presented]); got.status != 401 {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
		ended := b.count("select count(*) from sessions where id = $1 and end_reason = 'refresh-token-reused'", session)
		if ended != 1 {
			t.Errorf("%s: the session goes on", name)
		}
	}
}

// SPEC A4: two requests with a token of the previous version get one successor as well.
func TestGraceForATokenOfThePreviousVersion_G1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, token := b.logsInBefore()
	if one, two := b.refreshed(token), b.refreshed(token); one != two {
		t.Errorf("%s and %s", one, two)
	}
}

// ADR 22: what the database holds does not give the current token away.
func TestTheCurrentTokenIsNotStored_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	token, err := parseRefresh(b.refreshed(p.refresh))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{token[:], token[tagSize:], []byte(token.text())} {
		n := b.count(`select count(*) from (
			select refresh_key || refresh_tag as b from sessions union all select hash from refresh_tokens) s
			where position($1::bytea in s.b) > 0`, secret)
		if n != 0 {
			t.Error("the token is stored")
		}
	}
	if bytes.Equal(token[:tagSize], token[tagSize:2*tagSize]) {
		t.Error("the secret is the tag")
	}
}

func BenchmarkRecogniseUsedToken(b *testing.B) {
	tag, key := newFamily()
	token := firstRefresh(tag)
	b.ReportMetric(float64(b.N), "steps")
	if token.leadsTo([][]byte{make([]byte, 32)}, key, int64(b.N)) {
		b.Fatal("found")
	}
}
