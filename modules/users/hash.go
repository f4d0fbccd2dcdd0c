package users

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"

	"orderflow/platform/fault"
)

const (
	defaultCost = 12
	maxWait     = 2 * time.Second // then 503; a client waits 15 s, a route lives 5
	maxQueue    = 64              // for each place; at the usual cost far fewer have their turn in that time
)

// hasher runs bcrypt behind a gate: a flood of log-ins queues there, and everything
// else keeps its turns (SPEC A2).
type hasher struct {
	cost  int
	gate  chan struct{}
	queue chan struct{} // those at the gate and those before it
	wait  time.Duration
	decoy string // what a password is compared with when there is no account

	compare  func(hash, password []byte) error // bcrypt's own; tests count
	generate func(password []byte, cost int) ([]byte, error)
}

func newHasher(cost int, elsewhere []string, log *slog.Logger) *hasher {
	if cost == 0 {
		cost = defaultCost
	}
	places := width(runtime.GOMAXPROCS(0))
	h := &hasher{
		cost:     cost,
		gate:     make(chan struct{}, places),
		queue:    make(chan struct{}, places*maxQueue),
		wait:     maxWait,
		decoy:    decoyOf(cost),
		compare:  bcrypt.CompareHashAndPassword,
		generate: bcrypt.GenerateFromPassword,
	}
	if len(elsewhere) > 0 {
		a := newAside(elsewhere, places, log)
		h.compare, h.generate = a.compare, a.generate
	}
	return h
}

// width is one for each core but the last, which is left to everything else. With all
// of them hashing nobody looks at the network until the runtime's 10 ms are over, at
// each of the dozen steps that an order takes: on two cores a flood of log-ins made
// orders 25 times slower (`task bench -- -only logins`).
func width(cores int) int { return max(1, cores-1) }

func decoyOf(cost int) string {
	return fmt.Sprintf("$2a$%02d$KIXQJ0b9uR5zL8mT4vN2cOeW7yHs3dGfPa1xEjBqUoCkVlMnZrS6i", cost)
}

// make hashes a password of at most 72 bytes.
func (h *hasher) make(ctx context.Context, password string) (string, error) {
	var hash []byte
	err := h.do(ctx, func() (err error) {
		hash, err = h.generate([]byte(password), h.cost)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return string(hash), nil
}

// matches compares, and takes the same time for any password: one that no account
// can have is compared too, and then refused.
func (h *hasher) matches(ctx context.Context, hash, password string) (bool, error) {
	possible := len(password) <= maxPassword && !repeats(password)
	err := h.do(ctx, func() error { return h.compare([]byte(hash), []byte(password[:min(len(password), maxPassword)])) })
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare a password: %w", err)
	}
	return possible, nil
}

// do hashes when it is its turn. Whoever runs out of time leaves; the place is free
// only when the work is done.
func (h *hasher) do(ctx context.Context, work func() error) error {
	leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	type outcome struct {
		err      error
		panicked any
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panicked = recover()
			leave()
			done <- o
		}()
		o.err = work()
	}()
	select {
	case o := <-done:
		if o.panicked != nil {
			panic(o.panicked)
		}
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// level spends what a comparison took less than one with the decoy, when its hash is
// of a lower cost than the one set now: 2^n is 2^m + 2^m + 2^(m+1) + ... + 2^(n-1).
// An account of before would otherwise be known by its quick refusal.
func (h *hasher) level(ctx context.Context, hash, password string) {
	cost, err := bcrypt.Cost([]byte(hash))
	for ; err == nil && cost < h.cost; cost++ {
		_, err = h.matches(ctx, decoyOf(cost), password)
	}
}

// stale tells whether a hash was made at another cost than the one set now.
func (h *hasher) stale(hash string) bool {
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil && cost != h.cost
}

// room refuses when the queue is full, before anything has been done for a log-in that
// would wait in vain.
func (h *hasher) room() error {
	if len(h.queue) == cap(h.queue) {
		return busy()
	}
	return nil
}

func busy() error {
	e := fault.New(fault.Unavailable, "busy", "Too many people are logging in just now; try again.")
	e.RetryAfter = maxWait
	return e
}

func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, busy()
	}
	timer := time.NewTimer(h.wait)
	defer timer.Stop()

	select {
	case h.gate <- struct{}{}:
		return func() { <-h.gate; <-h.queue }, nil
	case <-timer.C:
		err = busy()
	case <-ctx.Done():
		err = ctx.Err()
	}
	<-h.queue
	return nil, err
}
