package web

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// BodyBudget is the number of bytes of request bodies that a process keeps in memory at once,
// unless Options set another one.
const BodyBudget = 48 << 20

const budgetWait = 1500 * time.Millisecond

// budget limits the bytes of all bodies in memory. Bytes are counted as they arrive, never for an
// announced length, and released when their request ends. One caller may use a third of them, and
// so may all unauthenticated callers together.
type budget struct {
	total int

	mu        sync.Mutex
	used      int
	anonymous int
	held      map[string]int
	freed     chan struct{} // closed when bytes have been released
}

func newBudget(total int) *budget {
	return &budget{total: total, held: map[string]int{}, freed: make(chan struct{})}
}

// take waits a moment for other requests to end. It returns a 503 if the budget of the process is
// exhausted, and a 429 if the share of the caller is.
func (b *budget) take(ctx context.Context, caller string, n int) error {
	patience := time.NewTimer(budgetWait)
	defer patience.Stop()
	for {
		freed, err := b.tryTake(caller, n)
		if err == nil {
			return nil
		}
		select {
		case <-freed:
		case <-patience.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

func (b *budget) tryTake(caller string, n int) (freed <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	unauthenticated := isAnonymous(caller)
	switch {
	case b.held[caller]+n > b.total/3:
		return b.freed, fault.New(fault.KindRateLimited, "too-many-bodies", "Your concurrent requests have too many bytes in total; wait until some have completed.").WithRetryAfter(time.Second)
	case b.used+n > b.total, unauthenticated && b.anonymous+n > b.total/3:
		return b.freed, busy()
	}
	b.count(caller, n)
	return b.freed, nil
}

func (b *budget) give(caller string, n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(caller, -n)
	close(b.freed)
	b.freed = make(chan struct{})
}

func (b *budget) count(caller string, n int) {
	b.used += n
	if isAnonymous(caller) {
		b.anonymous += n
	}
	if b.held[caller] += n; b.held[caller] == 0 {
		delete(b.held, caller)
	}
}

func busy() error {
	return fault.New(fault.KindUnavailable, "busy", "Too many large requests are in progress; try again.").WithRetryAfter(time.Second)
}

const anonymousPrefix = "address:"

// CallerKey returns the key by which rate limits and the budget of bodies count a request: the
// account or, for requests without a credential, the network of the address.
func CallerKey(c *fiber.Ctx) string {
	if caller, ok := identity.FromContext(c.UserContext()); ok {
		return "user:" + caller.UserID.String()
	}
	return anonymousPrefix + clientaddr.Network(clientaddr.From(c.UserContext())).String()
}

// CallerNetwork returns the key by which all accounts behind one network address are counted
// together, or "" for a request without a credential, which CallerKey counts by its network.
func CallerNetwork(c *fiber.Ctx) string {
	if _, ok := identity.FromContext(c.UserContext()); !ok {
		return ""
	}
	return clientaddr.Network(clientaddr.From(c.UserContext())).String()
}

func isAnonymous(caller string) bool { return strings.HasPrefix(caller, anonymousPrefix) }
