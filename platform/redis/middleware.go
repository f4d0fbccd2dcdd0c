package redis

import (
	"fmt"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/limiter"
	goredis "github.com/redis/go-redis/v9"
)

// Middleware puts a Limiter behind Fiber's own limiter, as its LimiterMiddleware.
// The stock ones hold one lock across the Redis round trip, count inexactly
// between nodes and let everything pass when Redis is down.
//
// Of limiter.Config it uses KeyGenerator, LimitReached, Next and Storage (only its
// Conn). Max and Expiration are replaced by Limit, because Fiber turns a Max of
// zero, which would be "off", into five.
//
// Several may guard one route, each with its own Name; each adds its member to the
// RateLimit fields, and the first that refuses answers.
type Middleware struct {
	Name    string   // of the policy, shown to clients and part of the key; "default" if empty
	Limit   Limit    // off: no fields, no call to Redis
	Limiter *Limiter // shared by all policies; if nil, one of its own on Config.Storage
}

// New implements limiter.LimiterHandler. It panics on a configuration that cannot
// be honoured. The answer's fields are set before the next handler runs, so
// streams and errors carry them too; LimitReached finds status and fields set.
func (m Middleware) New(cfg limiter.Config) fiber.Handler {
	if m.Limit.Off() {
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

// SetFields adds the policy to the answer's RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-10), and Retry-After if the call was
// refused (RFC 9110, 10.2.3), in whole seconds, rounded up. It is for handlers
// that call Allow themselves; it does nothing for a limit that is off.
func (d Decision) SetFields(c *fiber.Ctx, policy string) {
	if d.Limit.Off() {
		return
	}
	c.Append("RateLimit-Policy", d.Limit.policy(policy))
	c.Append("RateLimit", `"`+policy+`";r=`+strconv.Itoa(d.Remaining)+";t="+strconv.Itoa(seconds(d.ResetAfter)))
	if !d.Allowed {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(max(1, seconds(d.RetryAfter))))
	}
}

// policy leaves the window out when it is not whole seconds, as the draft has no
// other unit.
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
		panic("redis: a GCRA limit cannot take a call back; SkipFailedRequests and SkipSuccessfulRequests are not supported")
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
