// Package users manages accounts with their addresses, roles and password hashes, and sends messages to
// their owners.
//
// Passwords and hashes never leave the package: other modules pass in a password and get back
// the account. Hashing is slow on purpose, so it is limited to fewer slots than cores and never
// runs inside a transaction.
package users

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Sessions ends or refreshes the sessions of an account that changed. EndAll and Announce join
// the transaction of the change, after the account's row is written. Committed is called after
// the commit, so that this node reacts at once and the others soon.
type Sessions interface {
	// EndAll ends all sessions of the account.
	EndAll(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error
	// RevokeKeys revokes all API keys of the account for good.
	RevokeKeys(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error
	// DeleteFactor deletes the second factor of the account, if there is one.
	DeleteFactor(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error
	// Announce makes all nodes read the role and the state of the account again.
	Announce(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error
	// Committed sends the wake-ups for the change.
	Committed(ctx context.Context, userID uuid.UUID)
}

// Deps are the dependencies of the module.
type Deps struct {
	Pool     *postgres.Pool
	Sessions Sessions
	// DisableWebhooks disables the webhooks that an account may not have with its new role, or all
	// of them if the role is empty. It joins the transaction of the change, after the account's row
	// is written. Without it there are no webhooks.
	DisableWebhooks func(ctx context.Context, tx pgx.Tx, userID uuid.UUID, role identity.Role) error
	Cost            int // of bcrypt, 4 to 31; 12 when zero
	// HashCommand starts a child process that runs Hash with a low priority. Without it
	// passwords are hashed in this process.
	HashCommand []string
	// HashWait is how long a request waits for a slot to hash before it gets 503; 2 s if zero.
	HashWait time.Duration
	// Limiter limits the registrations of one network address; without it there is no limit.
	Limiter           *redis.Limiter
	RegistrationLimit redis.Limit
	// Registration is who may register: open, invite or off; open when empty.
	Registration string
	// Mailer sends messages; without one nothing is sent, and Queue is not used. Queue inserts the jobs.
	Mailer mail.Mailer
	Queue  *queue.Client
	// MailLinkURL is the page that messages lead to, with a token in the fragment. Without one they
	// contain the token itself.
	MailLinkURL string
	// VerifyEmail restricts registered accounts until their address is verified. It needs a Mailer.
	VerifyEmail bool
	ResetLimit  redis.Limit // requests to reset a password from one network address
	InFlight    *idempotency.InFlight
	Log         *slog.Logger
}

// Module manages accounts. It is safe for concurrent use.
type Module struct {
	pool     *postgres.Pool
	sessions Sessions
	hashes   *hasher
	mailer   mail.Mailer
	queue    *queue.Client
	running  *idempotency.InFlight
	log      *slog.Logger

	disableWebhooks func(ctx context.Context, tx pgx.Tx, userID uuid.UUID, role identity.Role) error

	registration string
	verifyEmail  bool
	linkURL      string
	messages     messageLimits

	beginRegistration func(context.Context, netip.Addr) (giveBack func(context.Context), wait time.Duration, refused bool)
}

// New returns the module. It starts no goroutine.
func New(d Deps) *Module {
	hashes := newHasher(d.Cost, d.HashCommand, d.Log)
	hashes.wait = cmp.Or(d.HashWait, hashes.wait)
	if d.DisableWebhooks == nil {
		d.DisableWebhooks = func(context.Context, pgx.Tx, uuid.UUID, identity.Role) error { return nil }
	}
	return &Module{pool: d.Pool, sessions: d.Sessions, hashes: hashes, log: d.Log, disableWebhooks: d.DisableWebhooks,
		mailer: d.Mailer, queue: d.Queue, running: d.InFlight, linkURL: d.MailLinkURL, verifyEmail: d.VerifyEmail,
		registration: cmp.Or(d.Registration, registrationOpen), messages: messageLimits{d.Limiter, d.ResetLimit},
		beginRegistration: (&registrations{d.Limiter, d.RegistrationLimit}).begin}
}
