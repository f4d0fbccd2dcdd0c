package app

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

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
