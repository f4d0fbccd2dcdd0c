package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/limiter"
	goredis "github.com/redis/go-redis/v9"
)

// Middleware implements the limiter of Fiber with a Limiter, as its LimiterMiddleware. The stock
// implementations hold a lock during the round trip to Redis, count inexactly over several nodes,
// and allow everything when Redis is down.
//
// It uses KeyGenerator, LimitReached, Next and Storage (only its Conn) of limiter.Config. Limit
// replaces Max and Expiration, because Fiber changes a Max of zero, which would mean "off", to
// five.
//
// Several middlewares with different names may guard one route. Each adds its policy to the
// RateLimit fields, and the first one that rejects the call responds. Policies of Also are decided
// in the same round trip instead.
type Middleware struct {
	Name    string   // of the policy, shown to clients and part of the key; "default" if empty
	Limit   Limit    // when off, no fields are sent and Redis is not called
	Limiter *Limiter // shared by all policies; if nil, a new one on Config.Storage
	Also    []Policy // further policies, in the order in which they are decided after this one
}

// Policy is a further limit of a Middleware.
type Policy struct {
	Name  string
	Limit Limit
	Key   func(*fiber.Ctx) string // whose calls are counted; "" for a call that the policy does not concern
}

// New implements limiter.LimiterHandler. It panics on an unsupported configuration. The fields of
// the response are set before the next handler runs, so that streams and errors have them too. When
// LimitReached is called, status and fields are already set.
func (m Middleware) New(cfg limiter.Config) fiber.Handler {
	if m.Name == "" {
		m.Name = "default"
	}
	policies := m.policies(cfg.KeyGenerator)
	if len(policies) == 0 {
		return func(c *fiber.Ctx) error { return c.Next() }
	}
	check(cfg, policies)
	if m.Limiter == nil {
		m.Limiter = limiterOn(connOf(cfg.Storage), timeout)
	}

	return func(c *fiber.Ctx) error {
		if cfg.Next != nil && cfg.Next(c) {
			return c.Next()
		}
		names, calls := callsOf(c, policies)
		for i, d := range m.decide(c.UserContext(), calls) {
			d.SetFields(c, names[i])
			if !d.Allowed {
				c.Locals(exceededKey, names[i])
				c.Status(fiber.StatusTooManyRequests)
				return cfg.LimitReached(c)
			}
		}
		return c.Next()
	}
}

// policies returns the policies that are not off.
func (m Middleware) policies(key func(*fiber.Ctx) string) (on []Policy) {
	for _, p := range append([]Policy{{m.Name, m.Limit, key}}, m.Also...) {
		if !p.Limit.Disabled() {
			on = append(on, p)
		}
	}
	return on
}

// callsOf returns what a request costs, and the name of the policy of each call.
func callsOf(c *fiber.Ctx, policies []Policy) (names []string, calls []Call) {
	for _, p := range policies {
		if key := p.Key(c); key != "" {
			names, calls = append(names, p.Name), append(calls, Call{Key: p.Name + ":" + key, Limit: p.Limit})
		}
	}
	return names, calls
}

func (m Middleware) decide(ctx context.Context, calls []Call) []Decision {
	switch len(calls) {
	case 0:
		return nil
	case 1:
		return []Decision{m.Limiter.Allow(ctx, calls[0].Key, calls[0].Limit)}
	}
	return m.Limiter.AllowAll(ctx, calls...)
}

// exceededKey is the key of Fiber's locals with the name of the policy that rejected a request.
const exceededKey = "redis.exceeded"

// Exceeded returns the name of the policy that rejected the request of c, for LimitReached.
func Exceeded(c *fiber.Ctx) string {
	name, _ := c.Locals(exceededKey).(string)
	return name
}

// SetFields adds the fields of Fields to the response, and sets Retry-After if the call was rejected
// (RFC 9110, 10.2.3), in whole seconds, rounded up. It does nothing for a limit that is off.
func (d Decision) SetFields(c *fiber.Ctx, policy string) {
	if d.Limit.Disabled() {
		return
	}
	quota, left := d.Fields(policy)
	c.Append("RateLimit-Policy", quota)
	c.Append("RateLimit", left)
	if !d.Allowed {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(max(1, seconds(d.RetryAfter))))
	}
}

// Fields returns the members that a policy adds to the RateLimit-Policy and RateLimit fields of a
// response (draft-ietf-httpapi-ratelimit-headers-10). Both fields are lists, with a member for each
// policy.
func (d Decision) Fields(policy string) (quota, left string) {
	return d.Limit.policy(policy), `"` + policy + `";r=` + strconv.Itoa(d.Remaining) + ";t=" + strconv.Itoa(seconds(d.ResetAfter))
}

// policy omits the window if it is not a number of whole seconds, because the draft has no other
// unit.
func (l Limit) policy(name string) string {
	s := `"` + name + `";q=` + strconv.Itoa(l.Count)
	if l.Period%time.Second != 0 {
		return s
	}
	return s + ";w=" + strconv.Itoa(seconds(l.Period))
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func check(cfg limiter.Config, policies []Policy) {
	if cfg.SkipFailedRequests || cfg.SkipSuccessfulRequests {
		panic("redis: SkipFailedRequests and SkipSuccessfulRequests are not supported")
	}
	for _, p := range policies {
		for _, r := range p.Name {
			if r < ' ' || r > '~' || r == '"' || r == '\\' {
				panic(fmt.Sprintf("redis: policy name %q must be plain ASCII without quotes (RFC 9651, 3.3.3)", p.Name))
			}
		}
	}
}

func connOf(s fiber.Storage) goredis.UniversalClient {
	on, ok := s.(interface {
		Conn() goredis.UniversalClient
	})
	if !ok {
		panic(fmt.Sprintf("redis: limiter.Config.Storage is %T; want Client.Storage(), or set Middleware.Limiter", s))
	}
	return on.Conn()
}

var _ limiter.LimiterHandler = Middleware{}
