package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limit is a number of calls in a period, written 200/1s. The zero value, written off, means no
// limit.
type Limit struct {
	Count  int
	Period time.Duration
}

// UnmarshalText parses 200/1s, 10/1m or off.
func (l *Limit) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "off" {
		*l = Limit{}
		return nil
	}
	count, period, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	d, err2 := time.ParseDuration(period)
	if !ok || err != nil || err2 != nil || n < 1 || n > 1_000_000_000 || d < time.Millisecond {
		return valueError("is not a limit such as 200/1s, nor off")
	}
	*l = Limit{n, d}
	return nil
}

// stricter reports whether l is a limit that allows fewer calls at once, or fewer in the long run,
// than the limit other.
func (l Limit) stricter(other Limit) bool {
	if l.Count == 0 || other.Count == 0 {
		return false
	}
	return l.Count < other.Count || float64(l.Count)/float64(l.Period) < float64(other.Count)/float64(other.Period)
}

// String returns the form that UnmarshalText parses.
func (l Limit) String() string {
	if l.Count == 0 {
		return "off"
	}
	return fmt.Sprintf("%d/%s", l.Count, l.Period)
}
