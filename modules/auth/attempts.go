package auth

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// loginAttempts limits attempts to prove a password (SPEC A6; ASVS 5.0 V6.3.1; API2:2023).
// It counts them for each network address over all accounts, and for each account over all
// addresses. A right password reverts both counts, so neither an office behind
// one address nor an owner who logs in often uses up the limit. Only the count of one account
// from one address keeps right passwords too, because they cost a hash as well. An attempt
// that ended before its password was compared gives back everything: a client that was told
// to try again must not be locked out.
//
// An attacker must not be able to lock an owner out by using up the account's attempts. So
// they do not count for an address from which the account is logged in, and any other address
// keeps one attempt per unknownEvery periods. That attempt is answered like one too many
// unless the password is right.
type loginAttempts struct {
	limiter *redis.Limiter
	limit   redis.Limit
}

// unknownEvery is the number of periods that an unknown address waits for its one attempt at
// an account that has none left: an hour at the default of 10/1m.
const unknownEvery = 60

// outcome is the result of an attempt to prove a password.
type outcome int

// undecided is an attempt that ended before the password was compared, for example because
// there was no capacity to hash it.
const (
	undecided outcome = iota
	right
	wrong
)

// attempt is one attempt and the calls that were counted for it.
type attempt struct {
	*loginAttempts
	pair    redis.Call   // given back only when the attempt is undecided
	counted []redis.Call // given back when the attempt is right or undecided
	local   bool         // only this node has counted them
	refusal error        // the response to a wrong password when the account has no attempts left
}

// begin counts an attempt at an account before its password is compared, and refuses it with a
// RateLimited fault when there were too many. The account is opaque and contains no personal
// data. knownNetwork tells whether the account is logged in from that network; begin calls it
// only when the answer matters. The caller must pass the outcome to end, whose error replaces
// the response.
func (a *loginAttempts) begin(ctx context.Context, account string, from netip.Addr, knownNetwork func(context.Context) (bool, error)) (
	end func(ctx context.Context, what outcome) error, err error,
) {
	t := &attempt{loginAttempts: a}
	if a.limit.Disabled() {
		return func(context.Context, outcome) error { return nil }, nil
	}
	site := clientaddr.Network(from).String()
	pair := redis.Call{Key: "login:pair:" + account + "@" + site, Limit: a.limit}
	address := redis.Call{Key: "login:address:" + site, Limit: a.limit}
	everywhere := redis.Call{Key: "login:account:" + account, Limit: a.limit}

	made := a.limiter.AllowAll(ctx, pair, address, everywhere)
	last := made[len(made)-1]
	t.local, t.pair = last.Local, pair
	switch {
	case last.Allowed:
		t.counted = []redis.Call{address, everywhere}
		return t.end, nil
	case len(made) < 3: // the address itself has no attempts left
		return nil, tooManyAttempts(last.RetryAfter)
	}
	t.counted = []redis.Call{address}
	known, err := knownNetwork(ctx)
	if err != nil {
		return nil, errors.Join(err, t.end(context.WithoutCancel(ctx), undecided))
	}
	if known {
		return t.end, nil
	}
	return t.fromUnknown(ctx, account+"@"+site, last.RetryAfter)
}

// fromUnknown takes the one attempt of an unknown address at an account that has none left.
func (t *attempt) fromUnknown(ctx context.Context, pair string, wait time.Duration) (
	end func(ctx context.Context, what outcome) error, err error,
) {
	// The key keeps its name: nodes of the previous version share the count.
	once := redis.Call{Key: "login:stranger:" + pair, Limit: redis.Limit{Count: 1, Period: unknownEvery * t.limit.Period}}
	t.refusal = tooManyAttempts(wait)
	d := t.limiter.AllowAll(ctx, once)[0]
	if !d.Allowed {
		return nil, t.refusal
	}
	if d.Local == t.local { // otherwise Redis failed or recovered in between, and one of the counts stays
		t.counted = append(t.counted, once)
	}
	return t.end, nil
}

// end gives back the counts that the outcome does not justify.
func (t *attempt) end(ctx context.Context, what outcome) error {
	switch what {
	case wrong:
		return t.refusal
	case undecided:
		t.limiter.Cancel(ctx, t.local, append(t.counted, t.pair)...)
	case right:
		t.limiter.Cancel(ctx, t.local, t.counted...)
	}
	return nil
}

func tooManyAttempts(wait time.Duration) error {
	return fault.New(fault.KindRateLimited, "too-many-attempts", "Too many login attempts; try again later.").WithRetryAfter(wait)
}
