package redis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/redis"
)

// Two calls per hour are allowed; the third one is rejected with the time until the next.
func ExampleLimiter() {
	server, err := embedded.StartRedis()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := redis.OpenWithTimeout(server.URL(), time.Minute) // a program uses Open
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	limiter := redis.NewLimiter(client)
	defer limiter.Close()

	for range 3 {
		d := limiter.Allow(context.Background(), "export:alice", redis.Limit{Count: 2, Period: time.Hour})
		fmt.Println(d.Allowed, d.Remaining, d.RetryAfter > 29*time.Minute, d.Local)
	}
	// Output:
	// true 1 false false
	// true 0 false false
	// false 0 true false
}
