// Package notifications tells everyone concerned what happened to orders.
//
// It has no truth of its own: every transport is a reader of the event log from
// a cursor (platform/events). A socket that is cut, slow or moved to another node
// goes on from its cursor and misses nothing.
package notifications

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"orderflow/platform/events"
	"orderflow/platform/identity"
)

// Sessions knows who still is who they said they were. Tickets are one-use
// credentials for clients that cannot send a header, such as a browser that opens
// a socket.
type Sessions interface {
	Standing(ctx context.Context, credential uuid.UUID) (identity.Caller, error)
	IssueTicket(ctx context.Context, caller identity.Caller) (ticket string, expires time.Time, err error)
	RedeemTicket(ctx context.Context, ticket string) (identity.Caller, error)
}

// Deps is what notifications need.
type Deps struct {
	Log      *events.Log
	Tail     *events.Tail
	Sessions Sessions
	// Types are those that events may have; a filter by any other is refused.
	Types []string
	// Origins that may open a socket besides the server's own.
	Origins []string
	// Keep is how far back a cursor may be resumed (SPEC E3).
	Keep    time.Duration
	Out     *slog.Logger
	Metrics prometheus.Registerer
}

// Module is the notifications module.
type Module struct {
	Deps
	hub    *hub
	limits limits
}

// New makes the module and subscribes it to the tail.
func New(d Deps) *Module {
	m := &Module{Deps: d, hub: newHub(d.Out, d.Metrics), limits: usual}
	d.Tail.Subscribe(m.hub.deliver)
	return m
}

// Revoked closes the sockets of a user with 4401, or of one session or API key when
// that is not uuid.Nil (SPEC A5, A8). The client logs in again and resumes.
func (m *Module) Revoked(user, credential uuid.UUID) { m.hub.revoke(user, credential) }

// Stop closes every socket with 1001 and waits until they are gone; those that are
// not when ctx ends are cut. New ones are refused from now on (SPEC E6).
func (m *Module) Stop(ctx context.Context) { m.hub.stop(ctx) }
