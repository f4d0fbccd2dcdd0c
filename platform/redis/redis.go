// Package redis holds what may vanish at any moment: the counters of the rate
// limits and the wake-ups between nodes.
//
// Nothing here is a source of truth. When Redis is away the limiter counts on
// its own node and everybody looks in PostgreSQL a little later (SPEC E5, F4),
// so no function of this package may hold a request longer than 100 ms.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	redisstorage "github.com/gofiber/storage/redis/v3"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// timeout bounds every single call: the wait for a connection, the dial, the
// handshake and the round trip together.
const timeout = 100 * time.Millisecond

// Client is the one connection pool of the process. The embedded client is
// there for what this package does not wrap (PING, caches); give its calls a
// context with a deadline.
type Client struct {
	goredis.UniversalClient

	within time.Duration // for every call
}

// Open parses redis://user:password@host:port/db, or rediss:// for TLS. It never
// dials, so a process starts without Redis. Settings in the URL's query cannot
// lengthen the timings. The error does not repeat the URL: it holds a password.
func Open(url string) (*Client, error) { return OpenWithin(url, timeout) }

// OpenWithin is Open with another bound than 100 ms on every call. Requests wait that
// long for a Redis that hangs, so it is for tests, which may run on a slow machine.
func OpenWithin(url string, within time.Duration) (*Client, error) {
	opts, err := goredis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis: the address must look like redis://user:password@host:6379/0")
	}
	quiet()

	// Out of the box go-redis dials five times with five seconds each and ignores
	// the caller's deadline.
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = within, within, within
	opts.PoolTimeout = within
	opts.MaxRetries, opts.DialerRetries = -1, 1
	opts.ContextTimeoutEnabled = true
	// A maintenance notice would relax the read timeout to ten seconds.
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.DisableIdentity = true // one round trip less for each new connection
	return &Client{goredis.NewClient(opts), within}, nil
}

// Storage is the same pool as a fiber.Storage, for limiter.Config. Never call its
// Reset, which is FLUSHDB, nor its Close, which closes this client.
func (c *Client) Storage() *redisstorage.Storage {
	return redisstorage.NewFromConnection(c.UniversalClient)
}

// Close closes every connection. Calls after it answer an error, and a Limiter
// counts locally from then on.
func (c *Client) Close() error { return c.UniversalClient.Close() }

// Publish sends payload to whoever listens at this moment; nobody may be there.
// It takes at most 100 ms. On a hot path use a Publisher, which never waits.
func (c *Client) Publish(ctx context.Context, channel, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()

	if err := c.UniversalClient.Publish(ctx, channel, payload).Err(); err != nil {
		return fmt.Errorf("publish to %s: %w", channel, err)
	}
	return nil
}

// reason is what Redis itself says, such as NOAUTH, or why it was not reached, without
// its address.
func reason(err error) string {
	if said, ok := errors.AsType[goredis.Error](err); ok {
		return said.Error()
	}
	return fault.Reason(err)
}

// quiet moves go-redis's own lines, plain text on stderr for each failed dial,
// under slog at debug level. The limiter says once what they would say each time.
var quiet = sync.OnceFunc(func() { goredis.SetLogger(logger{}) })

type logger struct{}

func (logger) Printf(ctx context.Context, format string, args ...any) {
	if slog.Default().Enabled(ctx, slog.LevelDebug) {
		slog.DebugContext(ctx, "go-redis says", "line", fmt.Sprintf(format, args...))
	}
}
