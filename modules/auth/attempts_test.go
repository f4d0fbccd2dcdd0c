package auth

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/redis"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

// counter returns a limiter on a Redis server of its own.
func counter(t *testing.T) *redis.Limiter {
	t.Helper()
	client, err := redis.OpenWithTimeout(pgtest.NewRedis(t).URL, testwait.Limit)
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
	const allowed = 5
	ctx := t.Context()
	a := &loginAttempts{counter(t), redis.Limit{Count: allowed, Period: time.Hour}}
	office, road := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	away := func(context.Context) (bool, error) { return false, nil }
	try := func(from netip.Addr, knownNetwork func(context.Context) (bool, error), what outcome) error {
		end, err := a.begin(ctx, "ann", from, knownNetwork)
		if err != nil {
			return err
		}
		return end(ctx, what)
	}

	for i := range 3 * allowed {
		if err := try(office, away, undecided); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	for i := range allowed {
		if err := try(office, away, wrong); err != nil {
			t.Fatalf("wrong one %d: %v", i, err)
		}
	}
	if err := try(office, away, wrong); !fault.Is(err, "too-many-attempts") {
		t.Errorf("one wrong one too many: %v", err)
	}

	broken := errors.New("the database is away")
	for i := range 3 * allowed { // the account has no tries left, so it matters where it is logged in
		if err := try(road, func(context.Context) (bool, error) { return false, broken }, right); !errors.Is(err, broken) {
			t.Fatalf("without the database, %d: %v", i, err)
		}
		if err := try(road, away, undecided); err != nil {
			t.Fatalf("as a stranger, %d: %v", i, err)
		}
	}
	if err := try(road, away, right); err != nil {
		t.Errorf("the owner: %v", err)
	}
}
