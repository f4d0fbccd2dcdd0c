package main

import (
	"context"
	"net/netip"

	"orderflow/config"
	"orderflow/platform/fault"
	"orderflow/platform/redis"
)

// attempts limits guessing: per account and address together, so that nobody can
// lock the owner out from elsewhere, and ten times that per address (SPEC A6).
type attempts struct {
	limiter *redis.Limiter
	limit   config.Limit
}

// Allow counts one attempt and refuses it when there were too many.
func (a *attempts) Allow(ctx context.Context, account string, from netip.Addr) error {
	if a.limit.Count == 0 {
		return nil
	}
	rows := []struct {
		key   string
		count int
	}{
		{"login:address:" + from.String(), a.limit.Count * 10},
		{"login:account:" + account + "@" + from.String(), a.limit.Count},
	}
	for _, row := range rows {
		d := a.limiter.Allow(ctx, row.key, redis.Limit{Count: row.count, Period: a.limit.Period})
		if !d.Allowed {
			e := fault.New(fault.RateLimited, "too-many-attempts", "Too many attempts to log in; wait a while.")
			e.RetryAfter = d.RetryAfter
			return e
		}
	}
	return nil
}
