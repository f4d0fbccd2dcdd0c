package orderflow

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Retry says how often and when a request is repeated.
//
// A request is repeated after a network error, 408, 425, 429, 500, 502, 503 and 504 if its method is
// idempotent (RFC 9110, section 9.2.2) or it has an Idempotency-Key. Another request is repeated
// only after 429, which means that nothing was done. A first request with the same key that is
// still running (409 idempotency-key-in-use) is waited for.
type Retry struct {
	// Attempts is the largest number of requests of one call; 1 repeats none.
	Attempts int
	// MinWait is the longest pause before the second request. It doubles with each further one up
	// to MaxWait. A random part of it is waited, so that clients do not come back together.
	MinWait, MaxWait time.Duration
	// MaxRetryAfter is the longest Retry-After that is waited for. If the server asks for more, the
	// call returns the problem at once.
	MaxRetryAfter time.Duration
}

// DefaultRetry makes up to four requests within about five seconds, and waits up to half a minute
// when the server asks for it.
var DefaultRetry = Retry{Attempts: 4, MinWait: 250 * time.Millisecond, MaxWait: 8 * time.Second, MaxRetryAfter: 30 * time.Second}

// backoff returns the pause after a number of failures in a row.
func backoff(failures int, shortest, longest time.Duration) time.Duration {
	limit := shortest
	for range failures - 1 {
		if limit >= longest {
			break
		}
		limit *= 2
	}
	if limit = min(limit, longest); limit <= 0 {
		return 0
	}
	return rand.N(limit) + 1 //nolint:gosec // jitter, not a secret
}

// retryAfter returns the wait that a response asks for (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// temporary reports whether a request with this outcome may succeed later. done means that it may
// have had its effect.
func temporary(status int, code string) (later, done bool) {
	switch status {
	case http.StatusTooManyRequests:
		return true, false
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, true
	case http.StatusConflict:
		return code == "idempotency-key-in-use", true
	default:
		return false, true
	}
}
