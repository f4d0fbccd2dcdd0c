package wakeup_test

import (
	"fmt"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
)

func TestSignal(t *testing.T) {
	t.Parallel()
	s := wakeup.New()
	ready := func() int { return len(s) }

	if ready() != 0 {
		t.Error("a new signal is ready")
	}
	for range 3 {
		s.Send()
	}
	if ready() != 1 {
		t.Errorf("three wake-ups are %d", ready())
	}
	<-s
	if ready() != 0 {
		t.Error("a received signal is still ready")
	}
	s.Send()
	if ready() != 1 {
		t.Error("a wake-up after a received one is lost")
	}
}

// A loop sleeps until it is woken, and then does all pending work.
func ExampleSignal() {
	work := make(chan string, 10)
	more := wakeup.New()

	for _, job := range []string{"pack", "ship"} {
		work <- job
		more.Send()
	}

	<-more
	for len(work) > 0 {
		fmt.Println(<-work)
	}
	// Output:
	// pack
	// ship
}
