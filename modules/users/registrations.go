package users

import (
	"context"
	"net/netip"
	"time"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/internal/redis"
)

// registrations limits the accounts that one network address opens, over all nodes (SPEC F10).
type registrations struct {
	limiter *redis.Limiter
	limit   redis.Limit
}

// begin counts a registration before its password is hashed. When the address has made too many
// it returns refused and the time to wait. giveBack undoes the count of a registration that
// failed for another reason.
func (r *registrations) begin(ctx context.Context, from netip.Addr) (giveBack func(context.Context), wait time.Duration, refused bool) {
	if r.limit.Disabled() || r.limiter == nil {
		return func(context.Context) {}, 0, false
	}
	call := redis.Call{Key: "register:address:" + clientaddr.Network(from).String(), Limit: r.limit}
	d := r.limiter.AllowAll(ctx, call)[0]
	if !d.Allowed {
		return nil, d.RetryAfter, true
	}
	return func(ctx context.Context) { r.limiter.Cancel(context.WithoutCancel(ctx), d.Local, call) }, 0, false
}
