package redis

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	goredis "github.com/redis/go-redis/v9"
)

// Instrument registers metrics of the commands of this client. Call it once, before the first command.
func (c *Client) Instrument(reg prometheus.Registerer) {
	with := promauto.With(reg)
	c.AddHook(&meter{
		seconds: with.NewHistogram(prometheus.HistogramOpts{
			Name: "orderflow_redis_duration_seconds", Help: "Duration of commands and pipelines, with the wait for a connection.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1}}),
		errors: with.NewCounter(prometheus.CounterOpts{
			Name: "orderflow_redis_errors_total", Help: "Commands and pipelines that failed, such as by a timeout. A missing key is no failure."}),
	})
}

// meter is a hook of go-redis.
type meter struct {
	seconds prometheus.Histogram
	errors  prometheus.Counter
}

// DialHook implements goredis.Hook. The command that needs the connection counts the failure.
func (*meter) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return next(ctx, network, address)
	}
}

// ProcessHook implements goredis.Hook.
func (m *meter) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		m.observe(began, err)
		return err
	}
}

// ProcessPipelineHook implements goredis.Hook.
func (m *meter) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		m.observe(began, err)
		return err
	}
}

// observe ignores the answer that a script must be sent first: EVALSHA is then followed by EVAL.
func (m *meter) observe(began time.Time, err error) {
	m.seconds.Observe(time.Since(began).Seconds())
	if err != nil && !errors.Is(err, goredis.Nil) && !goredis.HasErrorPrefix(err, "NOSCRIPT") {
		m.errors.Inc()
	}
}
