// Package users keeps the accounts: who registered, under which address, with
// which role, and the proof of their password.
//
// A password never leaves it: other modules hand in what somebody typed and get
// back who it was. Hashing is slow on purpose, so it waits at a gate with
// fewer places than cores and never runs inside a transaction.
package users

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// Sessions ends or refreshes the sessions of an account that changed. EndAll and Announce join
// the transaction of the change, after the account's row is written. Committed is called after
// the commit, so that this node reacts at once and the others soon.
type Sessions interface {
	EndAll(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error
	Announce(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error
	Committed(ctx context.Context, userID uuid.UUID)
}

// Deps are the dependencies of the module.
type Deps struct {
	Pool     *postgres.Pool
	Sessions Sessions
	Cost     int // of bcrypt, 4 to 31; 12 when zero
	// HashCommand is the command of a child that runs Hash, for hashing beside the process
	// and behind everything else. Without it the process hashes by itself.
	HashCommand []string
	// HashWait is how long a caller waits for the turn to hash before the answer is
	// 503; 2 s when zero.
	HashWait time.Duration
	// Limiter counts the accounts that one address opens; without one they are not limited.
	Limiter           *redis.Limiter
	RegistrationLimit redis.Limit
	Log               *slog.Logger
}

// Module keeps the accounts. It is safe for concurrent use.
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
