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

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

const (
	defaultCost = 12
	maxWait     = 2 * time.Second // then 503; a route's deadline is 5 s
)

// The queue length per slot and class, and the part of it for one network address. At the usual
// cost far fewer get a slot within maxWait.
const queueLength, queuePerAddress = 64, 32

// The classes of hashing, in the order of their precedence (SPEC A2, F10). Log-ins from a network in
// which the account is logged in come first, because those who guess passwords from very many addresses
// take nearly all turns of the log-ins from other networks. Logins take precedence over registrations,
// so that registrations cannot keep users from logging in. While a class of higher precedence waits as
// well, one hash in nine goes to the other one.
const (
	familiar = iota
	known
	newcomer
)

// hasher runs bcrypt with a bounded number of hashes at once, so that a flood of log-ins queues
// and other requests keep the processors (SPEC A2). Waiting network addresses are served
// round-robin.
type hasher struct {
	cost      int
	capacity  *bulkhead.Bulkhead[netip.Prefix]
	wait      time.Duration
	dummyHash string // the hash for comparisons without an account

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

// newCapacity reserves one of several slots for logins.
func newCapacity(places int) *bulkhead.Bulkhead[netip.Prefix] {
	return bulkhead.New[netip.Prefix](bulkhead.Options{Slots: places, Classes: []bulkhead.Class{
		familiar: {Queue: places * queueLength, QueuePerKey: places * queuePerAddress},
		known:    {Queue: places * queueLength, QueuePerKey: places * queuePerAddress},
		newcomer: {Slots: max(places-1, 1), Queue: places * queueLength, QueuePerKey: places * queuePerAddress},
	}})
}

// width returns one slot for each core except the last, which is left to other work. If all
// cores were hashing, the network poller would run only every 10 ms, at each of the dozen steps
// of an order: on two cores a flood of logins made orders 25 times slower (`task bench -- -only
// logins`).
func width(cores int) int { return max(1, cores-1) }

func dummyHashOf(cost int) string {
	return fmt.Sprintf("$2a$%02d$KIXQJ0b9uR5zL8mT4vN2cOeW7yHs3dGfPa1xEjBqUoCkVlMnZrS6i", cost)
}

// make hashes a normalised password of at most 72 bytes.
func (h *hasher) make(ctx context.Context, class int, password string) (string, error) {
	var hash []byte
	err := h.do(ctx, class, func() (err error) {
		hash, err = h.generate([]byte(normalize(password)), h.cost)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return string(hash), nil
}

// matches compares a password and takes the same time with any hash, for any password of this
// spelling, including one that no account can have. Hashes of earlier versions are of passwords as they were
// sent, so a spelling that is not the normalised one is compared as well.
func (h *hasher) matches(ctx context.Context, hash, password string) (bool, error) {
	same, err := h.matchesBytes(ctx, hash, normalize(password))
	if same || err != nil || normalize(password) == password {
		return same, err
	}
	return h.matchesBytes(ctx, hash, password)
}

func (h *hasher) matchesBytes(ctx context.Context, hash, password string) (bool, error) {
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

// do hashes as soon as a slot is free. The caller returns when its time is over; the slot is
// released when the work is done.
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

// stale reports whether a hash has another cost than the configured one.
func (h *hasher) stale(hash string) bool {
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil && cost != h.cost
}

// hasCapacity returns the error of a full queue before any hashing is done for a log-in that would
// wait in vain. Only while others wait does it call isFamiliar, which reads the database; the context
// that it returns then gives the hashes of a familiar network their precedence.
func (h *hasher) hasCapacity(ctx context.Context, isFamiliar func(context.Context) (bool, error)) (context.Context, error) {
	if _, waiting := h.capacity.Usage(); waiting > 0 {
		yes, err := isFamiliar(ctx)
		if err != nil {
			return ctx, err
		}
		if yes {
			ctx = context.WithValue(ctx, familiarKey{}, true)
		}
	}
	if err := h.capacity.Check(classOf(ctx, known), site(ctx)); err != nil {
		return ctx, busy(known, err)
	}
	return ctx, nil
}

type familiarKey struct{}

// classOf returns the class in which the work of a request waits.
func classOf(ctx context.Context, class int) int {
	if yes, _ := ctx.Value(familiarKey{}).(bool); yes && class == known {
		return familiar
	}
	return class
}

// site returns the network under which a request queues. Calls that come from no request share
// one.
func site(ctx context.Context) netip.Prefix { return clientaddr.Network(clientaddr.From(ctx)) }

// busy returns the error of a request without a slot. Logins get no error that refers to their
// network address, because many accounts may share one.
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

	leave, err = h.capacity.Acquire(waiting, classOf(ctx, class), site(ctx))
	switch {
	case err == nil:
		return leave, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, busy(class, err)
}
