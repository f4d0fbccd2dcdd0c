package batch_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/orderflow-dev/orderflow/platform/batch"
)

// A batch has one result per item, so an item can fail alone.
func Example() {
	square := batch.New(batch.Options{}, func(_ context.Context, items []int) ([]batch.Result[int], error) {
		results := make([]batch.Result[int], len(items)) // one transaction, in a real program
		for i, item := range items {
			if item < 0 {
				results[i].Err = errors.New("negative")
				continue
			}
			results[i].Value = item * item
		}
		return results, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- square.Run(ctx) }()

	fmt.Println(square.Do(context.Background(), 4))
	fmt.Println(square.Do(context.Background(), -1))

	stop()
	fmt.Println(<-done)
	_, err := square.Do(context.Background(), 4)
	fmt.Println(errors.Is(err, batch.ErrStopped))
	// Output:
	// 16 <nil>
	// 0 negative
	// <nil>
	// true
}
