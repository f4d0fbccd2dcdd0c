package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// states logs the states of a server, one line for each: starting, waiting, ready, draining and
// stopped (SPEC F18). The lines contain the hosts of services that were reached, and no other part of a
// URL: what stands in the place of a host that nobody can reach may be a secret.
type states struct {
	log   *slog.Logger
	began time.Time
}

// starting is logged when the ports are open and before anything is connected to.
func (p *program) starting(ctx context.Context, log *slog.Logger, on listeners) *states {
	cfg := p.cfg
	log.InfoContext(ctx, "starting", "version", versionOf(), "go", runtime.Version(), "env", cfg.Env, "roles", strings.Join(cfg.Roles, ","),
		"address", addressOf(on.public), "probes", addressOf(on.probes()))
	return &states{log: log, began: time.Now()}
}

// ready is logged when the server accepts requests or jobs.
func (s *states) ready(ctx context.Context, n *node) {
	state := n.cfg.RedisHost()
	if n.redisFault != nil {
		state = n.redisFault.Error()
	}
	s.log.InfoContext(ctx, "ready", "database", n.cfg.DatabaseHost(), "postgres", n.serverVersion, "redis", state, "took", s.elapsed())
}

// stopped is the last line of a server that has started, whether it could serve or not. The error
// itself is printed by the caller.
func (s *states) stopped(ctx context.Context, err error) {
	s.log.InfoContext(ctx, "stopped", "ok", err == nil || errors.Is(err, context.Canceled), "after", s.elapsed())
}

func (s *states) elapsed() string { return time.Since(s.began).Round(time.Millisecond).String() }

func addressOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// probes is the port of probes and metrics.
func (l listeners) probes() net.Listener {
	if l.internal != nil {
		return l.internal
	}
	return l.public
}

// identify reads the version of PostgreSQL, and checks that Redis serves this process. A Redis that
// does not is logged here, not only at the first request that needs it; it stops no start, because
// limits are then counted on each node (SPEC F4).
func (n *node) identify(ctx context.Context) error {
	var err error
	if n.serverVersion, err = postgres.ServerVersion(ctx, n.pool); err != nil {
		return err
	}
	n.redisFault = n.redis.Check(ctx)
	if refused, ok := errors.AsType[*redis.RefusedError](n.redisFault); ok {
		n.log.ErrorContext(ctx, "REDIS_URL: redis refuses this server; limits are counted on each node", "because", "it "+refused.Error())
	} else if n.redisFault != nil {
		n.log.WarnContext(ctx, "redis cannot be reached; limits are counted on each node", "because", n.redisFault)
	}
	return nil
}

// reasonOf describes why a server stops, for the log.
func reasonOf(failed error) string {
	if failed == nil {
		return "a signal"
	}
	return postgres.RedactURL(failed).Error()
}
