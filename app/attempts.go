package app

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/platform/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// attempts limits guessing (SPEC A6; ASVS 5.0 V6.3.1; API2:2023): so many wrong
// tries from one address, whatever the account, and as many at one account, whatever
// the address. A right one is given back, so neither an office behind one address
// nor an owner who logs in often uses anything up; only of one account from one
// address they count too, since hashing costs the same. An attempt that nobody judged,
// as there was no place to hash, counts nowhere: who tries again must not be locked out.
//
// Whoever uses up an account's tries from elsewhere must not lock its owner out. So
// where the account is logged in they do not count, and from anywhere else one try
// is left in a long while. It is answered like one too many unless it is right.
type attempts struct {
	limiter *redis.Limiter
	limit   config.Limit
}

// strangerEvery is how many periods an address waits for its one try at an account
// whose tries are used up: an hour at the default of 10/1m.
const strangerEvery = 60

// try is what one attempt has taken so far.
type try struct {
	*attempts
	pair    redis.Call   // to be given back if nobody judges it
	taken   []redis.Call // to be given back if it is right, or if nobody judges it
	local   bool         // whether this node alone has counted them
	refusal error        // what a wrong one is answered, when the account has no tries left
}

// Begin implements auth.Attempts.
func (a *attempts) Begin(ctx context.Context, account string, from netip.Addr, home func(context.Context) (bool, error)) (
	end func(ctx context.Context, what auth.Outcome) error, err error,
) {
	t := &try{attempts: a}
	if a.limit.Count == 0 {
		return func(context.Context, auth.Outcome) error { return nil }, nil
	}
	site, limit := clientaddr.Network(from).String(), redis.Limit{Count: a.limit.Count, Period: a.limit.Period}
	pair := redis.Call{Key: "login:pair:" + account + "@" + site, Limit: limit}
	address := redis.Call{Key: "login:address:" + site, Limit: limit}
	everywhere := redis.Call{Key: "login:account:" + account, Limit: limit}

	made := a.limiter.AllowAll(ctx, pair, address, everywhere)
	last := made[len(made)-1]
	t.local, t.pair = last.Local, pair
	switch {
	case last.Allowed:
		t.taken = []redis.Call{address, everywhere}
		return t.end, nil
	case len(made) < 3: // this address has guessed enough
		return nil, tooMany(last.RetryAfter)
	}
	t.taken = []redis.Call{address}
	there, err := home(ctx)
	if err != nil {
		return nil, errors.Join(err, t.end(context.WithoutCancel(ctx), auth.Unjudged))
	}
	if there {
		return t.end, nil
	}
	return t.asStranger(ctx, account+"@"+site, last.RetryAfter)
}

// asStranger takes the one try of an address at an account that has none left.
func (t *try) asStranger(ctx context.Context, pair string, wait time.Duration) (
	end func(ctx context.Context, what auth.Outcome) error, err error,
) {
	once := redis.Call{Key: "login:stranger:" + pair, Limit: redis.Limit{Count: 1, Period: strangerEvery * t.limit.Period}}
	t.refusal = tooMany(wait)
	d := t.limiter.AllowAll(ctx, once)[0]
	if !d.Allowed {
		return nil, t.refusal
	}
	if d.Local == t.local { // else Redis went or came meanwhile, and one of them stays counted
		t.taken = append(t.taken, once)
	}
	return t.end, nil
}

// end gives back what an attempt took that was no wrong guess.
func (t *try) end(ctx context.Context, what auth.Outcome) error {
	switch what {
	case auth.Wrong:
		return t.refusal
	case auth.Unjudged:
		t.limiter.GiveBack(ctx, t.local, append(t.taken, t.pair)...)
	case auth.Right:
		t.limiter.GiveBack(ctx, t.local, t.taken...)
	}
	return nil
}

func tooMany(wait time.Duration) error {
	e := fault.New(fault.RateLimited, "too-many-attempts", "Too many attempts to log in; wait a while.")
	e.RetryAfter = wait
	return e
}
