// Package auth authenticates callers: log-in, access tokens, refresh tokens, sessions, API keys
// and tickets.
//
// A token only identifies its session. The database decides whether that session is valid, and
// with which role. Each node caches this state only while it is certain to learn of a change
// within a second.
package auth

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Accounts looks up accounts and checks their passwords.
type Accounts interface {
	// Fold gives all spellings of one address one form.
	Fold(email string) string
	// Room refuses when proving would have to wait in vain. While others wait, it calls isFamiliar; if
	// that returns true, what is proven with the returned context comes before other proofs.
	Room(ctx context.Context, isFamiliar func(context.Context) (bool, error)) (context.Context, error)
	// Verify proves a password. What it returns is called in the transaction that
	// opens the session: it holds the account as it was proven, or refuses.
	Verify(ctx context.Context, email, password string) (
		id uuid.UUID, confirm func(context.Context, pgx.Tx) (identity.Role, error), err error)
	// Find returns the account with an address; zero if there is none.
	Find(ctx context.Context, email string) (uuid.UUID, error)
	// Roles returns the present roles of those accounts that are active. It reads with the given
	// querier, which may be a transaction.
	Roles(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error)
	// Account reads the state of an account afresh; an unknown one is not active.
	Account(ctx context.Context, id uuid.UUID) (identity.Account, error)
	// Address returns the e-mail address of an account; a NotFound fault if there is no such account.
	Address(ctx context.Context, id uuid.UUID) (string, error)
	// Confirm verifies the password of an account: 422 "wrong-password" at /password if it is wrong.
	Confirm(ctx context.Context, id uuid.UUID, password string) error
	// Exists is a 404 if there was never an account with the id; deleted accounts exist.
	Exists(ctx context.Context, id uuid.UUID) error
	// PreparePassword does what is slow about a change, outside of any transaction.
	PreparePassword(ctx context.Context, id uuid.UUID, current, next string) (
		set func(context.Context, pgx.Tx) error, err error)
}

// Deps are the dependencies of the module. Limiter and Wake may be nil.
type Deps struct {
	Pool               *postgres.Pool
	Sessions           *Sessions
	Accounts           Accounts
	Limiter            *redis.Limiter // counts log-ins; without one they are not limited
	LoginLimit         redis.Limit    // of attempts to prove a password, per account and per address
	Keys               Keys
	Issuer, Audience   string
	FailedLookupLimit  redis.Limit   // invalid keys and tickets that an address may present to this node
	SessionMaxAge      time.Duration // from the log-in to the end of a session, however often it is refreshed; 90 days when zero
	SessionsPerAccount int           // beyond, the one that was unused for longest ends; 50 when zero
	KeysPerAccount     int           // API keys that an account may have; 25 when zero
	KeyMaxAge          time.Duration // from the creation of an API key to its expiry; no limit when zero
	TOTP               TOTP          // second factors
	Notices            Notices       // to the owners of accounts; none when nil
	Wake               func()        // wakes the other nodes to poll now; called after commits
	Log                *slog.Logger
	Metrics            prometheus.Registerer // may be nil
}

// Module authenticates the requests of one process. It is safe for concurrent use.
type Module struct {
	pool          *postgres.Pool
	sessions      *Sessions
	maxKeys       int           // of one account
	keyMaxAge     time.Duration // zero: no limit
	accounts      Accounts
	notices       Notices
	begin         beginAttempt
	signer        *signer
	failedLookups *failedLookups
	attempts      *audit.Attempts
	ended         *endedSessions
	totp          secondFactor
	log           *slog.Logger
	metrics       metrics
}

// New returns the module; Run keeps it informed of changes. It panics without keys, issuer or
// audience, because a token must name the installation that it belongs to.
func New(d Deps) *Module {
	if len(d.Keys.list) == 0 || d.Issuer == "" || d.Audience == "" {
		panic("auth: keys, issuer and audience are required")
	}
	if d.Wake != nil {
		d.Sessions.wake = d.Wake
	}
	if d.Notices == nil {
		d.Notices = noNotices{}
	}
	d.Sessions.maxAge = cmp.Or(d.SessionMaxAge, defaultMaxAge)
	d.Sessions.perAccount = cmp.Or(d.SessionsPerAccount, defaultPerAccount)
	return &Module{
		pool:          d.Pool,
		sessions:      d.Sessions,
		accounts:      d.Accounts,
		notices:       d.Notices,
		begin:         d.beginAttempt(),
		signer:        &signer{keys: d.Keys, issuer: d.Issuer, audience: d.Audience},
		failedLookups: newFailedLookups(d.FailedLookupLimit),
		attempts:      audit.NewAttempts(d.Pool, d.Log),
		ended:         &endedSessions{},
		totp:          newSecondFactor(d),
		maxKeys:       cmp.Or(d.KeysPerAccount, maxKeys),
		keyMaxAge:     d.KeyMaxAge,
		log:           d.Log,
		metrics:       newMetrics(d.Metrics),
	}
}

// beginAttempt is loginAttempts.begin.
type beginAttempt func(ctx context.Context, account string, from netip.Addr, knownNetwork func(context.Context) (bool, error)) (
	end func(ctx context.Context, what outcome) error, err error)

func (d *Deps) beginAttempt() beginAttempt {
	if d.Limiter == nil {
		return (&loginAttempts{}).begin
	}
	return (&loginAttempts{d.Limiter, d.LoginLimit}).begin
}

// Run watches for ended sessions and keys and changed roles, deletes expired rows, records refused
// attempts to log in, and revokes keys that were left by nodes of the previous version, until ctx
// ends. Without it the module is correct but reads the database for
// each request.
func (m *Module) Run(ctx context.Context) error {
	if err := m.warnOfFactors(ctx); err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "the keys of second factors were not checked", "error", err)
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return m.sessions.run(ctx) })
	both.Go(func() error { return m.attempts.Run(ctx) })
	both.Go(func() error {
		return periodic.Run(ctx, periodic.Task{
			Name: "revoke keys of inactive accounts", Interval: reconcileEvery, Immediately: true, Jitter: 0.5, Log: m.log, Run: m.revokeLeft,
		})
	})
	return both.Wait()
}

// Look makes Run read the latest changes now instead of at its next interval. It does not wait.
func (m *Module) Look() { m.sessions.look() }

// OnChange registers a callback for a session or API key that was revoked or whose role changed;
// a zero credential stands for all of the user's. CurrentCaller returns the new state. Each change
// made on any node is announced once on every node that runs, from one goroutine, so the callback
// must not block. Register callbacks before Run.
func (m *Module) OnChange(listener func(userID, credential uuid.UUID)) {
	m.sessions.listen(listener)
}

// refusal returns the 401 of an invalid credential.
func refusal(code, detail string) *fault.Error {
	return fault.New(fault.KindUnauthenticated, code, "%s", detail)
}

func invalidToken() *fault.Error {
	return refusal("invalid-token", "The access token is not valid, or no longer.")
}
