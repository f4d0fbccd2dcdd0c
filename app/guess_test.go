package app

import (
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
)

// allowed is how many wrong tries there are; none comes back while a test runs.
const allowed = 5

// guarded are two nodes behind a proxy that they trust, on one Redis.
func guarded(t *testing.T) (nodes []*server, store *pgtest.RedisServer) {
	t.Helper()
	store = pgtest.NewRedis(t)
	cfg := settings(t)
	cfg.RedisURL = config.Secret(store.URL)
	cfg.LoginRateLimit = config.Limit{Count: allowed, Period: 100 * time.Hour}
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return []*server{serveTest(t, cfg), serveTest(t, cfg)}, store
}

// tries to log in from an address.
func (s *server) tries(from, email, password string) answer {
	s.t.Helper()
	return s.anonymous().send("POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), "X-Forwarded-For: "+from)
}

// refused demands what a guess too many is answered.
func (a answer) refused(t *testing.T, what string) {
	t.Helper()
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); !a.is(429, "too-many-attempts") || err != nil || wait < 1 {
		t.Errorf("%s: %s, Retry-After %q", what, a, a.header.Get("Retry-After"))
	}
}

// together does what nodes must count together: one alone would say nothing (F4).
func together(t *testing.T, nodes []*server, do func(t *testing.T, n int) string) {
	t.Helper()
	fault := do(t, 0)
	for i, s := range nodes {
		if n := s.metric("orderflow_limiter_local_decisions_total"); n != 0 {
			t.Errorf("node %d counted %v calls alone", i, n)
		}
	}
	if fault != "" {
		t.Error(fault)
	}
}

// A6; ASVS 5.0 V6.3.1; API2:2023, API4:2023: exactly so many wrong tries are looked
// at, whichever way they are spread, at whichever node they arrive; and an account
// that is not there is counted like any other.
func TestGuessesAreCountedExactly(t *testing.T) {
	t.Parallel()
	nodes, _ := guarded(t)
	nodes[0].user("ann0")
	for i, row := range []struct {
		name        string
		from, email func(n, i int) string
	}{
		{"one account from one address",
			func(n, _ int) string { return fmt.Sprint("192.0.2.", n) }, func(n, _ int) string { return fmt.Sprintf("ann%d@example.com", n) }},
		{"many accounts from one address",
			func(n, _ int) string { return fmt.Sprint("198.51.100.", n) }, func(n, i int) string { return fmt.Sprintf("bob%d.%d@example.com", n, i) }},
		{"one account from many addresses",
			func(n, i int) string { return fmt.Sprintf("10.7.%d.%d", n, i) }, func(n, _ int) string { return fmt.Sprintf("cid%d@example.com", n) }},
		{"many accounts from many addresses of one network",
			func(n, i int) string { return fmt.Sprintf("2001:db8:0:%d::%d", n, i) }, func(n, i int) string { return fmt.Sprintf("dan%d.%d@example.com", n, i) }},
		{"one account in many spellings from many addresses",
			func(n, i int) string { return fmt.Sprintf("10.8.%d.%d", n, i) },
			func(n, i int) string {
				return fmt.Sprintf("%s%d@example.com", []string{"eva", "EVA", "Eva", "eVa"}[i%4], n)
			}},
	} {
		together(t, nodes, func(t *testing.T, n int) string {
			var all sync.WaitGroup
			answers := make([]answer, 6*allowed)
			for j := range answers {
				all.Go(func() { answers[j] = nodes[j%2].tries(row.from(n, j+1), row.email(n, j), "a wrong red evening") })
			}
			all.Wait()

			judged := 0
			for _, a := range answers {
				if a.is(401, "invalid-credentials") {
					judged++
				} else {
					a.refused(t, row.name)
				}
			}
			if judged != allowed {
				return fmt.Sprintf("%d, %s: %d tries were judged, want %d", i, row.name, judged, allowed)
			}
			return ""
		})
	}
}

