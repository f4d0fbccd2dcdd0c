// Package identity says who is calling.
//
// It is the one thing that every module knows of authentication: auth proves a
// credential and puts a Caller in the context, everybody else only reads it.
package identity

import (
	"context"
	"strings"

	"github.com/google/uuid"
)

// Role is what a caller may do at large. The order Anyone < User < Admin holds.
type Role string

// The closed set of roles (SPEC A7). Anyone marks routes that need no credential;
// no account ever has it.
const (
	Anyone Role = "anyone"
	User   Role = "user"
	Admin  Role = "admin"
)

// Covers tells whether a holder of r may do what needs the role need.
func (r Role) Covers(need Role) bool {
	switch need {
	case Anyone:
		return true
	case User:
		return r == User || r == Admin
	default:
		return r == Admin && need == Admin
	}
}

// Caller is a proven identity. Its role is read from the database within the
// last second, never from the token alone (SPEC A5). It comes by a session or by an
// API key, so one of SessionID and KeyID is zero.
type Caller struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	KeyID     uuid.UUID
	Role      Role
	Scopes    ScopeSet // of the key; a session needs none
}

// IsAdmin is true for administrators, and for their keys: what a key may do of it
// is checked where routes are, before anybody asks.
func (c Caller) IsAdmin() bool { return c.Role == Admin }

// IsKey is true when it is a machine that calls, on its owner's behalf.
func (c Caller) IsKey() bool { return c.KeyID != uuid.Nil }

// Credential is the id of what proved the caller: the session or the key.
func (c Caller) Credential() uuid.UUID {
	if c.IsKey() {
		return c.KeyID
	}
	return c.SessionID
}

// May tells whether the credential opens a route with that scope. The role is
// another question; both must be answered with yes.
func (c Caller) May(scope Scope) bool { return !c.IsKey() || c.Scopes.Has(scope) }

// Actor is how the caller is written into histories.
func (c Caller) Actor() Actor {
	actor := "user:" + c.UserID.String()
	if c.IsAdmin() {
		actor = "admin:" + c.UserID.String()
	}
	if c.IsKey() {
		actor += "/key:" + c.KeyID.String()
	}
	return Actor(actor)
}

// Actor names who did something: "system", "user:<id>" or "admin:<id>", and behind
// the last two "/key:<id>" when it was done with an API key.
type Actor string

// Parts are the kind, such as "user", and the account's id; whether it came with a
// key makes no difference to either. The system has no id.
func (a Actor) Parts() (kind, id string) {
	kind, rest, _ := strings.Cut(string(a), ":")
	id, _, _ = strings.Cut(rest, "/")
	return kind, id
}

// System is the actor of background work.
const System Actor = "system"

type callerKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// Without returns a context without a caller, whatever was in it.
func Without(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, nil)
}

// From returns the caller, and false when nobody proved who they are.
func From(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// Must returns the caller on routes that only callers reach. It panics
// otherwise: a route registered with the wrong role is a programmer's mistake.
func Must(ctx context.Context) Caller {
	c, ok := From(ctx)
	if !ok {
		panic("identity: no caller in the context")
	}
	return c
}
