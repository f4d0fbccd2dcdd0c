package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/trace"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/migrations"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/notifications"
	"github.com/orderflow-dev/orderflow/modules/notifications/webhooks"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
	"github.com/orderflow-dev/orderflow/platform/reads"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// The channels on which nodes tell each other to look into PostgreSQL.
const (
	channelEvents    = "orderflow:events"
	channelSessions  = "orderflow:sessions"
	channelCatalogue = "orderflow:catalogue"
	channelInbox     = "orderflow:inbox"
)

// node is one running process: what it has open, and the modules on top.
type node struct {
	cfg      *config.Config
	limits   limits
	log      *slog.Logger
	registry *prometheus.Registry
	tracers  trace.TracerProvider

	pool    *postgres.Pool
	redis   *redis.Client
	limiter *redis.Limiter
	tail    *events.Tail
	worker  *queue.Client // nil when this process does not work
	health  *health

	wakeEvents, wakeSessions, wakeCatalogue, wakeInbox *redis.Publisher

	users         *users.Module
	auth          *auth.Module
	inventory     *inventory.Module
	payments      *payments.Module
	orders        *orders.Module
	notifications *notifications.Module
	webhooks      *webhooks.Module

	http *fiber.App
}

// serve runs the product until ctx ends.
func serve(ctx context.Context, cfg *config.Config, out io.Writer) error {
	log := logger(cfg)
	slog.SetDefault(log)

	// Say that the port is taken before anything is started for nothing.
	listener, err := net.Listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		name := "HOST"
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
			name = "PORT"
		}
		return fmt.Errorf("%s: cannot listen there: %s", name, fault.Reason(err))
	}
	return serveOn(ctx, cfg, usual, log, listener, out)
}

func serveOn(ctx context.Context, cfg *config.Config, limits limits, log *slog.Logger, listener net.Listener, out io.Writer) error {
	defer listener.Close()

	data, err := openServices(ctx, cfg)
	if err != nil {
		return err
	}
	defer data.close()
	if err := data.openRedis(); err != nil {
		return err
	}
	if !cfg.IsProduction() {
		if err := migrations.Up(ctx, data.databaseURL); err != nil {
			return err
		}
	}

	tracers, flush, err := tracing(ctx, cfg)
	if err != nil {
		return err
	}
	defer flush()

	n, err := build(ctx, cfg, limits, log, tracers, data)
	if err != nil {
		return err
	}
	defer n.close()
	welcome, err := n.welcome(ctx, data, listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		return err
	}
	return n.run(ctx, listener, func() { _, _ = io.WriteString(out, welcome) })
}

