package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orderflow-dev/orderflow/modules/inventory"
	"github.com/orderflow-dev/orderflow/modules/notifications"
	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/modules/payments"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/laws"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// allLaws returns the laws in the order in which they are reported. A module that joins the
// program adds its own here. The keys are those of the audit trail.
func allLaws(keys audit.Keys) []laws.Law {
	return slices.Concat(orders.Laws(), orders.HistoryLaws(), inventory.Laws(), payments.Laws(), notifications.Laws(), webhooks.Laws(),
		events.Laws(), queue.Laws(), audit.Laws(keys), ordersLaws, stockLaws, moneyLaws, eventLaws, accountLaws)
}

// Invariants returns those of the product that command verify checks with SQL. A module's
// tests can check them on the database that they leave behind.
func Invariants() []Invariant {
	return slices.DeleteFunc(allLaws(audit.Keys{}), func(l laws.Law) bool { return l.Query == "" })
}

// finding is the result of one law.
type finding struct {
	laws.Law
	broken  int
	took    time.Duration
	samples []sample // the first few
}

type sample struct {
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
}

func (f *finding) add(limit int, subject, detail string) {
	f.broken++
	if len(f.samples) < limit {
		f.samples = append(f.samples, sample{subject, detail})
	}
}

// report holds the results of all laws.
type report struct {
	Broken   int // laws
	orders   int
	took     time.Duration
	findings []*finding
}

// checkAll checks the laws in an open transaction. Its memory does not grow with the tables,
// because rows are streamed and only the first limit violations of each law are kept.
func checkAll(ctx context.Context, q postgres.Querier, keys audit.Keys, settled bool, limit int, shown *progress, more ...Invariant) (*report, error) {
	began := time.Now()
	r := &report{}
	byName := map[string]*finding{}
	all := slices.Concat(allLaws(keys), more)
	for i, l := range all {
		shown.now("Checking invariant %d of %d: %s", i+1, len(all), l.Name)
		if l.Settled && !settled {
			continue
		}
		f := &finding{Law: l}
		r.findings, byName[l.Name] = append(r.findings, f), f
		start := time.Now()
		if err := l.Check(ctx, q, func(subject, detail string) { f.add(limit, subject, detail) }); err != nil {
			return nil, err
		}
		f.took = time.Since(start)
	}

	var err error
	r.orders, err = histories(ctx, q, shown, func(order string, b orders.Breach) { byName[b.Law].add(limit, order, b.Detail) })
	if err != nil {
		return nil, fmt.Errorf("walk over the histories: %w", err)
	}
	for _, f := range r.findings {
		if f.broken > 0 {
			r.Broken++
		}
	}
	r.took = time.Since(began)
	return r, nil
}
