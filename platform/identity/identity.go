// Package identity identifies the caller of a request.
//
// It is the only part of authentication that other modules know: package auth verifies a credential
// and stores a Caller in the context, and all other packages only read it.
package identity

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// Role is the general permission of a caller. The roles are ordered: Anyone < User < Admin.
type Role string

// The closed set of roles (SPEC A7). Anyone marks routes that need no credential; no account has
// it.
const (
	Anyone Role = "anyone"
	User   Role = "user"
	Admin  Role = "admin"
)

// Covers reports whether a caller with role r may use what requires the role need.
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

// Caller is an authenticated caller. Its role was read from the database within the last second and
// is never taken from the token alone (SPEC A5). The credential is either a session or an API key,
// so one of SessionID and KeyID is zero.
type Caller struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	KeyID     uuid.UUID
	Role      Role
	Scopes    ScopeSet // of the API key; sessions have no scopes
	// Restriction is what the account must do first; until then only routes that allow it can be
	// used. It is empty for almost all callers.
	Restriction Restriction
	// PasswordAt is when the user of the session last gave the password: at the log-in or a later
	// confirmation. A refresh does not change it. It is zero for API keys. It may be older than the
	// last confirmation, which another node may have received a moment ago, but never newer.
	PasswordAt time.Time
}

// RecentPassword is how long after the password was given a session may create credentials and end
// those of others (SPEC A11). Firebase Authentication recommends the same five minutes for
// sensitive operations ("Manage session cookies", check of auth_time).
const RecentPassword = 5 * time.Minute

// HasRecentPassword reports whether the user gave the password within RecentPassword before now.
func (c Caller) HasRecentPassword(now time.Time) bool {
	return !c.PasswordAt.IsZero() && now.Sub(c.PasswordAt) < RecentPassword
}

// Account is the present state of an account, as the database has it.
type Account struct {
	Role        Role
	Active      bool
	Restriction Restriction
}

// Restriction is something that an account must do before it may do anything else. Its value is
// the code of the 403 of all other routes.
type Restriction string

// Unrestricted is the restriction of callers that may use all routes of their role.
const Unrestricted Restriction = ""

// PasswordChangeRequired is the restriction of an account whose password somebody else knows, because
// it was generated or is a setting of the server (SPEC A12).
const PasswordChangeRequired Restriction = "password-change-required"

// TOTPRequired is the restriction of administrators without an active second factor when the
// installation requires one (SPEC A13).
const TOTPRequired Restriction = "totp-enrolment-required"

// EmailNotVerified is the restriction of an account whose e-mail address must be verified (SPEC A9).
const EmailNotVerified Restriction = "email-not-verified"

// details are what the 403 of a restriction says.
var details = map[Restriction]string{
	PasswordChangeRequired: "Change the initial password of the account with POST /v1/auth/password first, and log in with the new one.",
	TOTPRequired:           "Administrators need a second factor here. Set one up with POST /v1/auth/totp and POST /v1/auth/totp/activate first.",
	EmailNotVerified:       "Confirm your e-mail address first, with the code of the message that was sent to it. POST /v1/auth/verification sends another one.",
}

// Fault returns the refusal of all routes that do not allow the restriction.
func (r Restriction) Fault() error {
	return fault.New(fault.KindForbidden, string(r), "%s", details[r])
}

// IsAdmin reports whether the caller is an administrator or uses an administrator's API key. The
// scopes of the key are checked at the route, before any handler runs.
func (c Caller) IsAdmin() bool { return c.Role == Admin }

// IsKey reports whether the credential is an API key.
func (c Caller) IsKey() bool { return c.KeyID != uuid.Nil }

// Credential returns the id of the session or API key.
func (c Caller) Credential() uuid.UUID {
	if c.IsKey() {
		return c.KeyID
	}
	return c.SessionID
}

// AllowsScope reports whether the credential allows the scope. It does not check the role: a route checks
// both.
func (c Caller) AllowsScope(scope Scope) bool { return !c.IsKey() || c.Scopes.Has(scope) }

// Actor returns the name of the caller for histories.
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

// Actor names the author of a change: "system", "user:<id>" or "admin:<id>". The suffix "/key:<id>"
// of the last two names the API key that was used.
type Actor string

// Parts returns the kind, such as "user", and the id of the account, both without the API key. The
// system has no id.
func (a Actor) Parts() (kind, id string) {
	kind, rest, _ := strings.Cut(string(a), ":")
	id, _, _ = strings.Cut(rest, "/")
	return kind, id
}

// System is the actor of background work.
const System Actor = "system"

type callerKey struct{}

// NewContext returns a context that carries the caller.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// WithoutCaller returns a context that carries no caller, even if ctx carries one.
func WithoutCaller(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, nil)
}

// FromContext returns the caller of ctx, or false if the request is not authenticated.
func FromContext(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// MustFromContext returns the caller of ctx. It panics if there is none, because a route that is registered
// with the wrong role is a programming error.
func MustFromContext(ctx context.Context) Caller {
	c, ok := FromContext(ctx)
	if !ok {
		panic("identity: no caller in the context")
	}
	return c
}