// A6: a client that uses up the attempts of an account does not lock its owner out, neither on
// networks where the owner is logged in, despite typing errors, nor on networks without failed
// attempts.
func TestOwnerIsNotLockedOut(t *testing.T) {
	t.Parallel()
	nodes, _ := guarded(t)
	const home, abroad, guesser = "192.0.2.1", "192.0.2.2", "10.6.0.1"
	together(t, nodes, func(t *testing.T, n int) string {
		name := fmt.Sprint("ann", n)
		email := name + "@example.com"
		nodes[0].anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q}`, email, userPassword))
		from := func(address string) string { return fmt.Sprintf("%s%d", address, n) }
		if a := nodes[0].tries(from(home), email, userPassword); a.status != 200 {
			return "before: " + a.String()
		}
		for i := range 4 * allowed {
			nodes[i%2].tries(fmt.Sprintf("10.7.%d.%d", n, i/2+10), email, "a wrong red evening")
		}
		nodes[0].tries(from(guesser), email, "a wrong red evening") // its one try

		for _, row := range []struct {
			what, from, password string
			status               int
		}{
			{"mistyped at home", from(home), "a quiet blue mourning", 401},
			{"again", from(home), "a quiet blue mourning", 401},
			{"at home", from(home), userPassword, 200},
			{"abroad", from(abroad), userPassword, 200},
			{"abroad again", from(abroad), userPassword, 200},
			{"right, on a network with failed attempts", from(guesser), userPassword, 429},
			{"wrong, at one more address", from("10.6.0.2"), "a wrong red evening", 429},
			{"right, at that address", from("10.6.0.2"), userPassword, 429},
		} {
			for _, s := range nodes[1:] {
				if a := s.tries(row.from, email, row.password); a.status != row.status {
					return fmt.Sprintf("%s: want %d, got %s", row.what, row.status, a)
				}
			}
		}
		return ""
	})
}

// A6: what is right is given back. An office behind one address logs in, and an owner
// from many addresses; one account from one address is limited all the same.
func TestRightIsNoGuess(t *testing.T) {
	t.Parallel()
	nodes, _ := guarded(t)
	together(t, nodes, func(t *testing.T, n int) string {
		office := fmt.Sprint("192.0.2.", n)
		ann := fmt.Sprintf("office%d.0@example.com", n)
		for i := range 2 * allowed {
			email := fmt.Sprintf("office%d.%d@example.com", n, i)
			nodes[0].anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q}`, email, userPassword))
			if a := nodes[i%2].tries(office, email, userPassword); a.status != 200 {
				return fmt.Sprintf("colleague %d: %s", i, a)
			}
			if a := nodes[i%2].tries(fmt.Sprintf("10.7.%d.%d", n, i), ann, userPassword); a.status != 200 {
				return fmt.Sprintf("on the road, %d: %s", i, a)
			}
		}
		for i := range allowed {
			if a := nodes[i%2].tries(office, ann, userPassword); a.status != 200 && i < allowed-1 || a.status != 429 && i == allowed-1 {
				return fmt.Sprintf("one from one address, %d: %s", i+1, a)
			}
		}
		return ""
	})
}

// A6: a stolen token does not serve to guess the password.
func TestPasswordChangeIsCounted(t *testing.T) {
	t.Parallel()
	nodes, _ := guarded(t)
	together(t, nodes, func(_ *testing.T, n int) string {
		name := fmt.Sprint("ann", n)
		nodes[0].anonymous().want(201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":"%s@example.com","password":%q}`, name, userPassword))
		login := nodes[0].tries("192.0.2.1", name+"@example.com", userPassword)
		change := func(s *server, from, current string) answer {
			c := &client{server: s, token: login.text("accessToken")}
			return c.send("POST", "/v1/auth/password",
				fmt.Sprintf(`{"currentPassword":%q,"newPassword":"a loud red evening"}`, current), "X-Forwarded-For: "+from)
		}
		judged := 0
		for i := range 3 * allowed {
			a := change(nodes[i%2], fmt.Sprintf("10.9.%d.%d", n, i), "a wrong red evening")
			if a.is(422, "wrong-password") {
				judged++
			} else {
				a.refused(nodes[0].t, "a guess")
			}
		}
		if judged != allowed {
			return fmt.Sprintf("%d tries were judged, want %d", judged, allowed)
		}
		if a := change(nodes[1], "192.0.2.1", userPassword); a.status != 200 {
			return "the owner, at home: " + a.String()
		}
		return ""
	})
}

// A6, F4: without Redis each node counts by itself, neither open nor shut.
func TestGuessesAreCountedWithoutRedis(t *testing.T) {
	t.Parallel()
	nodes, store := guarded(t)
	store.Stop()
	for i, s := range nodes {
		for try := range 2 * allowed {
			a := s.tries("192.0.2.1", "ann@example.com", "a wrong red evening")
			if try < allowed && !a.is(401, "invalid-credentials") {
				t.Errorf("node %d, try %d: %s", i, try, a)
			}
			if try >= allowed {
				a.refused(t, fmt.Sprintf("node %d, try %d", i, try))
			}
		}
	}
	nodes[0].user("bob") // from another address than what was guessed from
}

// A2; ASVS 5.0 V6.3.8: an unknown address, a wrong password, and accounts that are
// deactivated or deleted, are one answer in every byte but the request's id.
func TestRefusedLogInsAreEqual(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root := s.admin()
	off, gone := s.user("off"), s.user("gone")
	s.user("ann")
	root.want(200, "PATCH", "/v1/users/"+off.want(200, "GET", "/v1/users/me", "").text("id"), `{"active":false}`)
	root.want(204, "DELETE", "/v1/users/"+gone.want(200, "GET", "/v1/users/me", "").text("id"), "")

	want := ""
	for _, row := range []struct{ name, email, password string }{
		{"unknown", "nobody@example.com", userPassword},
		{"no address", "nobody", userPassword},
		{"wrong", "ann@example.com", "a wrong red evening"},
		{"longer than any", "ann@example.com", userPassword + fmt.Sprint(make([]int, 100))},
		{"empty", "ann@example.com", ""},
		{"deactivated", "off@example.com", userPassword},
		{"deactivated, wrong", "off@example.com", "a wrong red evening"},
		{"deleted", "gone@example.com", userPassword},
		{"deleted, wrong", "gone@example.com", "a wrong red evening"},
	} {
		a := s.tries("192.0.2.1", row.email, row.password)
		for _, own := range []string{"Date", "X-Request-Id"} {
			if a.header.Get(own) == "" {
				t.Errorf("%s: without %s", row.name, own)
			}
			a.header.Del(own)
		}
		got := fmt.Sprint(a.status, a.header, requestIDs.ReplaceAllString(string(a.raw), ""))
		if want == "" {
			want = got
		}
		if a.status != 401 || got != want {
			t.Errorf("%s: %s\nwant %s", row.name, got, want)
		}
	}
}
