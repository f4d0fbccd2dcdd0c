package main

import (
	"context"
	"net/netip"
	"time"

	"orderflow/config"
	"orderflow/platform/fault"
	"orderflow/platform/redis"
	"orderflow/platform/web"
)

// attempts limits guessing (SPEC A6; ASVS 5.0 V6.3.1; API2:2023): so many wrong
// tries from one address, whatever the account, and as many at one account, whatever
// the address. A right one is given back, so neither an office behind one address
// nor an owner who logs in often uses anything up; only of one account from one
// address they count too, since hashing costs the same.
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
	taken   []taken         // to be given back if it is right
	refusal *redis.Decision // what a wrong one is answered, when the account has no tries left
}

type taken struct {
	key string
	redis.Decision
}

// Begin implements auth.Attempts.
func (a *attempts) Begin(ctx context.Context, account string, from netip.Addr, home func(context.Context) (bool, error)) (
	end func(ctx context.Context, wrong bool) error, err error,
) {
	t := &try{attempts: a}
	if a.limit.Count == 0 {
		return t.end, nil
	}
	site := web.Site(from).String()
	limit := redis.Limit{Count: a.limit.Count, Period: a.limit.Period}

	if d := t.take(ctx, "login:address:"+site, limit); !d.Allowed {
		return nil, tooMany(d.RetryAfter)
	}
	if d := a.limiter.Allow(ctx, "login:pair:"+account+"@"+site, limit); !d.Allowed {
		return nil, tooMany(d.RetryAfter)
	}
	d := t.take(ctx, "login:account:"+account, limit)
	if d.Allowed {
		return t.end, nil
	}
	if known, err := home(ctx); known || err != nil {
		return t.end, err
	}
	once := redis.Limit{Count: 1, Period: strangerEvery * a.limit.Period}
	if stranger := t.take(ctx, "login:stranger:"+account+"@"+site, once); !stranger.Allowed {
		return nil, tooMany(d.RetryAfter)
	}
	t.refusal = &d
	return t.end, nil
}

func (t *try) take(ctx context.Context, key string, limit redis.Limit) redis.Decision {
	d := t.limiter.Allow(ctx, key, limit)
	if d.Allowed {
		t.taken = append(t.taken, taken{key, d})
	}
	return d
}

// end gives back what an attempt took that was no wrong guess.
func (t *try) end(ctx context.Context, wrong bool) error {
	if wrong {
		if t.refusal != nil {
			return tooMany(t.refusal.RetryAfter)
		}
		return nil
	}
	for _, one := range t.taken {
		t.limiter.GiveBack(ctx, one.key, one.Decision)
	}
	return nil
}

func tooMany(wait time.Duration) error {
	e := fault.New(fault.RateLimited, "too-many-attempts", "Too many attempts to log in; wait a while.")
	e.RetryAfter = wait
	return e
}
