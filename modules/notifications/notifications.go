// Package notifications delivers the events of orders to users.
//
// It has no state of its own: every transport reads the event log from a cursor
// (platform/events). A client that reconnects, is slow or moves to another node continues from
// its cursor and gets all events.
package notifications

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/internal/wakeup"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// Sessions returns the present state of credentials and handles tickets: one-use credentials for
// clients that cannot send a header, such as a browser that opens a socket.
type Sessions interface {
	// CurrentCaller returns the owner of a session or API key with its present role, and a fault of
	// the kind unauthenticated if the credential has ended.
	CurrentCaller(ctx context.Context, credential uuid.UUID) (identity.Caller, error)
	// IssueTicket returns a new ticket for the caller and the time at which it expires.
	IssueTicket(ctx context.Context, caller identity.Caller) (ticket string, expires time.Time, err error)
	// RedeemTicket uses up a ticket and returns its caller. Of concurrent calls, one succeeds.
	RedeemTicket(ctx context.Context, ticket string) (identity.Caller, error)
	// ResumptionToken returns a token with which ResumeTicket returns the caller of a used ticket.
	ResumptionToken(ticket string, caller identity.Caller) string
	// ResumeTicket returns the caller of a used ticket with its token, as long as the session or key has
	// not ended.
	ResumeTicket(ctx context.Context, ticket, token string) (identity.Caller, error)
}

// Deps are the dependencies of the module.
type Deps struct {
	Pool     *postgres.Pool
	Events   *events.Log
	Tail     *events.Tail
	Sessions Sessions
	Orders   Orders // may be nil
	// Kinds are the event types; a filter by any other type is rejected.
	Kinds []events.Kind
	// Origins may open a socket in addition to the server's own.
	Origins []string
	// Keep is how far back a cursor may be resumed (SPEC E3).
	Keep time.Duration
	// Reads limits the reads of the log for sockets, streams and pages.
	Reads *reads.Reads
	// StreamsPerAccount is how many sockets and event streams one account may have open
	// on this node; 50 when zero.
	StreamsPerAccount int
	// KeepNotes is how long notifications are kept.
	KeepNotes time.Duration
	// Counted wakes the other nodes to read changed counts.
	Counted func()
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Module delivers events and notifications. It is safe for concurrent use.
type Module struct {
	pool      *postgres.Pool
	events    *events.Log
	tail      *events.Tail
	sessions  Sessions
	orders    Orders
	kinds     []events.Kind
	origins   []string
	keep      time.Duration
	keepNotes time.Duration
	reads     *reads.Reads
	counted   func()
	log       *slog.Logger

	hub         *hub
	connections *connections
	counts      *counts
	limits      limits
	inboxes     *events.Consumer

	types     []string
	notes     map[string]bool   // types that go to the inbox,
	sentences map[string]string // and their messages
}

// New returns the module and subscribes it to the tail.
func New(d Deps) *Module {
	m := &Module{
		pool: d.Pool, events: d.Events, tail: d.Tail, sessions: d.Sessions, orders: d.Orders, kinds: d.Kinds, origins: d.Origins,
		keep: d.Keep, keepNotes: d.KeepNotes, reads: d.Reads, counted: d.Counted, log: d.Log,
		hub: newHub(d.Log, d.Metrics), connections: newConnections(d.StreamsPerAccount), limits: usual, types: events.Types(d.Kinds),
	}
	m.counts = &counts{pool: d.Pool, out: d.Log, tell: m.hub.tell, listeners: m.hub.listeners, wake: wakeup.New()}
	m.notes, m.sentences = map[string]bool{}, map[string]string{}
	for _, k := range d.Kinds {
		m.notes[k.Type], m.sentences[k.Type] = k.Notify, k.Doc
	}
	m.inboxes = events.NewConsumer(d.Events, "inbox", m.fillInboxes, d.Log)
	m.inboxes.OnCommit = d.Counted
	d.Tail.Subscribe(m.hub.deliver)
	d.Tail.OnRewritten(m.hub.rewrite)
	d.Tail.OnRewritten(func(events.Cursor) { m.counts.restart(); m.inboxes.Wake() })
	d.Tail.Subscribe(func([]events.Event, events.Cursor) { m.inboxes.Wake() })
	return m
}

// Run passes unread counts on to this node's sockets until ctx ends.
func (m *Module) Run(ctx context.Context) error { return m.counts.run(ctx) }

// Look makes this node read the unread counts that changed here or on another node. It does not
// wait.
func (m *Module) Look() { m.counts.wake.Send() }

// Revoked closes the sockets of a user with 4401, or of one session or API key when
// that is not uuid.Nil (SPEC A5, A8). The client logs in again and resumes.
func (m *Module) Revoked(user, credential uuid.UUID) { m.hub.revoke(user, credential) }

// Stop closes every socket with 1001 and waits until they are gone; those that are
// not when ctx ends are cut. New ones are refused from now on (SPEC E6).
func (m *Module) Stop(ctx context.Context) { m.hub.stop(ctx) }
