package main

import (
	"context"
	"fmt"
	"time"
)

// kept is an order in the database.
type kept struct {
	user, reference, status string
	version, total          int64
	deleted                 bool
	created                 time.Time
}

// judgeOrders compares the responses with the database: it must contain every acknowledged order as
// it was acknowledged, and no other.
func (l *lab) judgeOrders(ctx context.Context) (map[string]kept, error) {
	there := map[string]kept{}
	err := l.db.rows(ctx, `
		select id::text, user_id::text, coalesce(reference, deleted_reference, ''), status, version, total, deleted_at is not null, created_at from orders`,
		func(scan func(...any) error) error {
			var id string
			var k kept
			err := scan(&id, &k.user, &k.reference, &k.status, &k.version, &k.total, &k.deleted, &k.created)
			there[id] = k
			return err
		})
	if err != nil {
		return nil, err
	}
	for id, k := range there {
		if l.journal.byID[id] == nil {
			l.breaches.add("an order that no client placed", "%s of %s, created %s, reference %q", id, k.user, k.created, k.reference)
		}
	}
	for _, p := range l.journal.placed {
		k, found := there[p.id]
		switch {
		case !found:
			l.breaches.add("acknowledged and lost", "order %s, key %s", p.id, p.asked.key)
		case k.user != p.by.id || k.total != p.wanted.total() || p.wanted.Reference != nil && k.reference != *p.wanted.Reference:
			l.breaches.add("acknowledged and different", "order %s: %+v, asked for %s by %s", p.id, k, p.asked.body, p.by.id)
		case k.version < p.newest():
			l.breaches.add("acknowledged and lost", "order %s is at version %d, version %d was acknowledged", p.id, k.version, p.newest())
		case k.deleted && !p.mayBeGone():
			l.breaches.add("deleted without a request", "order %s", p.id)
		}
	}
	for _, what := range l.journal.open {
		l.breaches.add("never answered", "%s", what)
	}
	return there, nil
}

// judgeActs finds every acknowledged act in the log.
func (l *lab) judgeActs(s *listener) {
	for _, a := range l.journal.acts {
		e, found := s.seen[fmt.Sprintf("%s/%d", a.order, a.version)]
		if !found || e.Data.Status != a.status {
			l.breaches.add("acknowledged and lost", "%s was answered with %s at version %d, the log has %s there", a.what, a.status, a.version, e.Data.Status)
		}
	}
	l.report.count("acknowledged acts found in the log", len(l.journal.acts))
}

// judgeAnswers repeats keys: the responses must be the same.
func (l *lab) judgeAnswers(ctx context.Context) {
	rng := l.rng(1)
	list := l.journal.placed
	for _, i := range rng.Perm(len(list))[:min(len(list), 1000)] {
		c := &client{person: list[i].by, rng: rng}
		c.replay(ctx, list[i])
	}
}

// judgeStock compares the acknowledged adjustments with the stock movements.
func (l *lab) judgeStock(ctx context.Context) error {
	var n int
	var sum int64
	err := l.db.direct.QueryRow(ctx, `select count(*), coalesce(sum(delta), 0)::bigint from movements where reason = $1`, restocked).Scan(&n, &sum)
	want := int64(0)
	for _, d := range l.journal.restock {
		want += d
	}
	if err == nil && (n != len(l.journal.restock) || sum != want) {
		l.breaches.add("restocking", "%d movements of %d units, %d of %d were acknowledged", n, sum, len(l.journal.restock), want)
	}
	return err
}

// judgeTimes reports the times from placing to fulfilment. The longest is that of an order whose
// worker was killed.
func (l *lab) judgeTimes(ctx context.Context) error {
	return l.db.rows(ctx, `
		select extract(epoch from min(e.at) - o.created_at)::float8 from orders o
		join events e on e.order_id = o.id and e.type = 'order.processing'
		where not exists (select from events r where r.order_id = o.id and r.type in ('order.held', 'order.reopened'))
		group by o.id`,
		func(scan func(...any) error) error {
			var took float64
			err := scan(&took)
			l.report.sample("placed to PROCESSING", time.Duration(took*float64(time.Second)))
			return err
		})
}

// figures reports the statistics of the run from the database.
func (l *lab) figures(ctx context.Context) error {
	for _, f := range []struct{ what, query string }{
		{"orders that are ", `select status, count(*) from orders group by status`},
		{"orders whose payment is ", `select payment_status, count(*) from orders group by payment_status`},
		{"events ", `select type, count(*) from events group by type`},
		{"dead letters ", `select step || ', ' || coalesce(resolution, 'open'), count(*) from dead_letters group by 1`},
	} {
		err := l.db.rows(ctx, f.query, func(scan func(...any) error) error {
			var name string
			var n int
			err := scan(&name, &n)
			l.report.count(f.what+name, n)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
