package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	loginRate  = 200 // per second; far more than a machine can hash
	loginLanes = 512 // concurrent log-ins; each may wait 2 s for a slot
	loginCost  = "12"
	loginTurns = 3
)

// logins places orders at a fixed rate, with and without a flood of log-ins with right and wrong
// passwords: hashing within its limit must not delay orders (SPEC A2). Both are measured
// alternately and their medians are compared, so that neither a machine that becomes slower nor a
// single stall decides.
func (b *bench) logins(ctx context.Context) error {
	s, tokens, err := b.market(ctx, "api,worker", "BCRYPT_COST="+loginCost)
	if err != nil {
		return err
	}
	defer s.stop()

	s.report.title("Placing %d orders/s beside %d log-ins/s, bcrypt cost %s, roles=api,worker", s.opt.rate, loginRate, loginCost)
	s.report.columns()
	s.placedAt(ctx, tokens) // the first orders find cold caches
	var alone, beside turns
	answers := map[int]int{}
	for range loginTurns {
		alone.add(s.placedAt(ctx, tokens))
		counted, stop := s.flood(ctx)
		beside.add(s.placedAt(ctx, tokens))
		stop()
		for status, n := range counted() {
			answers[status] += n
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}

	took := (loginTurns * s.opt.step).Seconds()
	quiet, crowded := summarize(alone.all), summarize(beside.all)
	s.report.step("logins", "due to be sent -> 201, alone", 0, step{rate: float64(quiet.N) / took, latency: quiet})
	s.report.step("logins", "due to be sent -> 201, beside log-ins", 0, step{rate: float64(crowded.N) / took, latency: crowded})
	s.report.value("logins", "p50 beside log-ins, over p50 alone", 0, middle(beside.p50)/middle(alone.p50), "times")
	s.report.value("logins", "p99 beside log-ins, over p99 alone", 0, middle(beside.p99)/middle(alone.p99), "times")
	for _, status := range slices.Sorted(maps.Keys(answers)) {
		s.report.value("logins", "log-ins answered "+strconv.Itoa(status), 0, float64(answers[status])/took, "a second")
	}
	return nil
}

// turns holds the latencies of several steps, together and of each.
type turns struct {
	all      []time.Duration
	p50, p99 []float64
}

func (t *turns) add(took []time.Duration) {
	l := summarize(took)
	t.all, t.p50, t.p99 = append(t.all, took...), append(t.p50, l.P50), append(t.p99, l.P99)
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// placedAt returns the latencies of orders since they were due.
func (s *server) placedAt(ctx context.Context, tokens []string) (took []time.Duration) {
	for _, o := range s.placeAt(ctx, tokens) {
		took = append(took, o.answered.Sub(o.due))
	}
	return took
}

// flood logs in at a fixed rate until stop, alternately with the right and a wrong password, and
// counts the responses.
func (s *server) flood(ctx context.Context) (counted func() map[int]int, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	due := make(chan int, loginLanes)
	c := s.client(loginLanes)
	var all sync.WaitGroup
	all.Go(func() {
		defer close(due)
		every := time.NewTicker(time.Second / loginRate)
		defer every.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				due <- i
			}
		}
	})

	var mu sync.Mutex
	answers := map[int]int{}
	for range loginLanes {
		all.Go(func() {
			x := s.exchange(c, http.MethodPost, "/v1/auth/login", "")
			x.req.Header.SetContentType("application/json")
			for i := range due {
				status := s.attempt(x, i)
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	return func() map[int]int { return answers }, func() { cancel(); all.Wait(); c.CloseIdleConnections() }
}

// attempt returns the status; 200, 401 and 503 are expected.
func (s *server) attempt(x *exchange, i int) int {
	x.req.SetBodyString(fmt.Sprintf(`{"email":%q,"password":%q}`, email(i%placers), []string{password, "not an otter"}[i%2]))
	err := x.do()
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return http.StatusOK
	case ok && (refused.status == http.StatusUnauthorized || refused.status == http.StatusServiceUnavailable):
		return refused.status
	}
	s.failed(err)
	return 0
}
