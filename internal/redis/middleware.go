package redis

import (
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
// RateLimit fields, and the first one that rejects the call responds.
type Middleware struct {
	Name    string   // of the policy, shown to clients and part of the key; "default" if empty
	Limit   Limit    // when off, no fields are sent and Redis is not called
	Limiter *Limiter // shared by all policies; if nil, a new one on Config.Storage
}

// New implements limiter.LimiterHandler. It panics on an unsupported configuration. The fields of
// the response are set before the next handler runs, so that streams and errors have them too. When
// LimitReached is called, status and fields are already set.
func (m Middleware) New(cfg limiter.Config) fiber.Handler {
	if m.Limit.Disabled() {
		return func(c *fiber.Ctx) error { return c.Next() }
	}
	if m.Name == "" {
		m.Name = "default"
	}
	m.check(cfg)
	if m.Limiter == nil {
		m.Limiter = limiterOn(connOf(cfg.Storage), timeout)
	}

	return func(c *fiber.Ctx) error {
		if cfg.Next != nil && cfg.Next(c) {
			return c.Next()
		}
		d := m.Limiter.Allow(c.UserContext(), m.Name+":"+cfg.KeyGenerator(c), m.Limit)
		d.SetFields(c, m.Name)
		if d.Allowed {
			return c.Next()
		}
		c.Status(fiber.StatusTooManyRequests)
		return cfg.LimitReached(c)
	}
}

// SetFields adds the policy to the RateLimit-Policy and RateLimit fields of the response
// (draft-ietf-httpapi-ratelimit-headers-10), and sets Retry-After if the call was rejected (RFC
// 9110, 10.2.3), in whole seconds, rounded up. Handlers that call Allow themselves use it. It does
// nothing for a limit that is off.
func (d Decision) SetFields(c *fiber.Ctx, policy string) {
	if d.Limit.Disabled() {
		return
	}
	c.Append("RateLimit-Policy", d.Limit.policy(policy))
	c.Append("RateLimit", `"`+policy+`";r=`+strconv.Itoa(d.Remaining)+";t="+strconv.Itoa(seconds(d.ResetAfter)))
	if !d.Allowed {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(max(1, seconds(d.RetryAfter))))
	}
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

func (m Middleware) check(cfg limiter.Config) {
	if cfg.SkipFailedRequests || cfg.SkipSuccessfulRequests {
		panic("redis: SkipFailedRequests and SkipSuccessfulRequests are not supported")
	}
	for _, r := range m.Name {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			panic(fmt.Sprintf("redis: policy name %q must be plain ASCII without quotes (RFC 9651, 3.3.3)", m.Name))
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