// build opens the platform and joins the modules: the only place that knows them all.
func build(ctx context.Context, cfg *config.Config, limits limits, log *slog.Logger, tracers trace.TracerProvider, data *services) (_ *node, err error) {
	n := &node{cfg: cfg, limits: limits, log: log, registry: prometheus.NewRegistry(), tracers: tracers}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			n.close()
		}
	}()

	// On every new connection, so that nothing is written into the log of another
	// cluster, also when the database is replaced while this process runs.
	fits := func(ctx context.Context, conn *pgx.Conn) error {
		if err := events.CheckOrigin(ctx, conn); err != nil {
			return fault.Away("The database", err)
		}
		return nil
	}
	if n.pool, err = postgres.Open(ctx, data.databaseURL, cfg.DatabaseConns, fits); err != nil {
		return nil, err
	}
	if n.redis, err = redis.OpenWithin(data.redisURL, limits.redis); err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	n.limiter = redis.NewLimiter(n.redis)
	n.wakeEvents = n.redis.Publisher(channelEvents)
	n.wakeSessions = n.redis.Publisher(channelSessions)
	n.wakeCatalogue = n.redis.Publisher(channelCatalogue)
	n.wakeInbox = n.redis.Publisher(channelInbox)

	eventLog, err := events.OpenLog(ctx, n.pool)
	if errors.Is(err, events.ErrElsewhere) {
		return nil, events.ErrElsewhere
	}
	if err != nil {
		return nil, fmt.Errorf("%w (run orderflow migrate first)", err)
	}
	n.tail = events.NewTail(eventLog, log)
	n.health = &health{pool: n.pool, url: data.databaseURL, redis: n.redis, limiter: n.limiter, tail: n.tail}

	if err := n.join(ctx, eventLog); err != nil {
		return nil, err
	}
	n.observe()
	if err := n.routes(); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *node) join(ctx context.Context, eventLog *events.Log) error {
	keys, err := signingKeys(ctx, n.cfg, n.pool)
	if err != nil {
		return err
	}
	sessions := auth.NewSessions(n.pool, n.log)
	n.users = users.New(users.Deps{
		Pool: n.pool, Sessions: sessions, Cost: n.cfg.BcryptCost, Aside: hashAside, HashWait: n.limits.hash, Log: n.log,
		Registrations: &registrations{n.limiter, *cmp.Or(n.cfg.RegistrationRateLimit, &config.Limit{})},
	})
	n.auth = auth.New(auth.Deps{
		Pool: n.pool, Sessions: sessions, Accounts: n.users, Attempts: &attempts{n.limiter, n.cfg.LoginRateLimit},
		Keys: keys, Issuer: n.cfg.Issuer, Audience: n.cfg.Audience, Misses: auth.Limit(n.cfg.RateLimit), Wake: n.wakeSessions.Wake, Log: n.log,
	})

	running := &idempotency.Running{}
	expensive := reads.New(n.pool.Config().MaxConns)
	n.inventory = inventory.New(inventory.Deps{Pool: n.pool, Running: running, Changed: n.wakeCatalogue.Wake, Log: n.log})

	n.payments = payments.New(payments.Deps{Pool: n.pool, Provider: provider(n.cfg, n.log, n.registry)})

	quiet := slog.New(&atLeast{n.log.Handler(), slog.LevelWarn}) // River tells of every start and stop
	inserter, err := queue.Inserter(n.pool, quiet)
	if err != nil {
		return err
	}
	n.orders = orders.New(orders.Deps{
		Pool: n.pool, Queue: inserter, Log: eventLog, Catalogue: n.inventory, Stock: n.inventory,
		Open:        func(b *pgx.Batch, ids []uuid.UUID) orders.Settlement { return n.payments.Open(b, ids) },
		NeedsMethod: n.payments.NeedsMethod(), HoldStock: n.cfg.ReservationTTL, Running: running, Standing: n.auth.Standing, Reads: expensive,
		Wake: func() { n.tail.Wake(); n.wakeEvents.Wake() }, Out: n.log, Metrics: n.registry,
	})
	n.webhooks = webhooks.New(webhooks.Deps{
		Pool: n.pool, Queue: inserter, Log: eventLog, Roles: n.users.Roles, Keys: n.auth.KeyScopes, Redact: n.orders.Redact, Types: eventTypes(), Running: running,
		Plaintext: !n.cfg.IsProduction(), Allowed: n.cfg.WebhookNetworks, Keep: n.cfg.WebhookRetention, Version: versionOf(),
		Tracers: n.tracers, Out: n.log, Metrics: n.registry,
	})
	if n.cfg.Has("worker") {
		n.tail.Subscribe(func([]events.Event, events.Cursor) { n.webhooks.Wake() })
		n.tail.Rewritten(func(events.Cursor) { n.webhooks.Wake() })
		workers := river.NewWorkers()
		n.orders.Workers(workers)
		n.webhooks.Workers(workers)
		n.worker, err = queue.Worker(n.pool, queue.Options{
			Workers: workers, Slots: n.cfg.WorkerSlots, Apart: map[string]int{webhooks.Queue: webhooks.Workers},
			Observer: queue.Tracing{Tracers: n.tracers}, Log: quiet,
		})
		if err != nil {
			return err
		}
	}

	n.notifications = notifications.New(notifications.Deps{
		Pool: n.pool, Log: eventLog, Tail: n.tail, Sessions: n.auth, Orders: n.orders, Kinds: orders.Kinds(), Origins: n.cfg.Origins,
		Keep: n.cfg.EventRetention, KeepNotes: n.cfg.NotificationRetention, Reads: expensive, StreamsPerAccount: n.cfg.StreamsPerAccount,
		Counted: func() { n.notifications.Look(); n.wakeInbox.Wake() },
		Out:     n.log, Metrics: n.registry,
	})
	n.auth.OnChange(func(user, credential uuid.UUID) { n.notifications.Revoked(user, credential) })
	n.auth.OnChange(n.webhooks.Revoked)
	return nil
}

// eventTypes are those that an endpoint may choose from.
func eventTypes() (types []string) {
	for _, k := range orders.Kinds() {
		types = append(types, k.Type)
	}
	return types
}

func signingKeys(ctx context.Context, cfg *config.Config, pool *postgres.Pool) (auth.Keys, error) {
	if cfg.JWTKeys == "" {
		return auth.DevKeys(ctx, pool)
	}
	return auth.ParseKeys(cfg.JWTKeys.Reveal())
}

func logger(cfg *config.Config) *slog.Logger {
	var level slog.LevelVar
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked by config
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &level}))
}

// atLeast drops what is less than a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h *atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}
