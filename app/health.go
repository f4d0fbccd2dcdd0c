package app

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// health serves the probes (SPEC F3). /livez checks no dependency, so that an unavailable
// database does not restart healthy processes.
type health struct {
	pool     *postgres.Pool
	url      string
	redis    *redis.Client
	limiter  *redis.Limiter
	tail     *events.Tail
	clock    *clock
	stopping atomic.Bool

	reached atomic.Bool  // the database has been reached once
	failing atomic.Int64 // the first of the consecutive failed checks, in Unix nanoseconds

	last       cached[healthReport] // the last answer of /health
	redisFault cached[error]        // nil if Redis serves this process

	mu       sync.Mutex
	migrated bool // stays true, because migrations are never reverted under a running process
}

type part struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
	MS     *int64 `json:"latencyMs,omitempty"`
}

func (h *health) mount(app fiber.Router) {
	app.Get("/livez", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	app.Get("/readyz", h.readyz)
	app.Get("/health", h.health)
}

func (h *health) readyz(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), time.Second)
	defer cancel()

	if why := h.notReady(ctx); why != "" {
		c.Set(fiber.HeaderRetryAfter, "1")
		return c.Status(http.StatusServiceUnavailable).SendString(why + "\n")
	}
	return c.SendString("ok\n" + h.redisNote(ctx))
}

// redisNote is a line about a Redis that refuses this process. The node is ready all the same, because
// it serves requests without Redis.
func (h *health) redisNote(ctx context.Context) string {
	if refused, ok := errors.AsType[*redis.RefusedError](h.askRedis(ctx)); ok {
		return "redis " + refused.Error() + "; limits are counted on this node alone\n"
	}
	return ""
}

// askRedis checks Redis at most once a second.
func (h *health) askRedis(ctx context.Context) error {
	return h.redisFault.get(func() error { return h.redis.Check(context.WithoutCancel(ctx)) })
}

func (h *health) notReady(ctx context.Context) string {
	if h.stopping.Load() {
		return "stopping"
	}
	why, err := h.pool.CannotWrite(ctx)
	if err == nil && why == "" {
		err = events.CheckOrigin(ctx, h.pool)
	}
	switch {
	case errors.Is(err, events.ErrForeignLog):
		return events.ErrForeignLog.Error()
	case err != nil && h.isPatient():
		return ""
	case err != nil:
		return "the database cannot be reached"
	}
	h.reached.Store(true)
	h.failing.Store(0)
	if why != "" {
		return why
	}
	done, err := h.isMigrated(ctx)
	switch {
	case err != nil:
		return "the migrations cannot be checked"
	case !done:
		return "there are unapplied migrations; run orderflow migrate"
	}
	return ""
}

// outage is how long a node without its database stays ready. All nodes lose the database at
// the same moment; if none were ready, the load balancer would return its own errors, while the
// nodes return 503 with Retry-After and serve requests that need no database.
const outage = 3 * time.Second

// isPatient reports whether the outage of the database is still within the limit. It counts
// from the first failed check, so that with long probe intervals at most one failure is
// ignored.
func (h *health) isPatient() bool {
	now := time.Now()
	h.failing.CompareAndSwap(0, now.UnixNano())
	return h.reached.Load() && now.Sub(time.Unix(0, h.failing.Load())) < outage
}

// database returns the parts "database" and "events". The database is ok, or cannot be reached, or
// accepts no writes; the log is ok unless it comes from another cluster. New connections are checked
// for that as well, so the first query may already report it.
func (h *health) database(ctx context.Context) (database, log part) {
	var why string
	foreign := false
	database = timed(func() (err error) {
		why, err = h.pool.CannotWrite(ctx)
		if err == nil {
			err = events.CheckOrigin(ctx, h.pool)
		}
		if foreign = errors.Is(err, events.ErrForeignLog); foreign {
			return nil // reported by the part "events"
		}
		return err
	})
	if why != "" {
		database.Status, database.Detail = "down", why
	}
	if foreign {
		return database, part{Status: "down", Detail: events.ErrForeignLog.Error()}
	}
	return database, h.events(ctx)
}

