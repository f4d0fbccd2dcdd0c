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

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// Sessions is what follows an account whose standing changes. The first two join
// the transaction of the change, after the account's row is written; Committed is
// called when it is done, so that this node at once, and others soon, look again.
type Sessions interface {
	EndAll(ctx context.Context, tx pgx.Tx, userID uuid.UUID, reason string) error
	Announce(ctx context.Context, tx pgx.Tx, userID uuid.UUID) error
	Committed(ctx context.Context, userID uuid.UUID)
}

// Deps is what the module needs.
type Deps struct {
	Pool     *postgres.Pool
	Sessions Sessions
	Cost     int // of bcrypt, 4 to 31; 12 when zero
	// Aside is the command of a child that runs Hash, for hashing beside the process
	// and behind everything else. Without it the process hashes by itself.
	Aside []string
	// HashWait is how long a caller waits for the turn to hash before the answer is
	// 503; 2 s when zero.
	HashWait time.Duration
	// Limiter counts the accounts that one address opens; without one they are not limited.
	Limiter           *redis.Limiter
	RegistrationLimit redis.Limit
	Log               *slog.Logger
}

// Module is the accounts of one process.
type Module struct {
	pool     *postgres.Pool
	sessions Sessions
	hashes   *hasher
	log      *slog.Logger

	beginRegistration func(context.Context, netip.Addr) (giveBack func(context.Context), wait time.Duration, refused bool)
}

// New makes the module; it starts nothing.
func New(d Deps) *Module {
	hashes := newHasher(d.Cost, d.Aside, d.Log)
	hashes.wait = cmp.Or(d.HashWait, hashes.wait)
	return &Module{pool: d.Pool, sessions: d.Sessions, hashes: hashes, log: d.Log,
		beginRegistration: (&registrations{d.Limiter, d.RegistrationLimit}).begin}
}

func rows(q postgres.Querier) *ent.UserClient {
	return ent.NewClient(ent.Driver(postgres.Driver(q))).User
}
