package orderflow

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// Client calls the API of one server. It is safe for concurrent use. Make one with [New].
//
// The embedded client has the generated methods. Those with the suffix WithResponse decode the
// response; the others return the *http.Response, for example to read a large export as a stream.
// All of them return a [*Problem] for a response that is not 2xx, except 304 Not Modified.
type Client struct {
	*api.ClientWithResponses

	base        *url.URL
	http        *http.Client
	credentials Credentials
	retry       Retry
	userAgent   string
	sleep       func(context.Context, time.Duration) error
}

// Option changes a client. See [WithHTTPClient], [WithRetry] and [WithUserAgent].
type Option func(*Client)

// WithHTTPClient makes the client send its requests with c, for example to use a proxy or to trace
// requests. Its Timeout must be zero for streams of events, which last longer than any; limit
// single calls by their context.
func WithHTTPClient(c *http.Client) Option { return func(o *Client) { o.http = c } }

// WithRetry sets when failed requests are repeated.
func WithRetry(r Retry) Option { return func(o *Client) { o.retry = r } }

// WithUserAgent sets the User-Agent, by which an owner recognises a program in the list of sessions.
func WithUserAgent(name string) Option { return func(o *Client) { o.userAgent = name } }

// New returns a client of the server at an address such as https://orders.example.com. It sends
// no request; wrong credentials are reported by the first call. With [Anonymous] only the
// operations that need no account are possible.
func New(address string, credentials Credentials, options ...Option) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil {
		return nil, fmt.Errorf("orderflow: the address of the server: %w", err)
	}
	if base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("orderflow: %q is not an address such as https://orders.example.com", address)
	}
	c := &Client{base: base, http: &http.Client{}, credentials: credentials, retry: DefaultRetry, userAgent: "orderflow-go", sleep: sleep}
	for _, option := range options {
		option(c)
	}
	c.ClientWithResponses, err = api.NewClientWithResponses(base.String(), api.WithHTTPClient(doer{c, credentials}))
	if err != nil {
		return nil, fmt.Errorf("orderflow: %w", err)
	}
	return c, nil
}

// sleep waits, but not longer than ctx lives.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
