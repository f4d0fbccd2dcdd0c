package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/reads"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/migrations"
	auditmodule "github.com/orderflow-dev/orderflow/modules/audit"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/notifications"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/users"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/mail"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// node is one running process with its connections and modules.
type node struct {
	cfg      *config.Config
	limits   limits
	log      *slog.Logger
	registry *prometheus.Registry
	tracers  trace.TracerProvider

	pool     *postgres.Pool
	redis    *redis.Client
	limiter  *redis.Limiter
	eventLog *events.Log
	tail     *events.Tail

	private       *embedded.Postgres // nil if the database is configured
	serverVersion string             // of PostgreSQL
	redisFault    error              // of the start; nil if Redis serves this process

	reads    *reads.Reads
	keys     auth.Keys
	totpKeys auth.Keys
	sessions *auth.Sessions
	worker   *queue.Client // nil if this process does not work jobs
	health   *health
	clock    *clock
	cluster  *cluster // nil if this process does not work jobs

	terminal io.Writer    // where messages of development are printed
	outbox   *mail.Outbox // nil unless messages stay in this process

	wakeEvents func()
	channels   []channel

	added     extensions
	modules   []Module   // in the order in which they were constructed
	consumers []consumer // of the event log, on nodes that work jobs

	// Modules of the product that others need by name.
	users         *users.Module
	auth          *auth.Module
	audit         *auditmodule.Module
	inventory     *inventory.Module
	payments      *payments.Module
	orders        *orders.Module
	notifications *notifications.Module
	webhooks      *webhooks.Module

	http     *fiber.App // the public port
	internal *fiber.App // probes and metrics, if they have a port of their own
}

// channel is a Redis channel through which nodes wake each other to read from PostgreSQL.
type channel struct {
	name      string
	publisher *redis.Publisher
	heard     func()
}

// channel opens a channel: whenever any node calls tell, heard is called on every node.
func (n *node) channel(name string, heard func()) (tell func()) {
	name = "orderflow:" + name
	p := n.redis.Publisher(name)
	n.channels = append(n.channels, channel{name, p, heard})
	return p.Wake
}

// serve runs the product until ctx ends.
func (p *program) serve(ctx context.Context, out io.Writer) error {
	cfg := p.cfg
	log := logger(cfg)
	slog.SetDefault(log)

	for _, warning := range cfg.Warnings() {
		log.WarnContext(ctx, "a setting is not safe in most deployments", "setting", warning)
	}

	// Fail early if a port is taken.
	on, err := listen(cfg)
	if err != nil {
		return err
	}
	return p.serveOn(ctx, usual, log, on, out)
}

func (p *program) serveOn(ctx context.Context, limits limits, log *slog.Logger, on listeners, out io.Writer) (err error) {
	defer on.close()

	cfg := p.cfg
	states := p.starting(ctx, log, on)
	defer func() { states.stopped(context.WithoutCancel(ctx), err) }()
	started := answerWhileStarting(on, log)
	defer started()
	data, err := openServices(ctx, cfg)
	if err != nil {
		return err
	}
	defer data.close()
	if err := data.openRedis(); err != nil {
		return err
	}
	if !cfg.IsProduction() {
		if err := p.migrate(ctx, data.databaseURL); err != nil {
			return err
		}
	}

	tracers, flush, err := tracing(ctx, cfg)
	if err != nil {
		return err
	}
	defer flush()

	n, err := p.build(ctx, limits, log, tracers, data, out)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.recordSettings(ctx); err != nil {
		return err
	}
	welcome, err := n.welcome(ctx, data, on)
	if err != nil {
		return err
	}
	n.private = data.postgres
	started()
	return n.run(ctx, on, func() {
		states.ready(ctx, n)
		_, _ = io.WriteString(out, welcome)
	})
}

