// Package webhooks delivers events of orders to the HTTP endpoints of users (SPEC E8).
//
// A consumer of the event log creates the deliveries in the same commit that moves its
// position. The deliveries of an endpoint are numbered without gaps, so that a receiver can
// detect missing ones and request them again. A River job sends each delivery at least once,
// always with the same webhook-id.
//
// Locks are taken in a fixed order: the row of an endpoint before those of its deliveries.
package webhooks

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/internal/wakeup"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Queue is the River queue of this module, separate from that of orders.
const Queue = "webhooks"

// Deps are the dependencies of the module.
type Deps struct {
	Pool   *postgres.Pool
	Queue  *queue.Client // inserts
	Events *events.Log
	// Roles returns the current roles of the active accounts among these. It reads with the
	// given querier, which may be a transaction.
	Roles func(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error)
	// Keys returns what the valid API keys among these may do now, in the same way.
	Keys func(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.ScopeSet, error)
	// AccountExists is a 404 if there was never an account with the id.
	AccountExists func(ctx context.Context, id uuid.UUID) error
	// Redact removes from events what may no longer be read; it may be nil.
	Redact   func(ctx context.Context, list []events.Event) error
	Types    []string // the event types that an endpoint may select
	InFlight *idempotency.InFlight
	// Plaintext allows http:// besides https://.
	Plaintext bool
	// Allowed are networks that are not public and to which deliveries may be sent.
	Allowed []netip.Prefix
	// Ports are those that URLs may have; if empty, 80, 443 and all above 1023.
	Ports    []uint16
	Resolver *net.Resolver // default: the system's
	Keep     time.Duration // how long deliveries are kept; 30 days when zero
	Version  string        // of the product, for the User-Agent
	Tracers  trace.TracerProvider
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Module is safe for concurrent use.
type Module struct {
	pool   *postgres.Pool
	queue  *queue.Client
	events *events.Log
	roles  func(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.Role, error)
	keys   func(ctx context.Context, q postgres.Querier, ids []uuid.UUID) (map[uuid.UUID]identity.ScopeSet, error)
	redact func(ctx context.Context, list []events.Event) error

	accountExists func(ctx context.Context, id uuid.UUID) error

	types   []string
	running *idempotency.InFlight
	keep    time.Duration
	tracers trace.TracerProvider
	log     *slog.Logger

	addresses *addresses
	sender    *sender
	shares    *shares
	policy    retryPolicy
	inline    inline
	metrics   metrics
	reader    *events.Consumer
	revoked   wakeup.Signal
}

// New returns the module. It starts no goroutine before Run.
func New(d Deps) *Module {
	if d.Tracers == nil {
		d.Tracers = noop.NewTracerProvider()
	}
	if d.Keep == 0 {
		d.Keep = 30 * 24 * time.Hour
	}
	m := &Module{
		pool: d.Pool, queue: d.Queue, events: d.Events, roles: d.Roles, keys: d.Keys, redact: d.Redact, accountExists: d.AccountExists, types: d.Types, running: d.InFlight,
		keep: d.Keep, tracers: d.Tracers, log: d.Log, policy: usual, inline: inline{inlineOfPage, inlineOfOwner}, metrics: newMetrics(d.Metrics), revoked: wakeup.New(),
	}
	m.addresses = newAddresses(d.Plaintext, d.Allowed, d.Ports, d.Resolver)
	m.sender = newSender(m.addresses, d.Version, d.Tracers)
	m.shares = newShares(Slots, m.policy.owner, m.policy.share)
	m.reader = events.NewConsumer(d.Events, consumerName, m.fanOut, d.Log)
	return m
}

// Wake makes Run read new events now. It never blocks.
func (m *Module) Wake() { m.reader.Wake() }

// Run consumes the event log, repairs and deletes until ctx ends. It is for nodes that work jobs;
// any number of them may run it.
func (m *Module) Run(ctx context.Context) error {
	var all errgroup.Group
	all.Go(func() error { return m.reader.Run(ctx) })
	all.Go(func() error { return periodic.Run(ctx, m.tasks()...) })
	return all.Wait()
}

func (m *Module) tasks() []periodic.Task {
	return []periodic.Task{
		{Name: "sweep webhooks", Interval: m.policy.sweep, Jitter: 0.25, Log: m.log, Run: m.SweepOnce},
		{Name: "delete old webhook deliveries", Interval: cleanEvery, Jitter: 0.5, Log: m.log, Run: m.CleanOnce},
		{Name: "disable webhooks of inactive accounts", Interval: reconcileEvery, Jitter: 0.5, Log: m.log, Run: m.disableLeft},
		{Name: "disable webhooks of revoked keys", Wake: m.revoked, Log: m.log, Run: m.endWithKeys},
	}
}
