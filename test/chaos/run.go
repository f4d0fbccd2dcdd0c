package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// run is the whole scenario: accounts, load with faults, the walk, the drain and the checks.
func (l *lab) run(ctx context.Context) error {
	admin, err := l.admin(ctx)
	if err != nil {
		return err
	}
	if l.streams {
		return l.runStreams(ctx, admin)
	}
	if l.rewind {
		return l.runRewind(ctx, admin)
	}
	if err := l.fillShelves(ctx, admin); err != nil {
		return err
	}
	acts, err := l.available(ctx, admin)
	if err != nil {
		return err
	}
	people, err := l.people(ctx)
	if err != nil {
		return err
	}
	ears, hush, err := l.listen(ctx, admin, people[:min(2, len(people))])
	if err != nil {
		return err
	}
	defer hush()

	l.say("%d clients; things break for %s", l.clients, l.duration)
	l.disturb(ctx, admin, people, acts)
	if ctx.Err() != nil {
		return errOver
	}
	if err := l.heal(ctx); err != nil {
		return err
	}
	l.say("healed; walking over the bytes of a commit")
	if err := l.walk(ctx); err != nil {
		return fmt.Errorf("walk: %w", err)
	}
	l.say("waiting for rest")
	l.watching.Wait()
	if err := l.drain(ctx); err != nil {
		return err
	}
	l.report.longest("time to rest after the last fault", time.Since(l.healed))
	if err := l.resolveDeadLetters(ctx, admin); err != nil {
		return err
	}
	return l.judge(ctx, ears)
}

// people returns the customers, one for each client, and two more: the canary, whose orders show
// that processing continues, and the customer of the walk over the bytes.
func (l *lab) people(ctx context.Context) (list []*person, err error) {
	for i := range l.clients {
		p, err := l.register(ctx, fmt.Sprintf("client%d", i+1))
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if l.canary, err = l.register(ctx, "canary"); err != nil {
		return nil, err
	}
	_, err = l.register(ctx, walkerName)
	return list, err
}

// listen opens streams before the first order: one of all orders, and those of some customers.
func (l *lab) listen(ctx context.Context, admin *person, people []*person) (ears []*listener, hush func(), err error) {
	listening, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	hush = func() {
		stop()
		all.Wait()
	}
	for i, p := range append([]*person{admin}, people...) {
		ear := p.listener(l.rng(uint64(1000 + i)))
		all.Go(func() { ear.run(listening) })
		select {
		case <-ear.begun:
		case <-time.After(30 * time.Second):
			hush()
			return nil, nil, fmt.Errorf("%s hears nothing", p.email)
		}
		ears = append(ears, ear)
	}
	return ears, hush, nil
}

// disturb runs the clients and the faults, and returns when every request has a response.
func (l *lab) disturb(ctx context.Context, admin *person, people []*person, acts []act) {
	busy, stop := context.WithTimeout(ctx, l.duration)
	defer stop()
	// Requests without a response get two more minutes after the last fault.
	until, cancel := context.WithTimeout(ctx, l.duration+2*time.Minute)
	defer cancel()

	var both sync.WaitGroup
	both.Go(func() { l.breakThings(busy, l.canary) })
	both.Go(func() { l.load(until, busy, people, admin, acts) })
	both.Wait()
}

// judge runs all checks after the drain.
func (l *lab) judge(ctx context.Context, ears []*listener) error {
	if err := l.verify(ctx); err != nil {
		return err
	}
	orders, err := l.judgeOrders(ctx)
	if err != nil {
		return err
	}
	if err := judgeEars(ctx, ears); err != nil {
		return err
	}
	l.judgeActs(ears[0])
	l.judgeAnswers(ctx)
	for _, step := range []func(context.Context) error{
		l.judgeStock, l.judgeRefunds, func(ctx context.Context) error { return l.judgeMoney(ctx, orders) }, l.judgeTimes, l.figures,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// judgeEars compares the received events with the log. The first listener sees all orders.
func judgeEars(ctx context.Context, ears []*listener) error {
	for i, ear := range ears {
		where := ""
		if i > 0 {
			where = "where user_id = '" + ear.id + "'"
		}
		if err := ear.judge(ctx, where); err != nil {
			return err
		}
	}
	return nil
}
