package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// orderBudget is the number of orders that an account may place, counted over all nodes (SPEC F13).
// It shows what is left as a policy of the RateLimit fields, next to those of requests.
type orderBudget struct {
	limiter *redis.Limiter
	limit   redis.Limit
}

const orderPolicy = "orders"

// Take takes a number of orders from the budget of an account. It returns a function that gives them
// back. A request that the budget allows later is a 429, and one with more orders than it ever
// allows a 422. Neither takes anything.
func (b orderBudget) Take(ctx context.Context, account uuid.UUID, orders int) (giveBack func(context.Context), err error) {
	if b.limit.Disabled() {
		return func(context.Context) {}, nil
	}
	if orders > b.limit.Count {
		return nil, fault.Invalid(fault.Field{
			Pointer: "/orders", Code: "max-items", Message: fmt.Sprintf("has more orders than one request may have here, which is %d", b.limit.Count),
		})
	}
	call := redis.Call{Key: orderPolicy + ":" + account.String(), Limit: b.limit, Cost: orders}
	d := b.limiter.AllowAll(ctx, call)[0]
	b.show(ctx, d)
	if !d.Allowed {
		return nil, fault.New(fault.KindRateLimited, "too-many-orders", "This account has placed too many orders; see Retry-After.").
			With("policy", orderPolicy).WithRetryAfter(d.RetryAfter)
	}
	return func(ctx context.Context) {
		b.limiter.Cancel(ctx, d.Local, call)
		d.Remaining = min(b.limit.Count, d.Remaining+orders)
		d.ResetAfter = max(0, d.ResetAfter-b.limit.Period/time.Duration(b.limit.Count)*time.Duration(orders))
		b.show(ctx, d)
	}, nil
}

func (b orderBudget) show(ctx context.Context, d redis.Decision) {
	quota, left := d.Fields(orderPolicy)
	web.SetListMember(ctx, "RateLimit-Policy", quota)
	web.SetListMember(ctx, "RateLimit", left)
}
