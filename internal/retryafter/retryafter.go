// Package retryafter parses the Retry-After field of HTTP responses.
package retryafter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Parse reads seconds or a date (RFC 9110 section 10.2.3). The wait is never negative; ok is false
// if the value is empty or invalid.
func Parse(value string, now time.Time) (wait time.Duration, ok bool) {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}
