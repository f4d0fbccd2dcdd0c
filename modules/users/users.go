// Package users manages accounts with their addresses, roles and password hashes.
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
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Sessions ends or refreshes the sessions of an account that changed. EndAll and Announce join
// the transaction of the change, after the account's row is written. Committed is called after
// the commit, so that this node reacts at once and the others soon.
type Sessions interface {
	// EndAll ends all sessions of the account.
	EndAll(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error
	// Announce makes all nodes read the role and the state of the account again.
	Announce(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error
	// Committed sends the wake-ups for the change.
	Committed(ctx context.Context, userID uuid.UUID)
}

// Deps are the dependencies of the module.
type Deps struct {
	Pool     *postgres.Pool
	Sessions Sessions
	Cost     int // of bcrypt, 4 to 31; 12 when zero
	// HashCommand starts a child process that runs Hash with a low priority. Without it
	// passwords are hashed in this process.
	HashCommand []string
	// HashWait is how long a request waits for a slot to hash before it gets 503; 2 s if zero.
	HashWait time.Duration
	// Limiter limits the registrations of one network address; without it there is no limit.
	Limiter           *redis.Limiter
	RegistrationLimit redis.Limit
	Log               *slog.Logger
}

// Module manages accounts. It is safe for concurrent use.
type Module struct {
	pool     *postgres.Pool
	sessions Sessions
	hashes   *hasher
	log      *slog.Logger

	beginRegistration func(context.Context, netip.Addr) (giveBack func(context.Context), wait time.Duration, refused bool)
}

// New returns the module. It starts no goroutine.
func New(d Deps) *Module {
	hashes := newHasher(d.Cost, d.HashCommand, d.Log)
	hashes.wait = cmp.Or(d.HashWait, hashes.wait)
	return &Module{pool: d.Pool, sessions: d.Sessions, hashes: hashes, log: d.Log,
		beginRegistration: (&registrations{d.Limiter, d.RegistrationLimit}).begin}
}
