package orderflow

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"time"
)

// doer sends the requests of the generated client: with credentials, an idempotency key and
// retries. A response that is neither 2xx nor 304 becomes a *Problem.
type doer struct {
	*Client
	credentials Credentials
}

const idempotencyKey = "Idempotency-Key"

// Do implements api.HttpRequestDoer.
func (d doer) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", d.userAgent)
	if req.Header.Get(idempotencyKey) == "" && takesKey(req.Method, req.URL.Path[len(d.base.Path):]) {
		req.Header.Set(idempotencyKey, rand.Text())
	}
	c := &call{doer: d, req: req, repeatable: repeatable(req)}
	for {
		res, err := c.attempt()
		if err == nil {
			return res, nil
		}
		wait, again := c.next(err)
		if !again {
			return nil, err
		}
		if err := d.sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		if err := c.rewind(); err != nil {
			return nil, err
		}
	}
}

// repeatable reports whether a request may be sent again although the first one may have had its
// effect.
func repeatable(req *http.Request) bool {
	idempotent := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete}, req.Method)
	return idempotent || req.Header.Get(idempotencyKey) != ""
}

// call is one call of the API, which may take several requests.
type call struct {
	doer
	req        *http.Request
	repeatable bool
	attempts   int
	bearer     string // of the last request
	refused    string // by a 401
}

func (c *call) attempt() (*http.Response, error) {
	c.attempts++
	token, err := c.credentials.token(c.req.Context(), c.Client, c.refused)
	if err != nil {
		return nil, &credentialError{err}
	}
	if c.bearer = token; token != "" {
		c.req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(c.req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotModified || res.StatusCode == http.StatusSwitchingProtocols {
		return res, nil
	}
	return nil, problemOf(res)
}

// next decides whether the request is repeated, and after which pause.
func (c *call) next(err error) (wait time.Duration, again bool) {
	if c.req.Context().Err() != nil || c.req.Body != nil && c.req.Body != http.NoBody && c.req.GetBody == nil {
		return 0, false
	}
	switch err := err.(type) { //nolint:errorlint // attempt wraps none of them
	case *credentialError: // has been repeated already
		return 0, false
	case *Problem:
		if tokenRefused(err) {
			return 0, c.renews()
		}
		later, done := temporary(err.Status, err.Code)
		if !later || done && !c.repeatable || err.RetryAfter > c.retry.MaxRetryAfter {
			return 0, false
		}
		wait = err.RetryAfter
	default:
		if !c.repeatable {
			return 0, false
		}
	}
	return wait + backoff(c.attempts, c.retry.MinWait, c.retry.MaxWait), c.attempts < c.retry.Attempts
}

// renews reports whether new credentials may help after a 401: once, and only if they can be
// renewed. The server has done nothing, so any request may be repeated.
func (c *call) renews() bool {
	_, fixed := c.credentials.(static)
	if fixed || c.refused != "" {
		return false
	}
	c.refused = c.bearer
	c.attempts-- // it does not count as a failure
	return true
}

// tokenRefused distinguishes an access token that is not valid any more from a wrong password in
// the body of a request, which must not be sent twice.
func tokenRefused(p *Problem) bool {
	return p.Status == http.StatusUnauthorized && (p.Code == "token-expired" || p.Code == "invalid-token")
}

func (c *call) rewind() (err error) {
	if c.req.GetBody != nil {
		c.req.Body, err = c.req.GetBody()
	}
	return err
}

// credentialError is a failure to get a token. The login has made its own retries.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return "orderflow: log in: " + e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// bearer returns a token for a stream; refused is the one that the server has rejected.
func (c *Client) bearer(ctx context.Context, refused string) (string, error) {
	token, err := c.credentials.token(ctx, c, refused)
	if err != nil {
		return "", &credentialError{err}
	}
	return token, nil
}
