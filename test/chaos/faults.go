package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// fault breaks a component and repairs it before it returns. It reports whether there was a
// component to break.
type fault struct {
	name string
	do   func(ctx context.Context, l *lab, rng *rand.Rand) bool
}

// Two sequences of faults run at the same time: one for the processes and one for the services on
// which they depend.
var lanes = [][]fault{
	{
		{"kill -9 of an API process", kill(func(l *lab) []*node { return l.apis }, syscall.SIGKILL)},
		{"kill -9 of a worker", kill(func(l *lab) []*node { return l.workers }, syscall.SIGKILL)},
		{"SIGTERM to an API process", kill(func(l *lab) []*node { return l.apis }, syscall.SIGTERM)},
		{"SIGTERM to a worker", kill(func(l *lab) []*node { return l.workers }, syscall.SIGTERM)},
	},
	{
		{"PostgreSQL crashes", crashPostgres},
		{"one process's connections are cut", cutOne},
		{"all connections to PostgreSQL are cut", cutAll},
		{"PostgreSQL hangs for one process", hang},
		{"connections break after some bytes", breakLater},
		{"Redis vanishes", dropRedis},
		{"the provider is down", provider(func(b *bank) { b.down.Store(true) })},
		{"the provider fails half of the time", provider(func(b *bank) { b.rough.Store(true) })},
		{"the provider says that it is away", provider(func(b *bank) { b.away.Store(int64(time.Second)) })},
	},
}

// breakThings runs the faults of both sequences in random order until ctx ends. Afterwards all
// components work, but some recoveries may still be measured.
func (l *lab) breakThings(ctx context.Context, canary *person) {
	var all sync.WaitGroup
	for i, lane := range lanes {
		rng := l.rng(uint64(10 + i))
		all.Go(func() {
			var deck []int
			for pause(ctx, l.between(rng)) {
				if len(deck) == 0 {
					deck = rng.Perm(len(lane))
				}
				f := lane[deck[0]]
				deck = deck[1:]
				if !f.do(context.WithoutCancel(ctx), l, rng) {
					continue
				}
				at := time.Now() // a kill has just happened; any other fault has just ended
				l.report.count("faults: "+f.name, 1)
				l.watching.Go(func() { l.recovery(context.WithoutCancel(ctx), canary, f.name, at) })
			}
		})
	}
	all.Wait()
}

func (l *lab) between(rng *rand.Rand) time.Duration {
	mean := 4 * time.Second
	if l.short {
		mean = 1500 * time.Millisecond
	}
	return min(4*mean, time.Duration(rng.ExpFloat64()*float64(mean)))
}

func seconds(rng *rand.Rand, from, to float64) time.Duration {
	return time.Duration((from + rng.Float64()*(to-from)) * float64(time.Second))
}

func kill(which func(*lab) []*node, s syscall.Signal) func(context.Context, *lab, *rand.Rand) bool {
	return func(_ context.Context, l *lab, rng *rand.Rand) bool {
		list := which(l)
		return list[rng.IntN(len(list))].signal(s, seconds(rng, 0, 2))
	}
}

func crashPostgres(ctx context.Context, l *lab, rng *rand.Rand) bool {
	l.db.crash()
	pause(ctx, seconds(rng, 0, 2))
	if err := l.db.start(ctx); err != nil {
		l.breaches.add("lab", "PostgreSQL does not come back: %v", err)
	}
	return true
}

func cutOne(_ context.Context, l *lab, rng *rand.Rand) bool {
	list := l.nodes()
	return list[rng.IntN(len(list))].proxy.cut() == nil
}

func cutAll(_ context.Context, l *lab, _ *rand.Rand) bool {
	for _, n := range l.nodes() {
		if err := n.proxy.cut(); err != nil {
			l.breaches.add("lab", "proxy of %s: %v", n.name, err)
		}
	}
	return true
}

// hang blocks all responses from PostgreSQL while the connections stay open.
func hang(ctx context.Context, l *lab, rng *rand.Rand) bool {
	list := l.nodes()
	lift, _, err := list[rng.IntN(len(list))].proxy.poison("timeout", "downstream", `{"timeout":0}`)
	if err != nil {
		return false
	}
	pause(ctx, seconds(rng, 1, 5))
	lift()
	return true
}

func breakLater(ctx context.Context, l *lab, rng *rand.Rand) bool {
	list := l.nodes()
	stream := []string{"upstream", "downstream"}[rng.IntN(2)]
	lift, err := list[rng.IntN(len(list))].proxy.limit(stream, rng.IntN(20_000))
	if err != nil {
		return false
	}
	pause(ctx, seconds(rng, 0.5, 2))
	lift()
	return true
}

func dropRedis(ctx context.Context, l *lab, rng *rand.Rand) bool {
	l.redis.drop()
	pause(ctx, seconds(rng, 1, 5))
	if err := l.redis.start(ctx); err != nil {
		l.breaches.add("lab", "Redis does not come back: %v", err)
	}
	return true
}

func provider(trouble func(*bank)) func(context.Context, *lab, *rand.Rand) bool {
	return func(ctx context.Context, l *lab, rng *rand.Rand) bool {
		trouble(l.bank)
		pause(ctx, seconds(rng, 1, 6))
		l.bank.heal()
		return true
	}
}
