package bulkhead_test

import (
	"errors"
	"fmt"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
)

// One key gets two of the three slots at most, so the other key finds a free one.
func Example() {
	slots := bulkhead.New[string](bulkhead.Options{Slots: 3, PerKey: 2})

	release, err := slots.TryAcquire(0, "alice")
	fmt.Println(err)
	_, err = slots.TryAcquire(0, "alice")
	fmt.Println(err)
	_, err = slots.TryAcquire(0, "alice")
	fmt.Println(errors.Is(err, bulkhead.ErrKeyLimit))
	_, err = slots.TryAcquire(0, "bob")
	fmt.Println(err)
	_, err = slots.TryAcquire(0, "carol")
	fmt.Println(errors.Is(err, bulkhead.ErrLimit))

	release()
	_, err = slots.TryAcquire(0, "carol")
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// true
	// <nil>
	// true
	// <nil>
}
