package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/modules/orders"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// law is one thing that must always hold. Its query returns what breaks it: a
// subject and a detail, both text. Without a query it is one of those that the
// walk over the histories decides.
type law struct {
	name, says, spec string
	query            string
	args             []any // of the query
	settled          bool // holds only when nothing is under way
}

// laws in the order in which they are reported.
func laws() (list []law) {
	list = append(list, lawsOfRows...)
	list = append(list, lawsOfHistory...)
	list = append(list, lawsOfStock...)
	list = append(list, lawsOfMoney...)
	list = append(list, lawsOfLog...)
	list = append(list, lawsOfWork...)
	list = append(list, lawsOfWebhooks...)
	return append(list, lawsAtRest...)
}

var lawsOfHistory = []law{
	{name: orders.LawFirstEvent, says: "every history begins with order.created", spec: "C2"},
	{name: orders.LawVersions, says: "versions count an order's events from 1, and the order has the last", spec: "E1"},
	{name: orders.LawEventOrder, says: "an order's events lie in the log in the order of their versions", spec: "E3"},
	{name: orders.LawEventUser, says: "events belong to whom the order belongs to", spec: "E2"},
	{name: orders.LawIllegalMove, says: "histories are made of the table's moves, each by a party that may", spec: "C9"},
	{name: orders.LawFold, says: "the events of an order add up to its row", spec: "E1"},
}

// finding is what became of one law.
type finding struct {
	law
	broken  int
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

// report is all of them.
type report struct {
	Broken   int // laws
	orders   int
	took     time.Duration
	findings []*finding
}

// judge asks the laws on an open transaction. Its memory does not grow with the
// tables: rows stream, and only the first limit of each law are kept.
func judge(ctx context.Context, q postgres.Querier, settled bool, limit int, more ...Invariant) (*report, error) {
	began := time.Now()
	r := &report{}
	byName := map[string]*finding{}
	all := laws()
	for _, i := range more {
		all = append(all, law{name: i.Name, says: i.Says, query: i.Query})
	}
	for _, l := range all {
		if l.settled && !settled {
			continue
		}
		f := &finding{law: l}
		r.findings, byName[l.name] = append(r.findings, f), f
		if l.query == "" {
			continue
		}
		if err := f.ask(ctx, q, limit); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}

	var err error
	r.orders, err = histories(ctx, q, func(order string, b orders.Breach) { byName[b.Law].add(limit, order, b.Detail) })
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

func (f *finding) ask(ctx context.Context, q postgres.Querier, limit int) error {
	rows, err := q.Query(ctx, f.query, f.args...)
	if err != nil {
		return err
	}
	var subject, detail string
	_, err = pgx.ForEachRow(rows, []any{&subject, &detail}, func() error {
		f.add(limit, subject, detail)
		return nil
	})
	return err
}
