package queue_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/platform/queue"
)

// A worker returns one of three kinds of error: a plain one is retried with a growing delay, a
// permanent one is not retried, and one of an unavailable dependency does not count as an attempt.
func Example() {
	declined := fmt.Errorf("pay order 7: %w", queue.Permanent(errors.New("card declined")))
	fmt.Println(declined, queue.IsPermanent(declined))

	down := fmt.Errorf("pay order 7: %w", queue.Snooze(10*time.Second, errors.New("provider is down")))
	wait, ok := queue.IsSnooze(down)
	fmt.Println(down, wait, ok)
	// Output:
	// pay order 7: card declined true
	// pay order 7: provider is down 10s true
}