// build opens the platform and constructs the modules.
func (p *program) build(ctx context.Context, limits limits, log *slog.Logger, tracers trace.TracerProvider, data *services, terminal io.Writer) (_ *node, err error) {
	n := newNode(p.cfg, limits, log, tracers)
	n.terminal = terminal
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err := n.open(ctx, data); err != nil {
		return nil, err
	}
	if err := n.join(p.extensions); err != nil {
		return nil, err
	}
	if err := n.prepareWorkers(); err != nil {
		return nil, err
	}
	n.observe()
	if err := n.routes(p.scopes); err != nil {
		return nil, err
	}
	return n, nil
}

// newNode returns a node without connections, which suffices to construct and inspect the
// modules.
func newNode(cfg *config.Config, limits limits, log *slog.Logger, tracers trace.TracerProvider) *node {
	n := &node{cfg: cfg, limits: limits, log: log, registry: prometheus.NewRegistry(), tracers: tracers, terminal: io.Discard, pool: &postgres.Pool{}}
	n.reads = reads.New(int32(cfg.DatabaseConns))
	n.sessions = auth.NewSessions(n.pool, log)
	n.tail = events.NewTail(nil, log)
	n.wakeEvents = func() {}
	return n
}

// open connects to PostgreSQL and Redis.
func (n *node) open(ctx context.Context, data *services) (err error) {
	// The check runs on every new connection, so that nothing is written to the log of another
	// cluster, even if the database is replaced while this process runs.
	fits := func(ctx context.Context, conn *pgx.Conn) error {
		if err := events.CheckOrigin(ctx, conn); err != nil {
			return fault.Unavailable("The database", err)
		}
		return nil
	}
	if n.pool, err = postgres.Open(ctx, data.databaseURL, n.cfg.DatabaseConns, fits); err != nil {
		return err
	}
	if n.redis, err = redis.OpenWithTimeout(data.redisURL, n.limits.redis); err != nil {
		return fmt.Errorf("REDIS_URL: %w", err)
	}
	n.limiter = redis.NewLimiter(n.redis)
	n.eventLog, err = events.OpenLog(ctx, n.pool)
	if errors.Is(err, events.ErrForeignLog) {
		return events.ErrForeignLog
	}
	if err != nil {
		return err
	}
	if err := errors.Join(n.warnOfPrivileges(ctx), n.identify(ctx)); err != nil {
		return err
	}
	n.tail = events.NewTail(n.eventLog, n.log)
	n.wakeEvents = n.channel("events", n.tail.Wake)
	n.clock = &clock{pool: n.pool, log: n.log}
	n.health = &health{clock: n.clock, pool: n.pool, url: data.databaseURL, redis: n.redis, limiter: n.limiter, tail: n.tail}
	n.sessions = auth.NewSessions(n.pool, n.log)
	if n.keys, err = signingKeys(ctx, n.cfg, n.pool); err != nil {
		return err
	}
	n.totpKeys, err = totpKeys(ctx, n.cfg, n.pool)
	return err
}

// warnOfPrivileges logs that the database role can do more than a server needs.
func (n *node) warnOfPrivileges(ctx context.Context) error {
	if !n.cfg.IsProduction() {
		return nil
	}
	excess, err := migrations.Excess(ctx, n.pool)
	for _, what := range excess {
		n.log.WarnContext(ctx, "the database role has more privileges than a server needs, see DATABASE_RUNTIME_ROLE", "because", what)
	}
	return err
}

func signingKeys(ctx context.Context, cfg *config.Config, pool *postgres.Pool) (auth.Keys, error) {
	if cfg.JWTKeys == "" {
		return auth.DevKeys(ctx, pool)
	}
	return auth.ParseKeys(cfg.JWTKeys.Reveal())
}

// totpKeys returns no keys in production without TOTP_KEYS. Second factors cannot be set up then.
func totpKeys(ctx context.Context, cfg *config.Config, pool *postgres.Pool) (auth.Keys, error) {
	switch {
	case cfg.TOTPKeys != "":
		return auth.ParseKeys(cfg.TOTPKeys.Reveal())
	case cfg.IsProduction():
		return auth.Keys{}, nil
	}
	return auth.DevTOTPKeys(ctx, pool)
}

// atLeast drops records below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h *atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}
