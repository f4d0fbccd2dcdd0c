package users

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/orderflow-dev/orderflow/platform/bulkhead"
	"github.com/orderflow-dev/orderflow/platform/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

const (
	defaultCost = 12
	maxWait     = 2 * time.Second // then 503; a client waits 15 s, a route lives 5
)

// How many wait at the gate, for each place, and how many of them from one network
// address, in each class. At the usual cost far fewer have their turn within maxWait.
const queueLength, queuePerAddress = 64, 32

// The classes of hashing. Those who prove a password of an account that exists come
// before those who open one: a stranger must not keep anybody out (SPEC F10). While both
// wait, one hash in nine is a newcomer's.
const (
	known = iota
	newcomer
)

// hasher runs bcrypt with a bounded number of hashes at once, so that a flood of log-ins queues
// and other requests keep the processors (SPEC A2). The network addresses that wait take turns.
type hasher struct {
	cost      int
	capacity  *bulkhead.Bulkhead[netip.Prefix]
	wait      time.Duration
	dummyHash string // what a password is compared with when there is no account

	compare  func(hash, password []byte) error // bcrypt's own; tests count
	generate func(password []byte, cost int) ([]byte, error)
}

func newHasher(cost int, elsewhere []string, log *slog.Logger) *hasher {
	if cost == 0 {
		cost = defaultCost
	}
	places := width(runtime.GOMAXPROCS(0))
	h := &hasher{
		cost:      cost,
		capacity:  newCapacity(places),
		wait:      maxWait,
		dummyHash: dummyHashOf(cost),
		compare:   bcrypt.CompareHashAndPassword,
		generate:  bcrypt.GenerateFromPassword,
	}
	if len(elsewhere) > 0 {
		a := newSubprocess(elsewhere, places, log)
		h.compare, h.generate = a.compare, a.generate
	}
	return h
}

// newCapacity reserves one of several places for log-ins.
func newCapacity(places int) *bulkhead.Bulkhead[netip.Prefix] {
	return bulkhead.New[netip.Prefix](bulkhead.Options{Slots: places, Classes: []bulkhead.Class{
		known:    {Queue: places * queueLength, QueuePerKey: places * queuePerAddress},
		newcomer: {Slots: max(places-1, 1), Queue: places * queueLength, QueuePerKey: places * queuePerAddress},
	}})
}

// width is one for each core but the last, which is left to everything else. With all
// of them hashing nobody looks at the network until the runtime's 10 ms are over, at
// each of the dozen steps that an order takes: on two cores a flood of log-ins made
// orders 25 times slower (`task bench -- -only logins`).
func width(cores int) int { return max(1, cores-1) }

func dummyHashOf(cost int) string {
	return fmt.Sprintf("$2a$%02d$KIXQJ0b9uR5zL8mT4vN2cOeW7yHs3dGfPa1xEjBqUoCkVlMnZrS6i", cost)
}

// make hashes a password of at most 72 bytes.
func (h *hasher) make(ctx context.Context, class int, password string) (string, error) {
	var hash []byte
	err := h.do(ctx, class, func() (err error) {
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
	err := h.do(ctx, known, func() error { return h.compare([]byte(hash), []byte(password[:min(len(password), maxPassword)])) })
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
func (h *hasher) do(ctx context.Context, class int, work func() error) error {
	leave, err := h.enter(ctx, class)
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

// equalizeCost burns the time difference between a hash of a lower cost and one of the present
// cost: 2^n is 2^m + 2^m + 2^(m+1) + ... + 2^(n-1). Otherwise the quick refusal would reveal an
// account with an old hash.
func (h *hasher) equalizeCost(ctx context.Context, hash, password string) {
	cost, err := bcrypt.Cost([]byte(hash))
	for ; err == nil && cost < h.cost; cost++ {
		_, err = h.matches(ctx, dummyHashOf(cost), password)
	}
}

// stale tells whether a hash was made at another cost than the one set now.
func (h *hasher) stale(hash string) bool {
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil && cost != h.cost
}

// hasCapacity returns the error of a full queue before any work is done for a log-in that would
// wait in vain.
func (h *hasher) hasCapacity(ctx context.Context) error {
	if err := h.capacity.Check(known, site(ctx)); err != nil {
		return busy(known, err)
	}
	return nil
}

// site returns the network under which a request queues. Calls that come from no request share
// one.
func site(ctx context.Context) netip.Prefix { return clientaddr.Network(clientaddr.From(ctx)) }

// busy returns the error of a request that found no place. Log-ins get no error of their
// own address: many accounts may share one.
func busy(class int, err error) error {
	e := fault.New(fault.KindUnavailable, "busy", "Too many logins are in progress; try again.")
	if class == newcomer && errors.Is(err, bulkhead.ErrKeyLimit) {
		e = tooManyRegistrations()
	}
	e.RetryAfter = maxWait
	return e.WithCause(err)
}

func (h *hasher) enter(ctx context.Context, class int) (leave func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, h.wait)
	defer cancel()

	leave, err = h.capacity.Acquire(waiting, class, site(ctx))
	switch {
	case err == nil:
		return leave, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, busy(class, err)
}
