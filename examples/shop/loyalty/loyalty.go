// Package loyalty gives a customer one point for each order that the shop accepts.
//
// The points are derived from the event log and stay exact after a crash, because the position of
// the module in the log is updated in the transaction that writes the points.
package loyalty

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/app"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Read is the scope that an API key needs to read the points of its owner.
const Read identity.Scope = "loyalty:read"

//go:embed migrations/*.sql
var files embed.FS

// Module is the loyalty module.
type Module struct{ p *app.Platform }

// The abilities of the module besides its routes.
var (
	_ app.HasMigrations = (*Module)(nil)
	_ app.EventConsumer = (*Module)(nil)
	_ app.HasInvariants = (*Module)(nil)
)

// New returns the module; pass it to app.WithModule.
func New(p *app.Platform) (app.Module, error) { return &Module{p}, nil }

// Name implements app.Module.
func (*Module) Name() string { return "loyalty" }

// Routes implements app.Module.
func (m *Module) Routes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/loyalty", Name: "get-loyalty", Tag: "Loyalty", Role: identity.User, Scope: Read,
		Summary: "Your points", Doc: "One for each order that was accepted.",
	}, m.get)
}

// Points is the balance of a customer.
type Points struct {
	Points int64 `json:"points" example:"7"`
}

func (m *Module) get(ctx context.Context, _ *struct{}) (*struct{ Body Points }, error) {
	out := &struct{ Body Points }{}
	err := m.p.Pool.QueryRow(ctx, "select coalesce(sum(points), 0) from loyalty_points where user_id = $1", identity.MustFromContext(ctx).UserID).Scan(&out.Body.Points)
	if err != nil {
		return nil, fmt.Errorf("read the points: %w", err)
	}
	return out, nil
}

// Migrations implements app.HasMigrations.
func (*Module) Migrations() fs.FS {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name of the folder is not valid
	}
	return dir
}

// Consume implements app.EventConsumer.
func (*Module) Consume(ctx context.Context, tx pgx.Tx, list []events.Event) error {
	for _, e := range list {
		if e.Type != "order.created" {
			continue
		}
		_, err := tx.Exec(ctx, `insert into loyalty_points as p (user_id, points) values ($1, 1)
			on conflict (user_id) do update set points = p.points + 1`, e.UserID)
		if err != nil {
			return fmt.Errorf("give a point for order %s: %w", e.OrderID, err)
		}
	}
	return nil
}

// Invariants implements app.HasInvariants.
func (*Module) Invariants() []app.Invariant {
	return []app.Invariant{{
		Name: "loyalty-orders", Says: "a customer has no more points than orders",
		Query: `select p.user_id::text, p.points || ' points' from loyalty_points p
			where p.points > (select count(*) from orders o where o.user_id = p.user_id)`,
	}}
}
