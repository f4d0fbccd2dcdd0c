package auth

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

// ages makes the session of a pair older.
func (b *bundle) ages(p pair, by string) {
	b.t.Helper()
	b.exec(`update sessions set created_at = created_at - $2::interval where id = $1`, sidOf(b.t, p.access), by)
}

// SPEC A4; ASVS 5.0 7.3.2: a session ends 90 days after the log-in, however often it is refreshed.
func TestSessionsHaveAMaximumAge_A4(t *testing.T) {
	t.Parallel()
	b := setup(t)
	young, old, over := b.logsIn(), b.logsIn(), b.logsIn()
	b.ages(old, "80 days")
	b.ages(over, "90 days")

	b.refreshed(young.refresh)
	b.refreshed(old.refresh)
	for p, days := range map[pair][2]string{young: {"29 days", "31 days"}, old: {"9 days", "11 days"}} {
		n := b.count(`select count(*) from sessions where id = $1 and expires_at > now() + $2::interval and expires_at < now() + $3::interval`,
			sidOf(t, p.access), days[0], days[1])
		if n != 1 {
			t.Errorf("it does not end in %v", days)
		}
	}
	if refresh, access := b.refreshes(over.refresh).status, b.who(over.access).status; refresh != 401 || access != 401 {
		t.Errorf("after 90 days: refresh %d, access %d", refresh, access)
	}
	if n := b.count(`select count(*) from refresh_tokens t join sessions s on s.id = t.session_id where t.used_at is null and t.expires_at > s.expires_at`); n != 0 {
		t.Error("a token outlives its session")
	}
}

// SPEC A5: a session that a node of the previous version prolonged ends at its maximum age with
// what it has open.
func TestOldSessionsAreShortened_A5(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := make(chan uuid.UUID, 100)
	b.OnChange(func(_, session uuid.UUID) { heard <- session })
	over, lives := b.logsIn(), b.logsIn()
	b.ages(over, "91 days")
	b.ages(lives, "80 days")

	b.runs()

	select {
	case session := <-heard:
		if session != sidOf(t, over.access) {
			t.Errorf("heard of session %s", session)
		}
	case <-b.ctx.Done():
		t.Fatal("its end is not announced")
	}
	if n := b.count(`select count(*) from sessions where id = $1 and expires_at > now() + interval '9 days' and expires_at < now() + interval '11 days'`, sidOf(t, lives.access)); n != 1 {
		t.Error("the other one was not shortened")
	}
	if got := b.who(lives.access); got.status != 200 {
		t.Errorf("the other one: %d", got.status)
	}
}

// SPEC F10; ASVS 5.0 7.1.2: an account has 50 sessions; the one that was unused for longest ends
// when another begins, and nodes together do not exceed the number.
func TestSessionsOfAnAccountAreLimited_F10(t *testing.T) {
	t.Parallel()
	accounts, url := newAccounts(), pgtest.URL(t)
	nodes := []*bundle{node(t, url, accounts), node(t, url, accounts)}
	b := nodes[0]
	for _, n := range nodes {
		n.sessions.perAccount = 5
	}
	foreign := uuid.Must(uuid.NewV7())
	b.exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at)
		values ($1, $2, now(), now() - interval '1 day', now() + interval '1 hour')`, foreign, uuid.New())
	oldest := b.logsIn()
	b.exec(`update sessions set last_used_at = now() - interval '1 hour' where id = $1`, sidOf(t, oldest.access))
	second := b.logsIn()
	b.exec(`update sessions set last_used_at = now() - interval '1 minute' where id = $1`, sidOf(t, second.access))
	b.refreshed(oldest.refresh) // now the second one was unused for longest

	pairs := make([]pair, 14)
	var all sync.WaitGroup
	for i := range 4 {
		pairs[i] = b.logsIn()
	}
	if one, two := b.who(oldest.access).status, b.who(second.access).status; one != 200 || two != 401 {
		t.Errorf("the one in use %d, the one unused for longest %d", one, two)
	}
	for i := range pairs[4:] {
		all.Go(func() { pairs[4+i] = nodes[i%2].logsIn() })
	}
	all.Wait()

	if n := b.count("select count(*) from sessions where user_id = $1 and ended_at is null", accounts.id); n != 5 {
		t.Errorf("%d sessions", n)
	}
	if n := b.count("select count(*) from sessions where end_reason = 'too-many-sessions'"); n != 11 {
		t.Errorf("%d sessions ended", n)
	}
	if n := b.count("select count(*) from sessions where id = $1 and ended_at is null", foreign); n != 1 {
		t.Error("a session of another account ended")
	}
}

// SPEC A5, F10; API4:2023: the token of an ended session reads the database once in a second, and
// counts as a failed look-up of its address.
func TestTokensOfEndedSessionsAreCheap_F10(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.failedLookups.limit.Period = time.Hour
	p, other := b.logsIn(), b.logsIn()
	id := sidOf(t, p.access)
	b.do("POST", "/v1/auth/logout", p.access, "")

	if got := b.who(p.access); got.status != 401 || got.member("code") != "invalid-token" || !b.ended.has(id, time.Now()) {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	failed := slices.Collect(maps.Values(b.failedLookups.of))
	b.exec("update sessions set ended_at = null, expires_at = now() + interval '1 day'") // which a read would see
	for _, row := range []struct {
		remembered time.Time
		status     int
	}{{time.Now().Add(time.Hour), 401}, {time.Now().Add(-endedFor), 200}} {
		b.ended.add(id, row.remembered)
		if got := b.who(p.access); got.status != row.status {
			t.Errorf("remembered at %s: got %d", row.remembered, got.status)
		}
	}
	if !slices.Equal(failed, []int{1}) {
		t.Errorf("failed look-ups: %v", failed)
	}
	if got := b.who(other.access); got.status != 200 {
		t.Errorf("another session: %d", got.status)
	}
}
