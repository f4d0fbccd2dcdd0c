package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// proven stands for a log-in whose password was checked a moment ago.
type proven struct {
	*fakeAccounts
	id      uuid.UUID
	confirm func(context.Context, pgx.Tx) (identity.Role, error)
}

func (p proven) Verify(context.Context, string, string) (uuid.UUID, func(context.Context, pgx.Tx) (identity.Role, error), error) {
	return p.id, p.confirm, nil
}

// announce is what the users module does when a standing changes.
func (b *bundle) announce(end bool, change func(f *fakeAccounts)) {
	b.t.Helper()
	err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		b.accounts.set(change)
		if end {
			return b.sessions.EndAll(b.ctx, tx, b.accounts.id, "account-deactivated")
		}
		return b.sessions.Announce(b.ctx, tx, b.accounts.id)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.sessions.Committed(b.ctx, b.accounts.id)
}

// SPEC A5, F9: on the node that makes a change, the next request sees it. The role comes from the
// database and not from the token.
func TestStandingOnOneNode(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		b := setup(t)
		if running {
			b.runs()
		}
		p := b.logsIn()
		steps := []struct {
			end    bool
			change func(f *fakeAccounts)
			status int
			role   string
		}{
			{false, func(f *fakeAccounts) {}, 200, `"user"`},
			{false, func(f *fakeAccounts) { f.role = identity.Admin }, 200, `"admin"`},
			{false, func(f *fakeAccounts) { f.role = identity.User }, 200, `"user"`},
			{false, func(f *fakeAccounts) { f.active = false }, 401, ""},
			{false, func(f *fakeAccounts) { f.active = true }, 200, `"user"`},
			{true, func(f *fakeAccounts) {}, 401, ""},
		}
		for i, step := range steps {
			b.who(p.access) // may be remembered
			b.announce(step.end, step.change)
			if got := b.who(p.access); got.status != step.status || step.role != "" && got.body != step.role {
				t.Errorf("running %v, step %d: got %d %s", running, i, got.status, got.body)
			}
		}
	}
}

// SPEC A5: another node, no Redis: within a second, and its sockets hear of it once.
func TestRevocationReachesOtherNodes(t *testing.T) {
	t.Parallel()
	accounts := newAccounts()
	url := pgtest.URL(t)
	here, there := node(t, url, accounts), node(t, url, accounts)
	there.runs()
	heard := make(chan uuid.UUID, 100)
	there.OnChange(func(user, session uuid.UUID) {
		if user != accounts.id {
			t.Errorf("heard of %s", user)
		}
		heard <- session
	})
	p := here.logsIn()
	if got := there.who(p.access); got.status != 200 {
		t.Fatalf("got %d", got.status)
	}
	there.until(func() bool { return there.who(p.access).status == 200 && there.remembers(sidOf(t, p.access)) })

	if got := here.do("POST", "/v1/auth/logout", p.access, ""); got.status != 204 {
		t.Fatalf("got %d", got.status)
	}
	there.knowsSoon("log out", p.access, 401)
	if session := <-heard; session != sidOf(t, p.access) {
		t.Errorf("heard of session %s", session)
	}

	// Another change, and two more looks: nothing is heard twice.
	here.announce(false, func(f *fakeAccounts) { f.role = identity.Admin })
	if session := <-heard; session != uuid.Nil {
		t.Errorf("heard of session %s", session)
	}
	for range 2 {
		if err := there.sessions.poll(there.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(heard) != 0 {
		t.Errorf("heard %d more", len(heard))
	}
}

// knowsSoon waits until a credential is answered with status, and fails when a request that began
// more than a second from now is not (SPEC A5). A slow machine answers late; it asks no earlier.
func (b *bundle) knowsSoon(what, credential string, status int) {
	b.t.Helper()
	changed := time.Now()
	b.until(func() bool {
		began := time.Now()
		got := b.who(credential).status
		if got != status && began.Sub(changed) > time.Second {
			b.t.Errorf("%s: after %s it is answered with %d", what, began.Sub(changed), got)
			return true
		}
		return got == status
	})
}

// SPEC A5, E5: a wake-up makes it immediate: nothing else would make this node look.
func TestLook(t *testing.T) {
	t.Parallel()
	accounts := newAccounts()
	url := pgtest.URL(t)
	here, there := node(t, url, accounts), node(t, url, accounts)
	heard, looked := make(chan struct{}, 1), make(chan struct{}, 10)
	there.OnChange(func(uuid.UUID, uuid.UUID) { heard <- struct{}{} })
	ctx, stop := context.WithCancel(there.ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = periodic.Run(ctx, periodic.Task{
			Name: "look", Interval: 24 * time.Hour, Immediately: true, Wake: there.sessions.wakeups, Log: there.sessions.log,
			Run: func(ctx context.Context) error {
				defer func() { looked <- struct{}{} }()
				return there.sessions.poll(ctx)
			},
		})
	})
	t.Cleanup(func() { stop(); watching.Wait() })
	testwait.For(t, "the look at the start", looked)

	here.announce(false, func(*fakeAccounts) {})
	testwait.For(t, "the wake-up for others", here.woken)
	there.Look()

	testwait.For(t, "the change", heard)
}

func (b *bundle) remembers(session uuid.UUID) bool {
	_, ok := b.sessions.memory.get(session, time.Now())
	return ok
}

// holds is remembers, however long ago the last look was.
func (b *bundle) holds(session uuid.UUID) bool {
	b.sessions.memory.mu.RLock()
	defer b.sessions.memory.mu.RUnlock()
	_, ok := b.sessions.memory.byID[session]
	return ok
}

// Without looks there is no memory to speak of (SPEC A5).
func TestNothingIsBelievedWithoutLooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	b.who(p.access)
	if b.remembers(sidOf(t, p.access)) {
		t.Error("remembered without a look")
	}
	for _, unannounced := range []string{
		"expires_at = now()", "expires_at = now() + interval '1 hour', ended_at = now()",
	} {
		b.exec("update sessions set " + unannounced)
		if got := b.who(p.access); got.status != 401 {
			t.Errorf("%s: got %d", unannounced, got.status)
		}
	}
}

