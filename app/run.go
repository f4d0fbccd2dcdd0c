package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// run serves until ctx ends or a part fails, and then stops the parts in the
// reverse of the order in which they depend on each other.
func (n *node) run(ctx context.Context, on listeners, ready func()) error {
	probing := start(ctx) // ends last, so that a node that stops is not taken for dead
	if on.internal != nil {
		probing.run("internal http", func(context.Context) error { return n.internal.Listener(on.internal) })
	}
	background := start(ctx)
	background.run("tail", n.tail.Run)
	background.run("clock", n.clock.run)
	if n.private != nil {
		background.run("private database", func(ctx context.Context) error { return n.private.Run(ctx, n.log) })
	}
	for _, c := range n.channels {
		background.run("publish "+c.name, c.publisher.Run)
		background.run("listen "+c.name, n.listen(c))
	}

	running := start(ctx)
	n.runModules(running)

	working := start(ctx)
	if n.worker != nil {
		working.run("queue", func(ctx context.Context) error { return queue.Run(ctx, n.worker, 5*time.Second) })
		working.run("clean", func(ctx context.Context) error { return idempotency.Clean(ctx, n.pool, n.log) })
		working.run("figures", n.cluster.run)
		n.workModules(working)
	}

	serving := start(ctx)
	if on.public != nil {
		serving.run("http", func(context.Context) error { return n.http.Listener(on.public) })
	}
	ready()

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-background.failed:
	case failed = <-running.failed:
	case failed = <-working.failed:
	case failed = <-serving.failed:
	case failed = <-probing.failed:
	}

	n.log.Info("draining", "because", reasonOf(failed))
	n.health.stopping.Store(true)
	if n.cfg.IsProduction() {
		time.Sleep(2 * time.Second) //nolint:forbidigo // until the balancer has seen that we are not ready; ctx, which could cut it short, is over
	}
	soon, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	n.notifications.Stop(soon)
	cancel()
	err := n.http.ShutdownWithTimeout(8 * time.Second)
	errs := []error{failed, err, serving.stop(), working.stop(), running.stop()}
	n.sealRest()
	errs = append(errs, background.stop())
	if n.internal != nil {
		errs = append(errs, n.internal.ShutdownWithTimeout(time.Second))
	}
	return errors.Join(append(errs, probing.stop())...)
}

func (n *node) listen(c channel) func(context.Context) error {
	return func(ctx context.Context) error {
		return n.redis.Listen(ctx, c.name, func(string) { c.heard() })
	}
}

// sealRest seals the audit entries that the modules wrote while they stopped, so that they do not wait
// for the next start.
func (n *node) sealRest() {
	if n.worker == nil {
		return // a node with the role "worker" seals them
	}
	soon, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := n.audit.Seal(soon); err != nil {
		n.log.Warn("audit entries are left for another node to seal", "error", err)
	}
}

func (n *node) close() {
	if n.limiter != nil {
		n.limiter.Close()
	}
	if n.redis != nil {
		_ = n.redis.Close()
	}
	if n.pool != nil && n.pool.Pool != nil {
		n.pool.Close()
	}
}

// group is a set of goroutines that run until stop is called.
type group struct {
	ctx    context.Context //nolint:containedctx // the lifetime of the goroutines, which is independent of calls of run
	cancel context.CancelFunc
	all    sync.WaitGroup
	failed chan error

	mu   sync.Mutex
	errs []error
}

func start(ctx context.Context) *group {
	g := &group{failed: make(chan error, 1)}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return g
}

func (g *group) run(name string, do func(context.Context) error) {
	g.all.Go(func() {
		if err := do(g.ctx); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			select {
			case g.failed <- err:
			default:
				g.mu.Lock()
				g.errs = append(g.errs, err)
				g.mu.Unlock()
			}
		}
	})
}

func (g *group) stop() error {
	g.cancel()
	g.all.Wait()
	return errors.Join(g.errs...)
}
