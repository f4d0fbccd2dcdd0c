package audit

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func (b *bundle) attempts() *Attempts { return NewAttempts(b.pool, slog.New(slog.DiscardHandler)) }

// SPEC F11, A6: a failed attempt names the account by its id, or an unknown one by an HMAC, and also
// when the client has gone.
func TestFailedAttempts_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, user := b.attempts(), uuid.New()
	gone, cancel := context.WithCancel(requestOf(b.ctx, "192.0.2.9", "r"))
	cancel()

	for _, e := range []struct {
		user uuid.UUID
		name string
	}{{user, "ann@example.com"}, {uuid.Nil, "bob@example.com"}, {uuid.Nil, "bob@example.com"}, {uuid.Nil, "eve@example.com"}} {
		if err := a.Record(gone, Entry{Action: failed, User: e.user, Outcome: Failure}, e.name); err != nil {
			t.Fatal(err)
		}
	}

	list := b.list(Filter{})
	if len(list) != 4 || list[3].Subject != user.String() || list[3].User != user || list[3].Actor.Type != ActorAnonymous {
		t.Fatalf("got %+v", list)
	}
	bob, again, eve := list[2], list[1], list[0]
	if bob.Subject != again.Subject || bob.Subject == eve.Subject || !strings.HasPrefix(bob.Subject, "unknown:") || len(bob.Subject) != 40 || bob.User != uuid.Nil {
		t.Errorf("%s, %s, %s", bob.Subject, again.Subject, eve.Subject)
	}
	other := setup(t)
	other.exec(`update audit_chain set fingerprint_key = sha256('another database')`) // both are clones of one
	if err := other.attempts().Record(gone, Entry{Action: failed, Outcome: Failure}, "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	if other.list(Filter{})[0].Subject == bob.Subject {
		t.Error("two databases have the same fingerprints")
	}
}

// SPEC F11, F10: a flood writes a bounded number of entries, and none of its attempts is lost.
func TestFloodIsBounded_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, user := b.attempts(), uuid.New()
	const networks, refused = networksAtMost + 500, 3
	for i := range networks {
		ctx := requestOf(b.ctx, fmt.Sprintf("10.%d.%d.1", i/256, i%256), "r")
		for range refused {
			a.Count(ctx, Entry{Action: limited, User: user, Outcome: Refused})
		}
		if i < singleAtMost+100 {
			if err := a.Record(ctx, Entry{Action: failed, Outcome: Failure}, "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := b.number(`select count(*) from audit_entries`); n != singleAtMost {
		t.Errorf("%d entries before the end of the window", n)
	}

	if err := a.Flush(b.ctx); err != nil {
		t.Fatal(err)
	}

	if n := b.number(`select count(*) from audit_entries`); n > singleAtMost+networksAtMost+2 {
		t.Errorf("%d entries", n)
	}
	if n := b.number(`select sum(count) from audit_entries where action = 'login.limited' and outcome = 'refused' and user_id = $1`, user); n != networks*refused {
		t.Errorf("%d refused attempts", n)
	}
	if n := b.number(`select sum(count) from audit_entries where action = 'login.failed'`); n != singleAtMost+100 {
		t.Errorf("%d failed attempts", n)
	}
	if err := a.Flush(b.ctx); err != nil || b.number(`select count(*) from audit_entries where network = ''`) != 1 {
		t.Errorf("what was beyond the networks: %v", err)
	}
}

// Counts that could not be written are kept, and attempts at several accounts name none of them.
func TestCountsSurviveAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, ctx := b.attempts(), requestOf(t.Context(), "192.0.2.9", "r")
	a.Count(ctx, Entry{Action: limited, User: uuid.New(), Outcome: Refused})
	cancelled, cancel := context.WithCancel(b.ctx)
	cancel()
	if err := a.Flush(cancelled); err == nil {
		t.Fatal("it was written")
	}
	a.Count(ctx, Entry{Action: limited, User: uuid.New(), Outcome: Refused})

	done, stop := context.WithCancel(b.ctx)
	stop()
	if err := a.Run(done); err != nil { // writes the rest at its end
		t.Fatal(err)
	}

	list := b.list(Filter{})
	if len(list) != 1 || list[0].Count != 2 || list[0].Subject != severalSubjects || list[0].User != uuid.Nil || list[0].Network != "192.0.2.0/24" || list[0].Actor.Type != ActorAnonymous {
		t.Errorf("got %+v", list)
	}
}
