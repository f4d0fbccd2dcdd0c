package audit

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// SPEC F11: an entry has the actor, the credential, the request and the network of its context.
func TestRecordTakesTheCaller_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin, machine := someone(identity.Admin), someone(identity.User)
	machine.SessionID, machine.KeyID = uuid.Nil, uuid.New()
	request := requestOf(b.ctx, "192.0.2.77", "req-1")
	rows := []struct {
		name    string
		ctx     context.Context
		want    Actor
		network string
	}{
		{"admin", identity.NewContext(request, admin), Actor{ActorAdmin, admin.UserID, admin.SessionID, uuid.Nil}, "192.0.2.0/24"},
		{"key", identity.NewContext(requestOf(b.ctx, "2001:db8:1:2:3::4", "req-1"), machine), Actor{ActorUser, machine.UserID, uuid.Nil, machine.KeyID}, "2001:db8:1:2::/64"},
		{"anonymous", request, Actor{Type: ActorAnonymous}, "192.0.2.0/24"},
		{"system", b.ctx, Actor{Type: ActorSystem}, ""},
		{"command", AsCommand(b.ctx), Actor{Type: ActorCommand}, ""},
	}
	for _, row := range rows {
		user := uuid.New()
		err := Record(row.ctx, b.pool, Entry{
			Action: renamed, Subject: row.name, User: user, Outcome: Failure, Changes: []Change{{Field: "size", Before: 1, After: "2"}, Now("tags", []string{"a"})},
		})
		if err != nil {
			t.Fatal(err)
		}

		got := b.list(Filter{Subject: row.name})
		if len(got) != 1 {
			t.Fatalf("%s: %d entries", row.name, len(got))
		}
		e := got[0]
		if e.Actor != row.want || e.Network != row.network || e.User != user || e.Outcome != Failure || e.Action != renamed.Name || e.SubjectType != "thing" || e.Count != 1 {
			t.Errorf("%s: %+v", row.name, e)
		}
		if want := map[bool]string{true: "req-1"}[row.network != ""]; e.RequestID != want {
			t.Errorf("%s: request %q", row.name, e.RequestID)
		}
		if string(e.Changes) != `[{"field":"size","before":1,"after":"2"},{"field":"tags","after":["a"]}]` {
			t.Errorf("%s: changes %s", row.name, e.Changes)
		}
	}
}

// SPEC F11: an entry and its change are one transaction, and a field that the action does not list
// is rejected.
func TestRecordIsPartOfTheTransaction_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	undone := errors.New("the change failed")

	err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		if err := Record(b.ctx, tx, Entry{Action: renamed, Subject: "1"}); err != nil {
			return err
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	for _, e := range []Entry{
		{Action: renamed, Subject: "2", Changes: []Change{Now("email", "ann@example.com")}},
		{Action: renamed},
		{Subject: "3"},
		{Action: renamed, Subject: "4", Outcome: "perhaps"},
		{Action: renamed, Subject: "5", Changes: []Change{Now("size", func() {})}},
	} {
		err := Record(b.ctx, b.pool, e)
		if err == nil || strings.Contains(err.Error(), "ann@example.com") {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if n := b.number(`select (select count(*) from audit_entries) + (select count(*) from audit_pending)`); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Network(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}

// SPEC F11: no statement of the application changes or deletes an entry or a block.
func TestTrailIsAppendOnly_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.record("1")
	b.seal()
	for _, statement := range []string{
		`update audit_entries set action = 'thing.kept'`, `delete from audit_entries`, `truncate audit_entries cascade`,
		`update audit_blocks set hash = ''`, `delete from audit_blocks`, `truncate audit_blocks`,
		`set local orderflow.prune_audit = 'on'; delete from audit_entries`,
		`set local orderflow.prune_audit = 'on'; delete from audit_blocks`,
		`set local orderflow.prune_audit = 'on'; update audit_entries set at = now() - interval '1 year'`,
		`set local orderflow.prune_audit = 'on'; truncate audit_entries`,
		`set local session_replication_role = replica; delete from audit_entries`,
	} {
		conn, err := b.pool.Acquire(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Conn().PgConn().Exec(b.ctx, "begin; "+statement+"; commit").ReadAll()
		_, _ = conn.Exec(b.ctx, "rollback")
		conn.Release()
		if postgres.Code(err) != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if found := b.verify(); found != nil {
		t.Error(found)
	}
}
