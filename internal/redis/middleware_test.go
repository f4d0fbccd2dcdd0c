package redis

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/limiter"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

func TestFieldsOfEveryAnswer_F4(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c, begun := patiently(t, s.url), time.Now()
		shared := newLimiter(t, c)
		use := func(name string, limit Limit, key func(*fiber.Ctx) string) fiber.Handler {
			return limiter.New(limiter.Config{
				Storage:           c.Storage(),
				KeyGenerator:      key,
				Next:              func(c *fiber.Ctx) bool { return c.Path() == "/livez" },
				LimitReached:      func(*fiber.Ctx) error { return fiber.NewError(http.StatusTooManyRequests, "slow down") },
				LimiterMiddleware: Middleware{Name: name, Limit: limit, Limiter: shared},
			})
		}
		app := fiber.New(fiber.Config{Immutable: true})
		app.Use(use("", Limit{Count: 200, Period: 40 * time.Hour}, nil))
		app.Get("/livez", say("alive"))
		app.Get("/", say("hello"))
		app.Get("/broken", func(*fiber.Ctx) error { return fiber.ErrTeapot })
		app.Get("/off", use("off", Limit{}, nil), say("free"))
		app.Post("/login",
			use("address", Limit{Count: 3, Period: time.Hour}, nil),
			use("account", Limit{Count: 2, Period: time.Hour}, func(c *fiber.Ctx) string { return string(c.Body()) }),
			say("welcome"))

		rows := []struct{ method, path, body, want string }{
			{"GET", "/", "", `200 hello | "default";q=200;w=144000 | "default";r=199;t=720 | `},
			{"GET", "/broken", "", `418 I'm a teapot | "default";q=200;w=144000 | "default";r=198;t=1440 | `},
			{"GET", "/nowhere", "", `404 Cannot GET /nowhere | "default";q=200;w=144000 | "default";r=197;t=2160 | `},
			{"GET", "/off", "", `200 free | "default";q=200;w=144000 | "default";r=196;t=2880 | `},
			{"GET", "/livez", "", `200 alive |  |  | `},
			{"POST", "/login", "ann", `200 welcome | "default";q=200;w=144000, "address";q=3;w=3600, "account";q=2;w=3600 | "default";r=195;t=3600, "address";r=2;t=1200, "account";r=1;t=1800 | `},
			{"POST", "/login", "ann", `200 welcome | "default";q=200;w=144000, "address";q=3;w=3600, "account";q=2;w=3600 | "default";r=194;t=4320, "address";r=1;t=2400, "account";r=0;t=3600 | `},
			{"POST", "/login", "ann", `429 slow down | "default";q=200;w=144000, "address";q=3;w=3600, "account";q=2;w=3600 | "default";r=193;t=5040, "address";r=0;t=3600, "account";r=0;t=3600 | 1800`},
			{"POST", "/login", "bob", `429 slow down | "default";q=200;w=144000, "address";q=3;w=3600 | "default";r=192;t=5760, "address";r=0;t=3600 | 1200`},
		}
		for _, row := range rows {
			if got := answer(t, app, row.method, row.path, row.body); !countsDown(got, row.want, begun) {
				t.Errorf("%s %s\n got %s\nwant %s", row.method, row.path, got, row.want)
			}
		}
	})
}

func TestDefaultsOfTheMiddleware(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := patiently(t, s.url)
		var first, second string
		defer func() {
			if t.Failed() {
				t.Logf("the last answers were\n%s\n%s", first, second)
			}
		}()
		// Its own limiter has the usual bound, after which it counts afresh, on this node.
		testwait.Until(t, "two calls that Redis answers in 100 ms", func() bool {
			must(t, c.FlushAll(t.Context()).Err())
			app, begun := fiber.New(), time.Now()
			app.Use(limiter.New(limiter.Config{
				Storage:           c.Storage(),
				LimiterMiddleware: Middleware{Limit: Limit{Count: 1, Period: 90 * time.Minute}},
			}))
			app.Get("/", say("hello"))
			first, second = answer(t, app, "GET", "/", ""), answer(t, app, "GET", "/", "")
			keys, err := c.Keys(t.Context(), "rate:*").Result()
			must(t, err)
			return len(keys) == 1 &&
				countsDown(first, `200 hello | "default";q=1;w=5400 | "default";r=0;t=5400 | `, begun) &&
				countsDown(second, `429 Too Many Requests | "default";q=1;w=5400 | "default";r=0;t=5400 | 5400`, begun)
		})
	})
}

