package auth

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// The actions of this module in the audit trail.
var (
	sessionCreated = audit.Action{Name: "session.created", Subject: "session", Doc: "A log-in was right, or a changed password opened a new session."}
	sessionEnded   = audit.Action{
		Name: "session.ended", Subject: "session", Fields: []string{"reason"},
		Doc: "A session ended: `logout`, `ended-by-user`, `ended-by-administrator`, `too-many-sessions`, or `refresh-token-reused`, which means that a copy of the token was used.",
	}
	sessionsEnded = audit.Action{
		Name: "user.sessions-ended", Subject: "user", Fields: []string{"reason", "sessions"},
		Doc: "All sessions of an account ended, or all but the one of the request (`ended-by-user`); `sessions` is their number.",
	}
	sessionConfirmed = audit.Action{Name: "session.confirmed", Subject: "session", Doc: "The password was confirmed in a session."}
	loginFailed      = audit.Action{
		Name: "login.failed", Subject: "user",
		Doc: "A log-in with a wrong password or of an account that is unknown or not active. The subject is the id of the account, or an HMAC of an unknown address.",
	}
	loginLimited = audit.Action{
		Name: "login.limited", Subject: "user",
		Doc: "Attempts to log in were refused by `LOGIN_RATE_LIMIT`, counted in `count` for each network and minute.",
	}
	passwordRejected = audit.Action{Name: "user.password-rejected", Subject: "user", Doc: "A change or confirmation of the password had the wrong current password."}
	passwordLimited  = audit.Action{
		Name: "user.password-limited", Subject: "user",
		Doc: "Changes or confirmations of the password, or codes of a second factor, were refused by `LOGIN_RATE_LIMIT`, counted in `count` for each network and minute.",
	}
	keyCreated = audit.Action{Name: "api-key.created", Subject: "api-key", Fields: []string{"scopes", "expiresAt"}, Doc: "An API key was created."}
	keyRotated = audit.Action{Name: "api-key.rotated", Subject: "api-key", Fields: []string{"previousSecretUntil"}, Doc: "An API key got a new secret."}
	keyRevoked = audit.Action{Name: "api-key.revoked", Subject: "api-key", Fields: []string{"scopes", "reason"},
		Doc: "An API key was revoked; `reason` is `account-deactivated`, `account-deleted` or `password-changed` if it was not for itself."}
)

// AuditActions returns the actions that this module records.
func (*Module) AuditActions() []audit.Action {
	return append([]audit.Action{
		sessionCreated, sessionConfirmed, sessionEnded, sessionsEnded, loginFailed, loginLimited, passwordRejected, passwordLimited, keyCreated, keyRotated, keyRevoked,
	}, totpActions()...)
}

func recordSession(ctx context.Context, tx pgx.Tx, what audit.Action, user, session uuid.UUID, changes ...audit.Change) error {
	return audit.Record(ctx, tx, audit.Entry{Action: what, Subject: session.String(), User: user, Changes: changes})
}

func recordKey(ctx context.Context, tx pgx.Tx, what audit.Action, user uuid.UUID, k apiKey, more ...audit.Change) error {
	e := audit.Entry{Action: what, Subject: k.id.String(), User: user}
	switch what.Name {
	case keyCreated.Name:
		e.Changes = []audit.Change{audit.Now("scopes", k.scopes), audit.Now("expiresAt", timeOrNil(k.expiresAt))}
	case keyRotated.Name:
		e.Changes = []audit.Change{audit.Now("previousSecretUntil", timeOrNil(k.previousUntil))}
	case keyRevoked.Name:
		e.Changes = []audit.Change{{Field: "scopes", Before: k.scopes}}
	}
	e.Changes = append(e.Changes, more...)
	return audit.Record(ctx, tx, e)
}

func timeOrNil(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// recordAttempt records an attempt to prove a password that was wrong or refused. The account is
// looked up for every attempt, so that the response takes the same time whether there is one.
func (m *Module) recordAttempt(ctx context.Context, g guess, failed error) error {
	wrong, limited := loginFailed, loginLimited
	if g.change {
		wrong, limited = passwordRejected, passwordLimited
	}
	if isRefusedCode(failed) {
		wrong = loginCodeRejected
		if g.change {
			wrong = codeRejected
		}
	}
	if fault.Is(failed, "too-many-attempts") {
		m.attempts.Count(ctx, audit.Entry{Action: limited, Outcome: audit.Refused})
		return nil
	}
	owner, err := g.owner(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	return m.attempts.Record(ctx, audit.Entry{Action: wrong, User: owner, Outcome: audit.Failure}, g.account)
}
