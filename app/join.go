package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// join constructs the modules of the product and of the options, and reports all errors
// together.
func (n *node) join(e extensions) error {
	inserter, err := queue.NewInserter(n.pool, n.quiet())
	if err != nil {
		return err
	}
	p := &Platform{
		Pool: n.pool, Queue: inserter, Log: n.log, InFlight: &idempotency.InFlight{}, Production: n.cfg.IsProduction(),
	}
	n.added = e
	for _, construct := range n.constructors() {
		m, err := construct(p)
		if err != nil {
			return err // later modules may need it
		}
		n.modules = append(n.modules, m)
	}
	errs := n.add(p, e.modules)
	steps, err := n.steps()
	errs = append(errs, err)
	n.orders.UseSteps(steps)
	for _, m := range n.modules {
		if o, ok := m.(Observer); ok {
			errs = append(errs, safely(m, func() { o.Observe(n.registry) }))
		}
	}
	return errors.Join(errs...)
}

// add constructs the modules of the options.
func (n *node) add(p *Platform, list []NewModule) (errs []error) {
	for i, construct := range list {
		switch m, err := construct(p); {
		case err != nil:
			errs = append(errs, err)
		case m == nil:
			errs = append(errs, fmt.Errorf("the constructor of module %d of the options returned nil", i+1))
		default:
			n.modules = append(n.modules, m)
		}
	}
	return errs
}

// safely converts the panic of a module, for example because of a duplicate route or metric, to
// an error with the module's name.
func safely(m Module, do func()) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("module %s: %v", m.Name(), why)
		}
	}()
	do()
	return nil
}

// prepareWorkers prepares the role "worker": the client that works the modules' jobs, and the
// consumers of the event log.
func (n *node) prepareWorkers() (err error) {
	if !n.cfg.Has("worker") {
		return nil
	}
	workers, queues := river.NewWorkers(), map[string]int{}
	for _, m := range n.modules {
		if m, ok := m.(HasWorkers); ok {
			if err := safely(m.(Module), func() { m.Workers(workers) }); err != nil {
				return err
			}
		}
		if m, ok := m.(HasQueues); ok {
			maps.Copy(queues, m.Queues())
		}
		if c, ok := m.(EventConsumer); ok {
			n.consumers = append(n.consumers, n.consumer(m.Name(), c))
		}
	}
	n.worker, err = queue.NewWorker(n.pool, queue.Options{
		Workers: workers, MaxWorkers: n.cfg.WorkerSlots, Queues: queues, Log: n.quiet(),
		Middleware: []rivertype.Middleware{queue.NewMetrics(n.registry), queue.Tracing{Tracers: n.tracers}},
	})
	n.cluster = &cluster{pool: n.pool, worker: n.worker, census: n.orders.Census, every: n.limits.figures, log: n.log}
	return err
}

// consumer follows the log on behalf of a module, from the module's position.
func (n *node) consumer(name string, c EventConsumer) consumer {
	reader := events.NewConsumer(n.eventLog, name, c.Consume, n.log)
	n.tail.Subscribe(func([]events.Event, events.Cursor) { reader.Wake() })
	n.tail.OnRewritten(func(events.Cursor) { reader.Wake() })
	return consumer{name + " events", reader.Run}
}

type consumer struct {
	name string
	run  func(context.Context) error
}

// runModules starts the modules' goroutines of every node.
func (n *node) runModules(g *group) {
	for _, m := range n.modules {
		if r, ok := m.(Runner); ok {
			g.run(m.Name(), r.Run)
		}
	}
}

// workModules starts the modules' goroutines of nodes that work jobs.
func (n *node) workModules(g *group) {
	for _, m := range n.modules {
		if w, ok := m.(BackgroundWorker); ok {
			g.run(m.Name()+" work", w.Work)
		}
	}
	for _, c := range n.consumers {
		g.run(c.name, c.run)
	}
}

// quiet is the log without River's word on every start and stop.
func (n *node) quiet() *slog.Logger { return slog.New(&atLeast{n.log.Handler(), slog.LevelWarn}) }
