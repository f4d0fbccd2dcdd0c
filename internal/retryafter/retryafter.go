// Package retryafter parses the Retry-After field of HTTP responses.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Longest is the longest wait that Parse returns. Callers have limits of their own below it.
const Longest = 366 * 24 * time.Hour

// Parse reads seconds or a date (RFC 9110 section 10.2.3). The wait is never negative, and at most
// Longest for any larger number or later date; ok is false if the value is empty or invalid.
func Parse(value string, now time.Time) (wait time.Duration, ok bool) {
	value = strings.TrimSpace(value)
	seconds, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err == nil, errors.Is(err, strconv.ErrRange): // then it is the nearest number of 64 bits
		return time.Duration(min(max(0, seconds), int64(Longest/time.Second))) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), Longest), true
	}
	return 0, false
}