func TestFieldsAreWholeSeconds(t *testing.T) {
	t.Parallel()
	app := fiber.New()
	app.Get("/", func(c *fiber.Ctx) error {
		limit := Limit{Count: 5, Period: 1500 * time.Millisecond}
		Decision{Limit: limit, RetryAfter: time.Millisecond, ResetAfter: 1200 * time.Millisecond}.SetFields(c, "odd")
		Decision{Allowed: true}.SetFields(c, "off")
		return c.SendString("hello")
	})

	if got, want := answer(t, app, "GET", "/", ""), `200 hello | "odd";q=5 | "odd";r=0;t=2 | 1`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMiddlewareRefusesWhatItCannotHonour(t *testing.T) {
	t.Parallel()
	some := Middleware{Limit: Limit{Count: 1, Period: time.Second}}
	named := some
	named.Name = `a"b`
	for name, cfg := range map[string]limiter.Config{
		"no storage":      {LimiterMiddleware: some},
		"skip failed":     {LimiterMiddleware: some, SkipFailedRequests: true},
		"skip successful": {LimiterMiddleware: some, SkipSuccessfulRequests: true},
		"name":            {LimiterMiddleware: named},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			limiter.New(cfg)
		}()
	}
}

func say(what string) fiber.Handler {
	return func(c *fiber.Ctx) error { return c.SendString(what) }
}

var ofTime = regexp.MustCompile(`t=(\d+)|(\d+)$`)

// countsDown compares two answers: times in the first may be less, by what has passed since begun.
func countsDown(got, want string, begun time.Time) bool {
	passed := int(time.Since(begun)/time.Second) + 1
	times, wanted := ofTime.FindAllString(got, -1), ofTime.FindAllString(want, -1)
	if len(times) != len(wanted) || ofTime.ReplaceAllString(got, "") != ofTime.ReplaceAllString(want, "") {
		return false
	}
	for i := range times {
		n, _ := strconv.Atoi(strings.TrimPrefix(times[i], "t="))
		most, _ := strconv.Atoi(strings.TrimPrefix(wanted[i], "t="))
		if n > most || n < most-passed {
			return false
		}
	}
	return true
}

func answer(t *testing.T, app *fiber.App, method, path, body string) string {
	t.Helper()
	res, err := app.Test(httptest.NewRequest(method, path, strings.NewReader(body)), -1)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)

	parts := []string{res.Status[:3] + " " + string(text)}
	for _, field := range []string{"RateLimit-Policy", "RateLimit", "Retry-After"} {
		parts = append(parts, res.Header.Get(field))
	}
	return strings.Join(parts, " | ")
}

// SPEC F14: a request counts under the caller's policy and under a wider one, in one round trip.
func TestSeveralPoliciesAreOneRoundTrip_F14(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		p, begun := slow(t, s), time.Now()
		l := patient(t, p.url)
		app := fiber.New(fiber.Config{Immutable: true})
		app.Use(limiter.New(limiter.Config{
			Storage:      open(t, s.url).Storage(),
			KeyGenerator: func(c *fiber.Ctx) string { return string(c.Body()) },
			LimitReached: func(c *fiber.Ctx) error { return fiber.NewError(http.StatusTooManyRequests, Exceeded(c)) },
			LimiterMiddleware: Middleware{Limit: Limit{Count: 2, Period: 2 * time.Hour}, Limiter: l, Also: []Policy{
				{Name: "address", Limit: Limit{Count: 3, Period: 3 * time.Hour}, Key: func(c *fiber.Ctx) string {
					return strings.TrimPrefix(c.Path(), "/")
				}},
				{Name: "off", Key: func(*fiber.Ctx) string { return "never asked" }},
			}},
		}))
		app.Post("/:network", say("hello"))
		l.AllowAll(t.Context(), Call{Key: "warm the script", Limit: Limit{Count: 1, Period: time.Hour}})

		before := p.asked.Load()
		rows := []struct{ path, body, want string }{
			{"/", "ann", `404 Cannot POST / | "default";q=2;w=7200 | "default";r=1;t=3600 | `},
			{"/here", "bob", `200 hello | "default";q=2;w=7200, "address";q=3;w=10800 | "default";r=1;t=3600, "address";r=2;t=3600 | `},
			{"/here", "bob", `200 hello | "default";q=2;w=7200, "address";q=3;w=10800 | "default";r=0;t=7200, "address";r=1;t=7200 | `},
			{"/here", "bob", `429 default | "default";q=2;w=7200 | "default";r=0;t=7200 | 3600`},
			{"/here", "cat", `200 hello | "default";q=2;w=7200, "address";q=3;w=10800 | "default";r=1;t=3600, "address";r=0;t=10800 | `},
			{"/here", "dan", `429 address | "default";q=2;w=7200, "address";q=3;w=10800 | "default";r=1;t=3600, "address";r=0;t=10800 | 3600`},
			{"/there", "dan", `200 hello | "default";q=2;w=7200, "address";q=3;w=10800 | "default";r=0;t=7200, "address";r=2;t=3600 | `},
			{"/bob", "eve", `200 hello | "default";q=2;w=7200, "address";q=3;w=10800 | "default";r=1;t=3600, "address";r=2;t=3600 | `}, // a network with the name of a caller
		}
		for _, row := range rows {
			if got := answer(t, app, "POST", row.path, row.body); !countsDown(got, row.want, begun) {
				t.Errorf("%s %s\n got %s\nwant %s", row.path, row.body, got, row.want)
			}
		}
		if trips := p.asked.Load() - before; trips != int64(len(rows))+1 { // one more loads the script of redis_rate
			t.Errorf("%d requests took %d round trips", len(rows), trips)
		}
	})
}
