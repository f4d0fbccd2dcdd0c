// Package audit is the audit trail: an append-only record of who did what to whom (SPEC F11).
//
// An entry is written in the transaction of the change that it describes, so that neither exists
// without the other. It refers to persons by ids only. Writers do not wait for each other: a Sealer
// adds committed entries to a chain of hashed blocks afterwards (ADR 23).
package audit

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/requestid"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Action is a kind of entry. A module declares its actions as variables and lists them in a function
// Actions, from which the documentation and the filters of the API are made.
type Action struct {
	// Name has the form resource.verb in kebab-case, such as user.role-changed. The trail keeps
	// it, so it never changes.
	Name string
	// Subject is the type of the thing that the action concerns, such as user.
	Subject string
	// Fields are the fields whose values an entry may contain. Record rejects any other, so that
	// personal data and secrets cannot get into the trail by mistake.
	Fields []string
	// Doc says in a sentence when the entry is written.
	Doc string
}

// Change is the change of one field. Without values it only says that the field changed.
type Change struct {
	Field  string `json:"field"`
	Before any    `json:"before,omitzero"`
	After  any    `json:"after,omitzero"`
}

// Outcome is the result of what was attempted.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure" // such as a wrong password
	Refused Outcome = "refused" // before it was attempted, such as by a rate limit
)

// Entry is an entry to record. Its actor, request id and network are those of the context.
type Entry struct {
	Action  Action
	Subject string    // the id of the subject
	User    uuid.UUID // the account that the entry concerns, whose owner may read it; zero: none
	Changes []Change
	Outcome Outcome // Success when empty
	Count   int64   // of equal events that share the entry; 1 when zero

	network netip.Prefix // instead of that of the context
}

// The types of actors.
const (
	ActorUser      = "user"
	ActorAdmin     = "admin"
	ActorAnonymous = "anonymous" // a request without a credential
	ActorSystem    = "system"    // background work of the server
	ActorCommand   = "command"   // a command that an operator ran
)

// Actor is the author of an entry. The ids are zero unless its type is user or admin.
type Actor struct {
	Type      string
	ID        uuid.UUID
	SessionID uuid.UUID
	KeyID     uuid.UUID
}

type commandKey struct{}

// AsCommand returns a context in which entries have the actor "command".
func AsCommand(ctx context.Context) context.Context {
	return context.WithValue(ctx, commandKey{}, true)
}

type anonymousKey struct{}

// asAnonymous returns a context for entries that stand for requests that have ended.
func asAnonymous(ctx context.Context) context.Context {
	return context.WithValue(ctx, anonymousKey{}, true)
}

func actorOf(ctx context.Context) Actor {
	if caller, ok := identity.FromContext(ctx); ok {
		a := Actor{Type: ActorUser, ID: caller.UserID, SessionID: caller.SessionID, KeyID: caller.KeyID}
		if caller.IsAdmin() {
			a.Type = ActorAdmin
		}
		return a
	}
	switch {
	case ctx.Value(commandKey{}) != nil:
		return Actor{Type: ActorCommand}
	case requestid.From(ctx) != "", ctx.Value(anonymousKey{}) != nil:
		return Actor{Type: ActorAnonymous}
	}
	return Actor{Type: ActorSystem}
}

// Record writes an entry with q, which is the transaction of the change. It costs one round trip. An
// error means that the transaction must not be committed; a field that the action does not allow is
// one, too.
func Record(ctx context.Context, q postgres.Querier, e Entry) error {
	args, err := rowOf(ctx, e)
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Action.Name, err)
	}
	if _, err := q.Exec(ctx, insertEntry, args...); err != nil {
		return fmt.Errorf("record %s: %w", e.Action.Name, err)
	}
	return nil
}

const insertEntry = `
	with e as (
		insert into audit_entries (id, action, outcome, actor_type, actor_id, session_id, key_id, subject_type, subject_id, user_id,
			changes, request_id, network, count)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) returning id
	)
	insert into audit_pending select id from e`

func rowOf(ctx context.Context, e Entry) ([]any, error) {
	if e.Action.Name == "" || e.Action.Subject == "" || e.Subject == "" {
		return nil, fmt.Errorf("an entry needs an action and a subject: %+v", e)
	}
	for _, c := range e.Changes {
		if !slices.Contains(e.Action.Fields, c.Field) {
			return nil, fmt.Errorf("the action does not allow the field %q", c.Field)
		}
	}
	if e.Changes == nil {
		e.Changes = []Change{}
	}
	changes, err := canonical.Marshal(e.Changes)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	if e.Outcome == "" {
		e.Outcome = Success
	}
	if !e.network.IsValid() {
		e.network = Network(clientaddr.From(ctx))
	}
	network := ""
	if e.network.IsValid() {
		network = e.network.String()
	}
	a := actorOf(ctx)
	return []any{
		id, e.Action.Name, string(e.Outcome), a.Type, orNull(a.ID), orNull(a.SessionID), orNull(a.KeyID), e.Action.Subject, e.Subject, orNull(e.User),
		string(changes), requestid.From(ctx), network, max(1, e.Count),
	}, nil
}

func orNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// Network returns the /24 of an IPv4 address and the /64 of an IPv6 address. It shows where a caller
// was without identifying a person. It is the zero Prefix for the zero Addr.
func Network(a netip.Addr) netip.Prefix {
	bits := 24
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for the zero Addr only
	return p
}

// Changed returns the change of a field, or nothing if its value is the same.
func Changed[T comparable](field string, before, after T) []Change {
	if before == after {
		return nil
	}
	return []Change{{Field: field, Before: before, After: after}}
}

// Now returns the value of a field of something new.
func Now(field string, value any) Change { return Change{Field: field, After: value} }

// Lock takes a lock for an action until tx ends, for callers that compare with the last entry before
// they record another one.
func Lock(ctx context.Context, tx pgx.Tx, what Action) error {
	return postgres.Lock(ctx, tx, "audit "+what.Name)
}
