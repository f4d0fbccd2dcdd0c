package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orderflow-dev/orderflow/internal/periodic"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/orders/lifecycle"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// cluster exports figures that are the same on all nodes, such as the depth of the queues. One node
// reads them, the leader of River's maintenance, so that their cost does not grow with the number of
// nodes and scrapes. All other nodes export none of them: in queries, aggregate without(instance).
type cluster struct {
	pool   *postgres.Pool
	worker *queue.Client
	census func(ctx context.Context) (orders.Census, error)
	every  time.Duration
	log    *slog.Logger

	latest atomic.Pointer[[]prometheus.Metric] // nil: another node exports them
}

const figuresTimeout = 10 * time.Second

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	jobsDesc        = newDesc("orderflow_jobs", "Jobs that are not final, by queue and state of River.", "queue", "state")
	jobsOverdueDesc = newDesc("orderflow_jobs_overdue_seconds", "How long ago the first job of a queue was due that no worker has started.", "queue")
	ordersDesc      = newDesc("orderflow_orders", "Orders that are not deleted, by status.", "status")
	oldestDesc      = newDesc("orderflow_order_oldest_seconds", "Age of the oldest order that waits for the product, by status.", "status")
	deadDesc        = newDesc("orderflow_dead_letters_open", "Dead letters that nobody has resolved, by step.", "step")
	lagDesc         = newDesc("orderflow_consumer_lag_seconds", "Age of the oldest event that a consumer of the log has not handled, also while a transaction holds it back.", "consumer")
	snapshotDesc    = newDesc("orderflow_db_oldest_snapshot_seconds", "Age of the oldest transaction that keeps vacuum from removing rows, as far as the role may see it.")
	leaderDesc      = newDesc("orderflow_leader", "1 on the node that exports the figures of the whole installation.")
)

// Describe implements prometheus.Collector.
func (c *cluster) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{jobsDesc, jobsOverdueDesc, ordersDesc, oldestDesc, deadDesc, lagDesc, snapshotDesc, leaderDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cluster) Collect(to chan<- prometheus.Metric) {
	if latest := c.latest.Load(); latest != nil {
		for _, m := range *latest {
			to <- m
		}
	}
}

// run reads the figures until ctx ends.
func (c *cluster) run(ctx context.Context) error {
	return periodic.Run(ctx, periodic.Task{
		Name: "read the figures of the installation", Interval: c.every, Jitter: 0.1, Immediately: true, Log: c.log, Run: c.read,
	})
}

// read replaces the figures. If they cannot be read, none are exported, rather than old ones.
func (c *cluster) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, figuresTimeout)
	defer cancel()

	leads, err := queue.Leads(ctx, c.pool, c.worker)
	if err != nil || !leads {
		c.latest.Store(nil)
		return err
	}
	list := []prometheus.Metric{gauge(leaderDesc, 1)}
	for _, part := range []func(context.Context) ([]prometheus.Metric, error){c.jobs, c.orders, c.lags} {
		more, err := part(ctx)
		if err != nil {
			c.latest.Store(nil)
			return err
		}
		list = append(list, more...)
	}
	c.latest.Store(&list)
	return nil
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func (c *cluster) jobs(ctx context.Context) (list []prometheus.Metric, err error) {
	depths, err := queue.Depths(ctx, c.pool)
	if err != nil {
		return nil, err
	}
	overdue := map[string]time.Duration{}
	for _, d := range depths {
		list = append(list, gauge(jobsDesc, float64(d.Jobs), d.Queue, d.State))
		if d.State != "running" {
			overdue[d.Queue] = max(overdue[d.Queue], d.Overdue)
		}
	}
	for name, age := range overdue {
		list = append(list, gauge(jobsOverdueDesc, age.Seconds(), name))
	}
	return list, nil
}

func (c *cluster) orders(ctx context.Context) (list []prometheus.Metric, err error) {
	census, err := c.census(ctx)
	if err != nil {
		return nil, err
	}
	for status, n := range census.Counts {
		list = append(list, gauge(ordersDesc, float64(n), string(status)))
	}
	for _, status := range []lifecycle.Status{lifecycle.Pending, lifecycle.Confirmed} {
		age := 0.0
		if oldest := census.Oldest[status]; oldest != nil {
			age = max(time.Since(oldest.CreatedAt.Std()).Seconds(), 0)
		}
		list = append(list, gauge(oldestDesc, age, string(status)))
	}
	for step, n := range census.DeadLetters {
		list = append(list, gauge(deadDesc, float64(n), step))
	}
	return list, nil
}

func (c *cluster) lags(ctx context.Context) (list []prometheus.Metric, err error) {
	lags, err := events.Lags(ctx, c.pool)
	if err != nil {
		return nil, err
	}
	for _, lag := range lags {
		list = append(list, gauge(lagDesc, lag.Age.Seconds(), lag.Consumer))
	}
	age, err := postgres.OldestSnapshot(ctx, c.pool)
	if err != nil {
		return nil, err
	}
	return append(list, gauge(snapshotDesc, age.Seconds())), nil
}