// With looks a session is read once and then remembered: F9.
func TestStandingIsRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	if err := b.sessions.poll(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.who(p.access)
	if !b.holds(sidOf(t, p.access)) {
		t.Error("not remembered")
	}
}

// SPEC A5: the bounds of what is remembered, one by one.
func TestMemory(t *testing.T) {
	t.Parallel()
	now := time.Now()
	user, id := uuid.New(), uuid.New()
	entry := status{caller: identity.Caller{UserID: user, SessionID: id}, expires: now.Add(time.Hour), read: now}
	filled := func() *memory {
		m := newMemory()
		m.markFresh(now)
		m.put(entry, m.generation())
		return m
	}
	for name, row := range map[string]struct {
		at     time.Time
		change func(m *memory)
		kept   bool
	}{
		"fresh":                    {now, func(*memory) {}, true},
		"look just good":           {now.Add(maxAge - 1), func(*memory) {}, true},
		"look too old":             {now.Add(maxAge), func(*memory) {}, false},
		"looks go on":              {now.Add(3 * time.Second), func(m *memory) { m.markFresh(now.Add(3 * time.Second)) }, true},
		"after a silence":          {now.Add(silence + 1), func(m *memory) { m.markFresh(now.Add(silence + 1)) }, false},
		"expired":                  {now, func(m *memory) { e := entry; e.expires = now; m.put(e, m.generation()) }, false},
		"too old at all":           {now, func(m *memory) { e := entry; e.read = now.Add(-maxReadAge); m.put(e, m.generation()) }, false},
		"evicted by session":       {now, func(m *memory) { m.evict(user, id) }, false},
		"evicted by user":          {now, func(m *memory) { m.evict(user, uuid.Nil) }, false},
		"another user's":           {now, func(m *memory) { m.evict(uuid.New(), uuid.Nil) }, true},
		"another session":          {now, func(m *memory) { m.evict(user, uuid.New()) }, true},
		"put from before a change": {now, func(m *memory) { g := m.generation(); m.evict(user, id); m.put(entry, g) }, false},
		"put from before a silence": {now, func(m *memory) {
			g := m.generation()
			m.markFresh(now.Add(time.Hour))
			m.looked = now
			m.put(entry, g)
		}, false},
		"put again after an evicted": {now, func(m *memory) { m.evict(user, id); m.put(entry, m.generation()) }, true},
	} {
		m := filled()
		row.change(m)
		if _, kept := m.get(id, row.at); kept != row.kept {
			t.Errorf("%s: kept is %v", name, kept)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory()
	for range remembered + 100 {
		m.put(status{caller: identity.Caller{UserID: uuid.New(), SessionID: uuid.New()}}, 0)
	}
	if len(m.byID) != remembered || len(m.byUser) != remembered {
		t.Errorf("%d sessions of %d users", len(m.byID), len(m.byUser))
	}
}

// The race: a reading that began before a change ends after it was announced.
func TestStandingReadDuringAChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	if err := b.sessions.poll(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.accounts.set(func(f *fakeAccounts) {
		f.reading = func() { // the account is read: still active
			b.accounts.set(func(f *fakeAccounts) { f.reading = nil })
			b.announce(false, func(f *fakeAccounts) { f.active = false })
			if err := b.sessions.poll(b.ctx); err != nil {
				t.Error(err)
			}
		}
	})

	b.who(p.access) // may pass: it began before

	if got := b.who(p.access); got.status != 401 {
		t.Errorf("got %d", got.status)
	}
}

// A transaction that commits long after it wrote is seen all the same.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	heard := 0
	b.OnChange(func(uuid.UUID, uuid.UUID) { heard++ })
	look := func() {
		t.Helper()
		if err := b.sessions.poll(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx) }()
	if err := b.sessions.EndAll(b.ctx, tx, b.accounts.id, "test"); err != nil {
		t.Fatal(err)
	}
	b.exec("insert into revocations (user_id) values ($1)", uuid.New()) // a later id, seen first
	look()
	if b.who(p.access); heard != 1 || !b.holds(sidOf(t, p.access)) {
		t.Fatalf("heard %d", heard)
	}

	if err := tx.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	look()

	if got := b.who(p.access); got.status != 401 || heard != 2 {
		t.Errorf("got %d, heard %d", got.status, heard)
	}
}

// SPEC R4: a dependency that is down is a 503, not a 401, and only where a
// credential is needed.
func TestStandingWithoutAccounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	b.accounts.set(func(f *fakeAccounts) { f.down = fault.Unavailable("The database", errors.New("gone")) })

	if got := b.who(p.access); got.status != 503 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := b.do("GET", "/v1/anyone", p.access, ""); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// A listener that panics costs nothing but a line in the log.
func TestListenerPanics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := make(chan struct{}, 10)
	b.OnChange(func(uuid.UUID, uuid.UUID) {
		heard <- struct{}{}
		panic("listener")
	})
	b.runs()
	b.announce(false, func(*fakeAccounts) {})
	<-heard
	b.until(func() bool { return strings.Contains(b.log.String(), "panic: listener") })
	b.announce(false, func(*fakeAccounts) {})
	<-heard
}

