package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/orderflow-dev/orderflow/internal/wakeup"
)

const (
	pauseMin  = 50 * time.Millisecond // before the first retry
	pauseMax  = time.Second
	pingAfter = 3 * time.Second // without a message on a subscription, before it is pinged
)

// Publisher sends wake-ups to the other nodes. It coalesces them: at most one PUBLISH is in
// progress, and all calls of Wake during that time lead to one more.
type Publisher struct {
	client  *Client
	channel string
	due     wakeup.Signal
}

// Publisher returns a publisher for channel. It sends nothing before Run.
func (c *Client) Publisher(channel string) *Publisher {
	return &Publisher{client: c, channel: channel, due: wakeup.New()}
}

// Wake requests a message that is sent after this call. It never blocks and is safe for concurrent
// use. Call it after COMMIT.
func (p *Publisher) Wake() { p.due.Send() }

// Run sends messages until ctx ends and then returns nil. While Redis is unavailable it retries
// about once per second, with one message for all calls of Wake in that time.
func (p *Publisher) Run(ctx context.Context) error {
	pause := pauseMin
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.due:
		}
		if err := p.client.Publish(ctx, p.channel, ""); err == nil {
			pause = pauseMin
			continue
		}
		p.Wake()
		pause = sleep(ctx, pause)
	}
}

// Listen calls fn for every message on channel until ctx ends and then returns nil. It subscribes
// again after every failure. It calls fn("") after each subscription, including the first one,
// because messages sent before are lost, and the caller has to look for changes. Redis may drop
// messages without notice, so fn must not be the only way to detect a change (SPEC E5).
//
// fn runs in the goroutine of Listen and delays the next message, so it should only pass the signal
// on.
func (c *Client) Listen(ctx context.Context, channel string, fn func(payload string)) error {
	pause := pauseMin
	for ctx.Err() == nil {
		if c.listenOnce(ctx, channel, fn) {
			pause = pauseMin
		}
		pause = sleep(ctx, pause)
	}
	return nil
}

// listenOnce listens on one connection until it fails, and reports whether the subscription succeeded.
func (c *Client) listenOnce(ctx context.Context, channel string, fn func(string)) (subscribed bool) {
	sub := c.Subscribe(ctx) // without a channel, because Subscribe would lose the error
	defer func() { _ = sub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // ends a blocked read, which ignores ctx
	if sub.Subscribe(ctx, channel) != nil {
		return false
	}

	asked := false
	for {
		got, err := sub.ReceiveTimeout(ctx, pingAfter)
		if isTimeout(err) && subscribed && !asked {
			asked = true
			if sub.Ping(ctx) != nil {
				return subscribed
			}
			continue
		}
		if err != nil {
			return subscribed
		}

		asked = false
		switch m := got.(type) {
		case *goredis.Subscription:
			subscribed = true
			fn("")
		case *goredis.Message:
			fn(m.Payload)
		}
	}
}

// isTimeout reports whether a read timed out, as opposed to a failed connection.
func isTimeout(err error) bool {
	var timed net.Error
	return errors.As(err, &timed) && timed.Timeout()
}

// sleep waits for pause, half more or less, so that nodes do not reconnect at the same time, or
// until ctx ends. It returns the next pause.
func sleep(ctx context.Context, pause time.Duration) time.Duration {
	timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // spread, not secrecy
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return min(2*pause, pauseMax)
}
