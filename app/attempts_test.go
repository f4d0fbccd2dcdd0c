package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/modules/auth"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/pgtest"
	"github.com/orderflow-dev/orderflow/platform/redis"
	"github.com/orderflow-dev/orderflow/platform/testwait"
)

// counter is a limiter on a Redis of its own.
func counter(t *testing.T) *redis.Limiter {
	t.Helper()
	client, err := redis.OpenWithin(pgtest.NewRedis(t).URL, testwait.Limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	limiter := redis.NewLimiter(client)
	t.Cleanup(limiter.Close)
	return limiter
}

// A6: an attempt that ended in a 503 counts nowhere, however often it is repeated: in a
// client that tries again, by one whose account has no tries left, and when the database
// is away.
func TestUnjudgedAttemptsAreGivenBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a := &attempts{counter(t), config.Limit{Count: allowed, Period: time.Hour}}
	office, road := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	away := func(context.Context) (bool, error) { return false, nil }
	try := func(from netip.Addr, home func(context.Context) (bool, error), what auth.Outcome) error {
		end, err := a.Begin(ctx, "ann", from, home)
		if err != nil {
			return err
		}
		return end(ctx, what)
	}

	for i := range 3 * allowed {
		if err := try(office, away, auth.Unjudged); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	for i := range allowed {
		if err := try(office, away, auth.Wrong); err != nil {
			t.Fatalf("wrong one %d: %v", i, err)
		}
	}
	if err := try(office, away, auth.Wrong); !fault.Is(err, "too-many-attempts") {
		t.Errorf("one wrong one too many: %v", err)
	}

	broken := errors.New("the database is away")
	for i := range 3 * allowed { // the account has no tries left, so it matters where it is logged in
		if err := try(road, func(context.Context) (bool, error) { return false, broken }, auth.Right); !errors.Is(err, broken) {
			t.Fatalf("without the database, %d: %v", i, err)
		}
		if err := try(road, away, auth.Unjudged); err != nil {
			t.Fatalf("as a stranger, %d: %v", i, err)
		}
	}
	if err := try(road, away, auth.Right); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

// SPEC F10: over two nodes, an address opens exactly so many accounts, of IPv6 a network;
// other addresses, and users who have an account, are not affected.
func TestRegistrationsOfAnAddressAreCountedExactly(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.RedisURL = config.Secret(pgtest.NewRedis(t).URL)
	cfg.RegistrationRateLimit = &config.Limit{Count: allowed, Period: time.Hour}
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	nodes := []*server{serveTest(t, cfg), serveTest(t, cfg)}
	together(t, nodes, func(t *testing.T, n int) string {
		register := func(i int, from string) answer {
			return nodes[i%2].anonymous().send("POST", "/v1/auth/register",
				fmt.Sprintf(`{"email":"new%d.%d@example.com","password":%q}`, n, i, userPassword), "X-Forwarded-For: "+from)
		}
		made := 0
		for i := range 3 * allowed {
			switch a := register(i, fmt.Sprintf("2001:db8:0:%d::%d", n, i+1)); {
			case a.status == 201:
				made++
			case !a.is(429, "too-many-registrations") || a.header.Get("Retry-After") == "":
				t.Errorf("%s, Retry-After %q", a, a.header.Get("Retry-After"))
			}
		}
		if made != allowed {
			return fmt.Sprintf("%d accounts were made, want %d", made, allowed)
		}
		if a := register(100, fmt.Sprint("192.0.2.", n+1)); a.status != 201 {
			return "from another address: " + a.String()
		}
		if a := nodes[0].tries(fmt.Sprintf("2001:db8:0:%d::1", n), fmt.Sprintf("new%d.0@example.com", n), userPassword); a.status != 200 {
			return "a log-in from that address: " + a.String()
		}
		return ""
	})
}
