package orders

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// SPEC F13: a new window gives no further first places to an account with a backlog, until its orders
// are counted. An account without one has them again.
func TestWindowOfPriorities_F13(t *testing.T) {
	t.Parallel()
	var p priorities
	now := time.Now()
	heavy, light := uuid.New(), uuid.New()
	next := func(id uuid.UUID) string {
		count := p.uncounted(map[uuid.UUID]int{id: 1}, now)
		if len(count) > 0 {
			p.counted(id, 700, now)
		}
		return fmt.Sprint(p.placed(id, now), len(count))
	}
	for range 60 {
		next(heavy)
	}
	for range 40 {
		p.placed(light, now)
	}

	now = now.Add(priorityWindow)

	if h, l := next(heavy), next(light); h != "3 1" || l != "1 0" {
		t.Errorf("the priorities and counts are %s and %s", h, l)
	}
	if h := next(heavy); h != "3 0" {
		t.Errorf("within a second: %s", h)
	}
	now = now.Add(recountAfter)
	if h := next(heavy); h != "3 1" {
		t.Errorf("after a second: %s", h)
	}
}

// The memory of the priorities is bounded by the accounts that place orders within a window.
func TestPrioritiesForgetAccounts(t *testing.T) {
	t.Parallel()
	var p priorities
	now := time.Now()
	for range accountsKept {
		p.placed(uuid.New(), now)
	}

	p.placed(uuid.New(), now.Add(priorityWindow))

	if n := len(p.accounts); n != 1 {
		t.Errorf("%d accounts are kept", n)
	}
}
