package orders

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/orderflow-dev/orderflow/platform/batch"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// New returns the module. It starts no goroutine before Run.
func New(d Deps) *Module {
	m := &Module{Deps: d, metrics: newMetrics(d.Metrics)}
	m.placing = batch.New(batch.Options{RetryIndividually: isItemError, Observe: m.metrics.batch("place")}, m.placeAll)
	m.advancing = batch.New(batch.Options{RetryIndividually: isItemError, Observe: m.metrics.batch("advance")}, m.advanceAll)
	m.getting = batch.New(batch.Options{Concurrency: getters, Observe: m.metrics.batch("get")}, m.getAll)
	return m
}

// Run runs the batchers until ctx ends. HTTP handlers and River workers must have stopped
// by then; later calls fail with batch.ErrStopped.
func (m *Module) Run(ctx context.Context) error {
	var all errgroup.Group
	all.Go(func() error { return m.placing.Run(ctx) })
	all.Go(func() error { return m.advancing.Run(ctx) })
	all.Go(func() error { return m.getting.Run(ctx) })
	return all.Wait()
}

// isItemError reports whether a single item of a batch may have caused the error. Then the
// items are worth retrying one by one; other errors would only repeat.
func isItemError(err error) bool {
	var commit *postgres.CommitError
	if errors.As(err, &commit) && commit.Unknown() {
		return false
	}
	switch code := postgres.Code(err); {
	case code == "":
		return false
	case code[:2] == "22", code[:2] == "23", code == "54000":
		return true
	}
	return false
}
