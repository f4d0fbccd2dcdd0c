package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// runStreams is the scenario of the listeners (SPEC E3 to E5): each customer places orders and
// follows their events over changing transports and nodes with frequent disconnections. Redis is
// stopped during the third fifth of the time. At the end each journal must equal the log: every
// event once, in order.
func (l *lab) runStreams(ctx context.Context, admin *person) error {
	if err := l.fillShelves(ctx, admin); err != nil {
		return err
	}
	var people []*person
	for i := range l.clients {
		p, err := l.register(ctx, fmt.Sprintf("client%d", i+1))
		if err != nil {
			return err
		}
		people = append(people, p)
	}
	ears, hush, err := l.listen(ctx, admin, people)
	if err != nil {
		return err
	}
	defer hush()

	l.say("%d clients and an administrator listen; %d orders/s for %s", l.clients, l.rate, l.duration)
	var both sync.WaitGroup
	busy, stop := context.WithTimeout(ctx, l.duration)
	defer stop()
	both.Go(func() {
		if !pause(busy, l.duration*2/5) {
			return
		}
		l.redis.drop()
		l.say("Redis is gone")
		pause(busy, l.duration/5)
		if err := l.redis.start(ctx); err != nil {
			l.breaches.add("lab", "Redis does not come back: %v", err)
		}
		l.say("Redis is back")
	})
	both.Go(func() { l.orderAt(ctx, busy, people) })
	both.Wait()

	l.say("waiting for rest")
	if err := l.drain(ctx); err != nil {
		return err
	}
	if err := l.verify(ctx); err != nil {
		return err
	}
	if err := judgeEars(ctx, ears); err != nil {
		return err
	}
	for _, ear := range ears {
		l.report.count("events in the journals", ear.count())
	}
	return l.judgeStreams(ctx, people)
}

// orderAt places orders at the rate until busy ends, without waiting for earlier ones.
func (l *lab) orderAt(ctx, busy context.Context, people []*person) {
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-busy.Done():
			return
		case <-tick.C:
		}
		for ; n < int(time.Since(began).Seconds()*float64(l.rate)); n++ {
			p, key := people[n%len(people)], fmt.Sprintf("order-%d", n)
			all.Go(func() { p.order(ctx, key) })
		}
	}
}

func (p *person) order(ctx context.Context, key string) {
	r := &request{method: http.MethodPost, path: "/v1/orders", key: key, body: body(wanted{Items: []item{{"BEANS", 1}}})}
	began := time.Now()
	a := p.settle(ctx, r)
	switch {
	case a == nil:
		p.breaches.add("never answered", "order %s", key)
	case a.status != http.StatusCreated:
		p.breaches.add("unexpected answer", "order %s: %s", key, a)
	default:
		p.report.count("orders acknowledged", 1)
		p.report.sample("time to 201", time.Since(began))
	}
}

// judgeStreams compares the number of acknowledged orders with that in the database.
func (l *lab) judgeStreams(ctx context.Context, people []*person) error {
	var there int
	if err := l.db.direct.QueryRow(ctx, `select count(*) from orders`).Scan(&there); err != nil {
		return err
	}
	l.report.mu.Lock()
	told := l.report.counts["orders acknowledged"]
	l.report.mu.Unlock()
	if told != there {
		l.breaches.add("orders", "%d were acknowledged, %d are there", told, there)
	}
	l.report.count("customers", len(people))
	return nil
}
