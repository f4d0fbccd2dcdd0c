package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/queue"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// run serves until ctx ends or a part fails, and then stops the parts in the
// reverse of the order in which they depend on each other.
func (n *node) run(ctx context.Context, listener net.Listener, ready func()) error {
	background := start(ctx)
	background.run("tail", n.tail.Run)
	background.run("sessions", n.auth.Run)
	for _, p := range []*redis.Publisher{n.wakeEvents, n.wakeSessions, n.wakeCatalogue, n.wakeInbox} {
		background.run("publisher", p.Run)
	}
	background.run("listen events", n.listen(channelEvents, n.tail.Wake))
	background.run("listen sessions", n.listen(channelSessions, n.auth.Look))
	background.run("listen catalogue", n.listen(channelCatalogue, n.inventory.Forget))
	background.run("listen inbox", n.listen(channelInbox, n.notifications.Look))
	background.run("unread counts", n.notifications.Run)

	gathering := start(ctx)
	gathering.run("gather", n.orders.Run)

	working := start(ctx)
	if n.worker != nil {
		working.run("queue", func(ctx context.Context) error { return queue.Run(ctx, n.worker, 5*time.Second) })
		working.run("sweep", n.orders.Sweep)
		working.run("inbox", n.notifications.FillInboxes)
		working.run("clean inboxes", n.notifications.CleanInboxes)
		working.run("webhooks", n.webhooks.Run)
		working.run("clean", func(ctx context.Context) error { return idempotency.Clean(ctx, n.pool, n.log) })
	}

	serving := start(ctx)
	serving.run("http", func(context.Context) error { return n.http.Listener(listener) })
	ready()

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-background.failed:
	case failed = <-gathering.failed:
	case failed = <-working.failed:
	case failed = <-serving.failed:
	}

	n.log.Info("stopping")
	n.health.stopping.Store(true)
	if n.cfg.IsProduction() {
		time.Sleep(2 * time.Second) //nolint:forbidigo // until the balancer has seen that we are not ready; ctx, which could cut it short, is over
	}
	soon, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	n.notifications.Stop(soon)
	cancel()
	err := n.http.ShutdownWithTimeout(8 * time.Second)
	return errors.Join(failed, err, serving.stop(), working.stop(), gathering.stop(), background.stop())
}

func (n *node) listen(channel string, wake func()) func(context.Context) error {
	return func(ctx context.Context) error {
		return n.redis.Listen(ctx, channel, func(string) { wake() })
	}
}

func (n *node) close() {
	if n.limiter != nil {
		n.limiter.Close()
	}
	if n.redis != nil {
		_ = n.redis.Close()
	}
	if n.pool != nil {
		n.pool.Close()
	}
}

// group is a number of goroutines that are stopped together, by nobody but stop.
type group struct {
	ctx    context.Context //nolint:containedctx // how long the goroutines live, which no call of run decides
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