// standstill is the age of an event that is not delivered from which /health reports it.
const standstill = 2 * time.Second

// events reports the lag of this node and, while events are held back, the transaction that holds them.
func (h *health) events(ctx context.Context) part {
	lag := h.tail.Lag()
	p := part{Status: "ok", MS: millis(lag)}
	if lag < standstill {
		return p
	}
	p.Status, p.Detail = "degraded", "events are not delivered"
	if holder, err := postgres.OldestWriter(ctx, h.pool); err == nil && holder != nil {
		p.Detail = "events wait for the end of a transaction: " + holder.String()
	}
	return p
}

// time reports whether the clocks of this node and of the database agree.
func (h *health) time() part {
	if h.clock.isWide() {
		return part{Status: "degraded", Detail: "the clock of the database differs by " + h.clock.skew().Round(time.Millisecond).String()}
	}
	return part{Status: "ok"}
}

// isReady is notReady for metrics.
func (h *health) isReady() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return h.notReady(ctx) == ""
}

// lacksMigrations reports whether migrations are known to be missing.
func (h *health) lacksMigrations() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	done, err := h.isMigrated(ctx)
	return err == nil && !done
}

func (h *health) isMigrated(ctx context.Context) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.migrated {
		return true, nil
	}
	pending, err := migrations.Pending(ctx, h.url)
	h.migrated = err == nil && !pending
	return h.migrated, err
}

// healthReport is the body of /health.
type healthReport struct {
	Status  string          `json:"status"`
	Version string          `json:"version"`
	Parts   map[string]part `json:"parts"`
}

// health reports the state of each part. Without Redis the product still works, so the status
// is degraded; without the database it is down. The parts are asked at most once a second, so
// that the page cannot be used to keep the database and Redis busy.
func (h *health) health(c *fiber.Ctx) error {
	body := h.last.get(h.check)
	if h.stopping.Load() {
		body.Status = "down"
	}
	code := http.StatusOK
	if body.Status == "down" {
		code = http.StatusServiceUnavailable
	}
	return c.Status(code).JSON(body)
}

// redisPart distinguishes a Redis that refuses this process from one that cannot be reached.
func (h *health) redisPart(ctx context.Context) part {
	var err error
	p := timed(func() error {
		err = h.redis.Check(ctx)
		return err
	})
	if refused, ok := errors.AsType[*redis.RefusedError](err); ok {
		p.Detail = refused.Error()
	}
	return p
}

func (h *health) check() healthReport {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()

	database, log := h.database(ctx)
	parts := map[string]part{
		"database": database,
		"redis":    h.redisPart(ctx),
		"events":   log,
		"clock":    h.time(),
	}
	migrated, err := h.isMigrated(ctx)
	switch {
	case err != nil:
		parts["migrations"] = part{Status: "unknown"}
	case !migrated:
		parts["migrations"] = part{Status: "down", Detail: "there are unapplied migrations"}
	default:
		parts["migrations"] = part{Status: "ok"}
	}
	if h.limiter.Degraded() {
		parts["limiter"] = part{Status: "degraded", Detail: "counting on this node alone"}
	} else {
		parts["limiter"] = part{Status: "ok"}
	}

	status := "ok"
	switch {
	case parts["database"].Status != "ok" || parts["migrations"].Status != "ok" || parts["events"].Status == "down":
		status = "down"
	case slices.ContainsFunc(slices.Collect(maps.Values(parts)), func(p part) bool { return p.Status != "ok" }):
		status = "degraded"
	}
	return healthReport{status, versionOf(), parts}
}

func timed(check func() error) part {
	start := time.Now()
	err := check()
	took := millis(time.Since(start))
	if err != nil {
		return part{Status: "down", Detail: "cannot be reached", MS: took} // without the reason, because this page may be public
	}
	return part{Status: "ok", MS: took}
}

func millis(d time.Duration) *int64 {
	ms := d.Milliseconds()
	return &ms
}
