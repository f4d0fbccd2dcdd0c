package fault_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// A fault keeps the internal cause for the log; the client sees the code and the detail.
func Example() {
	cause := errors.New("dial tcp 10.0.0.7:443: connection refused")
	err := fmt.Errorf("pay order 7: %w", fault.Unavailable("The payment provider", cause))

	f, ok := fault.As(err)
	fmt.Println(ok, f.Code, f.RetryAfter)
	fmt.Println(f.Detail)
	fmt.Println(errors.Is(err, cause))
	// Output:
	// true unavailable 1s
	// The payment provider cannot be reached just now; try again.
	// true
}

func ExampleError_WithRetryAfter() {
	f := fault.New(fault.KindRateLimited, "too-many-exports", "Only %d exports run at once.", 2).WithRetryAfter(5 * time.Second)
	fmt.Println(f.RetryAfter, f)
	// Output: 5s too-many-exports: Only 2 exports run at once.
}
