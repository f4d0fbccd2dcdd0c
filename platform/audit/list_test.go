package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/identity"
)

// SPEC F11, C5: walking the pages while others insert shows each older entry that matches exactly
// once, newest first, whatever the filter.
func TestPagesAreComplete_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	users := []uuid.UUID{uuid.New(), uuid.New(), {}}
	callers := []identity.Caller{someone(identity.User), someone(identity.Admin)}
	actions := []Action{renamed, failed, limited}
	insert := func() {
		ctx := requestOf(b.ctx, "192.0.2.1", fmt.Sprint("request ", rand.IntN(3)))
		ctx = identity.NewContext(ctx, callers[rand.IntN(len(callers))])
		err := Record(ctx, b.pool, Entry{Action: actions[rand.IntN(len(actions))], Subject: fmt.Sprint(rand.IntN(3)), User: users[rand.IntN(len(users))]})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 120 {
		insert()
	}
	all := b.list(Filter{Limit: 1000})
	middle := all[60].At

	for range 60 {
		var f Filter
		if rand.IntN(2) == 0 {
			f.Actor = callers[rand.IntN(len(callers))].UserID
		}
		if rand.IntN(2) == 0 {
			f.User = users[rand.IntN(2)]
		}
		switch rand.IntN(4) {
		case 0:
			f.Actions = []string{failed.Name}
		case 1:
			f.Actions = []string{failed.Name, limited.Name}
		}
		if rand.IntN(3) == 0 {
			f.Subject = fmt.Sprint(rand.IntN(4))
		}
		if rand.IntN(4) == 0 {
			f.SubjectType = []string{"user", "thing"}[rand.IntN(2)]
		}
		if rand.IntN(4) == 0 {
			f.RequestID = "request 1"
		}
		if rand.IntN(4) == 0 {
			f.To = middle
		}
		if rand.IntN(4) == 0 {
			f.From = middle
		}
		var want, got []uuid.UUID
		for _, e := range all {
			if matches(f, e) {
				want = append(want, e.ID)
			}
		}
		for f.Limit = 1 + rand.IntN(20); ; {
			page := b.list(f)
			for _, e := range page {
				got = append(got, e.ID)
			}
			if len(page) < f.Limit {
				break
			}
			f.Before = page[len(page)-1].ID
			insert()
		}
		got = slices.DeleteFunc(got, func(id uuid.UUID) bool { // inserted since
			return !slices.ContainsFunc(all, func(e Stored) bool { return e.ID == id })
		})
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d entries, want %d", f, len(got), len(want))
		}
	}
}

func matches(f Filter, e Stored) bool {
	at := e.ID.Time()
	sec, nsec := at.UnixTime()
	ms := time.Unix(sec, nsec).UnixMilli()
	return (f.Actor == uuid.Nil || e.Actor.ID == f.Actor) && (f.User == uuid.Nil || e.User == f.User) &&
		(f.Actions == nil || slices.Contains(f.Actions, e.Action)) && (f.Subject == "" || e.Subject == f.Subject) &&
		(f.SubjectType == "" || e.SubjectType == f.SubjectType) && (f.RequestID == "" || e.RequestID == f.RequestID) &&
		(f.To.IsZero() || ms <= f.To.UnixMilli()) && (f.From.IsZero() || ms >= f.From.UnixMilli())
}

// SPEC G2: each filter reads the list from an index in its order, at any length of the trail.
func TestListsUseIndexes_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`insert into audit_entries (id, action, outcome, actor_type, actor_id, subject_type, subject_id, user_id, changes, request_id, network)
		select (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, 'login.failed', 'failure', 'user', md5((n % 100)::text)::uuid, 'user',
			(n % 100)::text, md5((n % 100)::text)::uuid, '[]', n::text, '' from generate_series(1, 20000) n`)
	b.exec(`analyze audit_entries`)
	user := uuid.MustParse("c4ca4238-a0b9-2382-0dcc-509a6f75849b") // md5 of 1
	for _, row := range []struct {
		f     Filter
		index string
	}{
		{Filter{}, "audit_entries_pkey"},
		{Filter{Before: uuid.MustParse("00000000-2000-7000-8000-000000000000")}, "audit_entries_pkey"},
		{Filter{From: time.UnixMilli(100), To: time.UnixMilli(200)}, "audit_entries_pkey"},
		{Filter{Actor: user}, "audit_entries_actor"},
		{Filter{User: user}, "audit_entries_user"},
		{Filter{Subject: "1"}, "audit_entries_subject"},
		{Filter{RequestID: "777"}, "audit_entries_request"},
		{Filter{Actions: []string{"login.failed"}}, "audit_entries_action"},
		{Filter{Actions: []string{"login.failed", "user.deleted"}}, "audit_entries_action"},
	} {
		row.f.Limit = 21
		query, args := row.f.query()
		rows, err := b.pool.Query(b.ctx, "explain "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan += line + "\n"
		}
		rows.Close()
		if !strings.Contains(plan, row.index) || strings.Contains(plan, "Seq Scan on audit_entries") {
			t.Errorf("%+v:\n%s", row.f, plan)
		}
	}
}
