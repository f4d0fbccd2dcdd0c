package redis

import (
	"context"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

func TestListenHearsAndComesBack_E5(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := patiently(t, s.url)
		heard := listen(t, c, "orders")
		if got := testwait.For(t, "the subscription", heard); got != "" {
			t.Fatalf("first heard %q", got)
		}

		must(t, c.Publish(t.Context(), "elsewhere", "not for us"))
		hears(t, c, heard, "42")

		s.stop()
		s.start()
		if got := testwait.For(t, "the new subscription", heard); got != "" {
			t.Errorf("after the restart heard %q", got)
		}
		hears(t, c, heard, "43")
	})
}

func TestListenStartsWithoutRedis_E5(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop()
		heard := listen(t, patiently(t, s.url), "orders")

		s.start()

		testwait.For(t, "the subscription", heard)
	})
}

func TestListenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		ctx, cancel := context.WithCancel(t.Context())
		ready, ended := make(chan struct{}, 9), make(chan error)
		c := patiently(t, s.url)
		go func() { ended <- c.Listen(ctx, "orders", func(string) { ready <- struct{}{} }) }()
		testwait.For(t, "the subscription", ready)

		cancel()

		must(t, testwait.For(t, "the end", ended))
	})
}

func TestWakeIsHeard(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := patiently(t, s.url)
		heard := listen(t, c, "orders")
		testwait.For(t, "the subscription", heard)
		p := c.Publisher("orders")
		run(t, p)

		p.Wake()

		testwait.For(t, "the wake-up", heard)
	})
}

func TestWakesBecomeOneMessage(t *testing.T) {
	t.Parallel()
	c := open(t, inProcess(t).url)
	var flying, most, sent atomic.Int64
	left, proceed := make(chan struct{}), make(chan struct{})
	c.AddHook(hook(func(context.Context, goredis.Cmder) error {
		most.Store(max(most.Load(), flying.Add(1)))
		defer flying.Add(-1)
		sent.Add(1)
		left <- struct{}{}
		<-proceed
		return nil
	}))
	p := c.Publisher("orders")
	run(t, p)

	p.Wake()
	testwait.For(t, "the first message", left)
	race(20, 50, func(int) bool { p.Wake(); return true }) // while the first is on its way
	proceed <- struct{}{}
	testwait.For(t, "the message for all of them", left)
	proceed <- struct{}{}
	p.Wake()
	testwait.For(t, "the last message", left)
	proceed <- struct{}{}

	if sent.Load() != 3 || most.Load() != 1 {
		t.Errorf("1,002 wakes became %d messages, %d at once; want 3 and 1", sent.Load(), most.Load())
	}
}

func TestAMessageThatFailedIsSentAgain(t *testing.T) {
	t.Parallel()
	c := open(t, inProcess(t).url)
	tries := make(chan struct{}, 9)
	var sent atomic.Int64
	c.AddHook(hook(func(context.Context, goredis.Cmder) error {
		tries <- struct{}{}
		if sent.Add(1) == 1 {
			return goredis.ErrClosed
		}
		return nil
	}))
	p := c.Publisher("orders")
	run(t, p)

	p.Wake()

	testwait.For(t, "the first try", tries)
	testwait.For(t, "the second try", tries)
}

func TestWakeNeverBlocksAndSurvivesRedis_E5(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := patiently(t, s.url)
		p := c.Publisher("orders")
		s.stop()

		for range 10_000 { // no goroutine sends yet: a blocking Wake would never return
			p.Wake()
		}
		run(t, p)

		s.start()
		heard := listen(t, patiently(t, s.url), "orders")
		testwait.For(t, "the subscription", heard)
		p.Wake()
		testwait.For(t, "a wake-up after the restart", heard)
	})
}

// hears sends payload and demands that it is heard. A machine that stands still for long
// makes Listen subscribe again, which it says: what was sent before may be lost then.
func hears(t *testing.T, c *Client, heard <-chan string, payload string) {
	t.Helper()
	must(t, c.Publish(t.Context(), "orders", payload))
	for {
		switch got := testwait.For(t, payload, heard); got {
		case payload:
			return
		case "":
			must(t, c.Publish(t.Context(), "orders", payload))
		default:
			t.Fatalf("heard %q, want %q", got, payload)
		}
	}
}

// listen passes on what Listen hears, and waits for its end after the test.
func listen(t *testing.T, c *Client, channel string) <-chan string {
	t.Helper()
	heard := make(chan string, 100)
	background(t, func(ctx context.Context) error {
		return c.Listen(ctx, channel, func(payload string) { heard <- payload })
	})
	return heard
}

func run(t *testing.T, p *Publisher) {
	t.Helper()
	background(t, p.Run)
}

func background(t *testing.T, work func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := testwait.For(t, "the end", ended); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
