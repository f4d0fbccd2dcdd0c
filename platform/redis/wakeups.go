package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/orderflow-dev/orderflow/platform/wakeup"
)

const (
	pauseMin = 50 * time.Millisecond // before the first new try
	pauseMax = time.Second
	silence  = 3 * time.Second // of a subscription, before it is asked for a sign of life
)

// Publisher tells the other nodes to look now. Many Wakes become few messages: at
// most one PUBLISH is on its way, and whatever comes meanwhile is one more after it.
type Publisher struct {
	client  *Client
	channel string
	due     wakeup.Signal
}

// Publisher makes a publisher for channel. It sends nothing before Run.
func (c *Client) Publisher(channel string) *Publisher {
	return &Publisher{client: c, channel: channel, due: wakeup.New()}
}

// Wake asks for a message that leaves after this call. It never blocks, and may be
// called from anywhere, after COMMIT.
func (p *Publisher) Wake() { p.due.Send() }

// Run sends until ctx ends, then returns nil. While Redis is away it tries again
// about once a second, with one message for all the Wakes of that time.
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
		pause = rest(ctx, pause)
	}
}

// Listen calls fn for every message on channel until ctx ends, then returns nil.
// It subscribes again by itself whenever Redis was away, and calls fn("") after
// each subscription, the first one too: messages sent before it are lost, so look
// now. Redis drops messages silently; fn must not be the only way to notice
// anything (SPEC E5).
//
// fn runs in Listen's goroutine and holds up the next message: it should only
// pass the word on.
func (c *Client) Listen(ctx context.Context, channel string, fn func(payload string)) error {
	pause := pauseMin
	for ctx.Err() == nil {
		if c.hear(ctx, channel, fn) {
			pause = pauseMin
		}
		pause = rest(ctx, pause)
	}
	return nil
}

// hear listens on one connection until it breaks, and tells whether it ever worked.
func (c *Client) hear(ctx context.Context, channel string, fn func(string)) (subscribed bool) {
	sub := c.Subscribe(ctx) // no channel yet: with one, the error would be lost
	defer func() { _ = sub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // a blocked read does not see ctx
	if sub.Subscribe(ctx, channel) != nil {
		return false
	}

	asked := false
	for {
		got, err := sub.ReceiveTimeout(ctx, silence)
		if idle(err) && subscribed && !asked {
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

// idle tells a read that ran out of time from a connection that broke.
func idle(err error) bool {
	var timed net.Error
	return errors.As(err, &timed) && timed.Timeout()
}

// rest waits for pause, give or take a half so that nodes do not return in step,
// or until ctx ends, and answers the next pause.
func rest(ctx context.Context, pause time.Duration) time.Duration {
	timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // spread, not secrecy
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return min(2*pause, pauseMax)
}