// SPEC G2: what is over goes away, what is not stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.logsIn()
	caller := b.caller(p.access)
	used := p.refresh
	p.refresh = b.refreshes(b.refreshes(used).member("refreshToken")).member("refreshToken")
	if _, _, err := b.IssueTicket(b.ctx, caller); err != nil {
		t.Fatal(err)
	}
	b.exec("insert into revocations (user_id) values ($1)", caller.UserID)
	b.exec("insert into revocations (user_id, at) select $1, now() - interval '61 minutes' from generate_series(1, 2500)", caller.UserID)
	b.exec("insert into tickets select sha256(i::text::bytea), $1, $2, now() - interval '1 second' from generate_series(1, 10) i", caller.UserID, caller.SessionID)
	b.exec("insert into refresh_tokens select sha256(i::text::bytea), $1, now(), now() - interval '1 second' from generate_series(1, 10) i", caller.SessionID)
	for _, age := range []string{"6 days", "8 days"} {
		b.exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at)
			values (gen_random_uuid(), $1, now(), now(), now() - $2::text::interval)`, caller.UserID, age)
	}

	if err := b.sessions.sweep(b.ctx); err != nil {
		t.Fatal(err)
	}

	for table, want := range map[string]int{"revocations": 1, "tickets": 1, "refresh_tokens": 2, "sessions": 2} {
		if got := b.count("select count(*) from " + table); got != want {
			t.Errorf("%s: %d left, want %d", table, got, want)
		}
	}
	if got := b.refreshes(used); got.status != 401 || b.who(p.access).status != 401 {
		t.Error("a used token no longer gives a thief away")
	}
}

func BenchmarkStanding(b *testing.B) {
	m := newMemory()
	id := uuid.New()
	m.markFresh(time.Now())
	m.put(status{caller: identity.Caller{UserID: uuid.New(), SessionID: id}, expires: time.Now().Add(time.Hour), read: time.Now()}, m.generation())
	now := time.Now()
	for b.Loop() {
		if _, ok := m.get(id, now); !ok {
			b.Fatal("not remembered")
		}
	}
}
