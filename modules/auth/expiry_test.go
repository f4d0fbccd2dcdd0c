package auth

import (
	"testing"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

// SPEC A5: a session that runs out is announced once, like one that is ended, so that
// what it has open goes with it; one that is extended in time is not.
func TestExpiryOfSessionsIsAnnounced(t *testing.T) {
	t.Parallel()
	accounts := newAccounts()
	url := pgtest.URL(t)
	here, there := node(t, url, accounts), node(t, url, accounts)
	heard := make(chan uuid.UUID, 100)
	there.OnChange(func(_, session uuid.UUID) { heard <- session })
	there.runs()
	runsOut, lives := here.logsIn(), here.logsIn()
	here.exec(`update sessions set expires_at = now() + interval '1 minute'`)
	if got := here.refreshes(lives.refresh); got.status != 200 {
		t.Fatalf("got %d", got.status)
	}

	here.exec(`update sessions set expires_at = expires_at - interval '1 minute'`)

	if session := <-heard; session != sidOf(t, runsOut.access) {
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
	if there.who(runsOut.access).status != 401 || there.who(lives.access).status != 200 {
		t.Error("the wrong one is over")
	}
}
