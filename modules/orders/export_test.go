package orders

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/platform/queue"
)

// StatsAt are the stats of all orders at a time.
func StatsAt(ctx context.Context, m *Module, at time.Time) (Stats, error) {
	return m.statsAt(ctx, uuid.Nil, at)
}

// Try is one attempt of an order's job by a worker.
func Try(m *Module) func(ctx context.Context, order uuid.UUID, attempt int) error {
	return func(ctx context.Context, order uuid.UUID, attempt int) error {
		return (&processWorker{m: m}).Work(ctx, &river.Job[ProcessArgs]{
			Args: ProcessArgs{OrderID: order}, JobRow: &rivertype.JobRow{ID: 1, Kind: processKind, Attempt: attempt, MaxAttempts: queue.MaxAttempts},
		})
	}
}

// GiveUp is what a worker does after the last attempt of an order's job.
func GiveUp(m *Module) func(ctx context.Context, order uuid.UUID, cause error) error {
	return func(ctx context.Context, order uuid.UUID, cause error) error {
		job := &river.Job[ProcessArgs]{Args: ProcessArgs{OrderID: order}, JobRow: &rivertype.JobRow{ID: 1, Kind: processKind, Attempt: 8}}
		return m.exhaust(ctx, job, cause)
	}
}

// How the routes render what is stored with a key.
var (
	PlacedRenderer  = orderPlaced.Renderer(http.StatusCreated)
	ChangedRenderer = orderChanged.Renderer(http.StatusOK)
	BulkRenderer    = ordersPlaced.Renderer(http.StatusOK)
)

// SomeGiven is the documented example of what a customer gives with an order.
var SomeGiven = someGiven

// AppendCell writes a cell of a CSV export.
var AppendCell = appendCell
