package users

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// line is a gate of one place at which hashing takes until next is called. The
// password identifies the caller.
type line struct {
	*hasher
	t    *testing.T
	next func()

	mu    sync.Mutex
	order []string
	errs  map[string]error
}

func newLine(t *testing.T) *line {
	step := make(chan struct{})
	l := &line{t: t, hasher: newHasher(4, nil, nil), errs: map[string]error{}}
	l.capacity, l.wait = newCapacity(1), time.Hour
	work := func(password []byte) {
		l.mu.Lock()
		l.order = append(l.order, string(password))
		l.mu.Unlock()
		<-step
	}
	l.compare = func(_, password []byte) error { work(password); return bcrypt.ErrMismatchedHashAndPassword }
	l.generate = func(password []byte, _ int) ([]byte, error) { work(password); return nil, nil }
	l.next = func() {
		step <- struct{}{}
		synctest.Wait()
	}
	return l
}

func from(address string) context.Context {
	return clientaddr.With(context.Background(), netip.MustParseAddr(address))
}

// logIn and register come to the gate, and return once they stand there.
func (l *line) logIn(address, name string) {
	l.come(name, func() error { _, err := l.matches(from(address), l.dummyHash, name); return err })
}

func (l *line) register(address, name string) {
	l.come(name, func() error { _, err := l.make(from(address), newcomer, name); return err })
}

func (l *line) come(name string, do func() error) {
	go func() {
		err := do()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.errs[name] = err
	}()
	synctest.Wait()
}

// finish serves all, and tells in which order.
func (l *line) finish() []string {
	for {
		l.mu.Lock()
		held, _ := l.capacity.Usage()
		l.mu.Unlock()
		if held == 0 {
			return l.order
		}
		l.next()
	}
}

// SPEC F10, A2: log-ins have priority over any number of registrations. Requests beyond a limit
// are refused at once: 429 for the limit of an address, 503 for the limit of all.
func TestLogInsComeBeforeRegistrations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		for i := range 1 + queuePerAddress {
			l.register("192.0.2.1", fmt.Sprint("a", i))
		}
		l.register("192.0.2.1", "one too many")
		for i := range queueLength { // those that find no place take it from those who have many
			l.register(fmt.Sprint("198.51.100.", i), fmt.Sprint("other", i))
		}
		l.logIn("203.0.113.1", "owner")

		if err := l.errs["one too many"]; !fault.Is(err, "too-many-registrations") {
			t.Errorf("of one address: %v", err)
		}
		for _, name := range []string{fmt.Sprint("a", queuePerAddress), fmt.Sprint("other", queueLength-1)} {
			if f, ok := fault.As(l.errs[name]); !ok || f.Code != "busy" || f.RetryAfter == 0 {
				t.Errorf("%s, of all: %v", name, f)
			}
		}
		if order := l.finish(); order[1] != "owner" || len(order) != queueLength+2 {
			t.Errorf("served %v", order)
		}
	})
}

// An address that guesses, at one account or many, is served in turn with the others. An IPv6
// network counts as one address.
func TestAddressesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		for i := range 1 + queuePerAddress {
			l.logIn(fmt.Sprintf("2001:db8::%d", i), fmt.Sprint("guess", i))
		}
		if _, err := l.hasCapacity(from("2001:db8::ffff"), no); !fault.Is(err, "busy") {
			t.Errorf("room for one more guess: %v", err)
		}
		l.logIn("203.0.113.1", "owner")
		l.logIn("203.0.113.1", "colleague")

		if order := l.finish(); !slices.Equal(order[:5], []string{"guess0", "guess1", "owner", "guess2", "colleague"}) {
			t.Errorf("served %v", order)
		}
	})
}

func no(context.Context) (bool, error) { return false, nil }

// SPEC A2: however many addresses guess, a log-in from a network in which the account is logged in is
// the next one, and one in nine is one of the others.
func TestFamiliarNetworksComeFirst_A2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		asked := 0
		yes := func(context.Context) (bool, error) { asked++; return true, nil }
		if ctx, err := l.hasCapacity(from("203.0.113.1"), yes); err != nil || asked != 0 || classOf(ctx, known) != known {
			t.Errorf("asked %d times while nobody waits: %v", asked, err)
		}
		for i := range 1 + queueLength {
			l.logIn(fmt.Sprint("198.51.100.", i), fmt.Sprint("guess", i))
		}
		if _, err := l.hasCapacity(from("203.0.113.1"), no); !fault.Is(err, "busy") {
			t.Errorf("room for a network that is not familiar: %v", err)
		}
		for i := range 10 {
			ctx, err := l.hasCapacity(from("203.0.113.1"), yes)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprint("owner", i)
			l.come(name, func() error { _, err := l.matches(ctx, l.dummyHash, name); return err })
		}
		errNo := errors.New("no")
		if _, err := l.hasCapacity(from("203.0.113.1"), func(context.Context) (bool, error) { return false, errNo }); !errors.Is(err, errNo) {
			t.Errorf("without a database: %v", err)
		}

		order := l.finish()
		if order[1] != "owner0" || order[9] != "guess1" || order[10] != "owner8" || len(order) != 11+queueLength {
			t.Errorf("served %v", order)
		}
	})
}

// Log-ins that never end leave one hash in nine to registrations.
func TestRegistrationsDoNotStarve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		l.logIn("192.0.2.1", "log-in")
		l.register("198.51.100.1", "new")
		for range 20 {
			l.logIn("192.0.2.1", "log-in")
		}
		if order := l.finish(); slices.Index(order, "new") != 9 {
			t.Errorf("served %v", order)
		}
	})
}

// counted is a limit of registrations.
type counted struct {
	mu     sync.Mutex
	counts map[netip.Addr]int
	limit  int
}

func (c *counted) begin(_ context.Context, from netip.Addr) (func(context.Context), time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[from] == c.limit {
		return nil, time.Minute, true
	}
	c.counts[from]++
	return func(context.Context) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.counts[from]--
	}, 0, false
}

// SPEC F10: an address opens so many accounts in a while. One that is taken counts, as
// it says so; one that is not valid does not, nor one that found no place to be hashed.
func TestRegistrationsAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limit := &counted{counts: map[netip.Addr]int{}, limit: 3}
	b.beginRegistration = limit.begin
	hashes := counts(b.hashes)
	body := func(name, password string) string { return fmt.Sprintf(`{"email":%q,"password":%q}`, name, password) }
	register := func(name, password string) answered {
		return b.do("POST", "/v1/auth/register", "", body(name, password))
	}

	fit := b.hashes.generate
	b.hashes.generate = func([]byte, int) ([]byte, error) { return nil, errors.New("the child is gone") }
	if a := register("ada@example.com", goodPassword); a.status != 500 {
		t.Errorf("%d", a.status)
	}
	b.hashes.generate = fit
	for i, row := range []struct {
		email, password string
		status          int
	}{
		{"ada@example.com", "short", 422}, {"nobody", goodPassword, 422},
		{"ada@example.com", goodPassword, 201}, {"ada@example.com", goodPassword, 409}, {"bob@example.com", goodPassword, 201},
	} {
		if a := register(row.email, row.password); a.status != row.status {
			t.Errorf("%d: %d %s", i, a.status, a.body)
		}
	}
	hashes.taken()

	a := register("cid@example.com", goodPassword)
	if a.status != 429 || a.member("code") != "too-many-registrations" || a.header.Get("Retry-After") != "60" || hashes.taken() != "[]" {
		t.Errorf("one too many: %d, Retry-After %q, %s", a.status, a.header.Get("Retry-After"), a.body)
	}
}
