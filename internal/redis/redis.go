// Package redis uses Redis for data that may be lost at any moment: the counters of the rate limits
// and the wake-ups between nodes.
//
// Redis is never the source of truth. While it is unavailable, the limiter counts on its own node
// and consumers find changes by polling PostgreSQL (SPEC E5, F4). No function of this package
// delays a request for more than 100 ms.
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

// timeout limits every call: the wait for a connection, the dial, the handshake and the round trip
// together.
const timeout = 100 * time.Millisecond

// Client is the connection pool of the process. The embedded client is for commands that this
// package does not wrap (PING, caches); call it with a deadline.
type Client struct {
	goredis.UniversalClient

	timeout time.Duration // timeout of every call
}

// Open parses redis://user:password@host:port/db, or rediss:// for TLS. It does not connect, so a
// process starts without Redis. Settings in the query of the URL cannot extend the timeouts. The
// error does not contain the URL, because the URL contains a password. The caller closes the
// client.
func Open(url string) (*Client, error) { return OpenWithTimeout(url, timeout) }

// OpenWithTimeout is Open with another timeout than 100 ms for every call. A request waits that long for
// a Redis that hangs, so it is only for tests, which may run on a slow machine.
func OpenWithTimeout(url string, within time.Duration) (*Client, error) {
	opts, err := goredis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis: the address must look like redis://user:password@host:6379/0")
	}
	redirectLog()

	// By default go-redis dials five times with five seconds each and ignores the caller's
	// deadline.
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = within, within, within
	opts.PoolTimeout = within
	opts.MaxRetries, opts.DialerRetries = -1, 1
	opts.ContextTimeoutEnabled = true
	// A maintenance notice would extend the read timeout to ten seconds.
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.DisableIdentity = true // saves a round trip for each new connection
	return &Client{goredis.NewClient(opts), within}, nil
}

// Storage returns the pool as a fiber.Storage, for limiter.Config. Do not call its Reset, which is
// FLUSHDB, nor its Close, which closes this client.
func (c *Client) Storage() *redisstorage.Storage {
	return redisstorage.NewFromConnection(c.UniversalClient)
}

// Close closes every connection. Later calls return an error, and a Limiter counts locally from
// then on.
func (c *Client) Close() error { return c.UniversalClient.Close() }

// Publish sends payload to the current subscribers of channel, if there are any. It takes at most
// 100 ms. On a hot path use a Publisher, which never waits.
func (c *Client) Publish(ctx context.Context, channel, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	if err := c.UniversalClient.Publish(ctx, channel, payload).Err(); err != nil {
		return fmt.Errorf("publish to %s: %w", channel, err)
	}
	return nil
}

// reason returns the error of Redis itself, such as NOAUTH, or why Redis could not be reached,
// without its address.
func reason(err error) string {
	if said, ok := errors.AsType[goredis.Error](err); ok {
		return said.Error()
	}
	return fault.Reason(err)
}

// redirectLog redirects the log of go-redis, a line on stderr for each failed dial, to slog at debug
// level. The limiter logs a failure once.
var redirectLog = sync.OnceFunc(func() { goredis.SetLogger(logger{}) })

type logger struct{}

func (logger) Printf(ctx context.Context, format string, args ...any) {
	if slog.Default().Enabled(ctx, slog.LevelDebug) {
		slog.DebugContext(ctx, "go-redis log", "line", fmt.Sprintf(format, args...))
	}
}
