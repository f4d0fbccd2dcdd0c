package app

import (
	"context"
	"net/netip"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/redis"
)

// registrations limits the accounts that one address opens, over all nodes. It
// implements users.Registrations.
type registrations struct {
	limiter *redis.Limiter
	limit   config.Limit
}

// Begin counts one, unless there have been too many.
func (r *registrations) Begin(ctx context.Context, from netip.Addr) (giveBack func(context.Context), wait time.Duration, refused bool) {
	if r.limit.Count == 0 {
		return func(context.Context) {}, 0, false
	}
	call := redis.Call{
		Key:   "register:address:" + clientaddr.Network(from).String(),
		Limit: redis.Limit{Count: r.limit.Count, Period: r.limit.Period},
	}
	d := r.limiter.AllowAll(ctx, call)[0]
	if !d.Allowed {
		return nil, d.RetryAfter, true
	}
	return func(ctx context.Context) { r.limiter.GiveBack(context.WithoutCancel(ctx), d.Local, call) }, 0, false
}
