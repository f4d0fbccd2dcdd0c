package redis

import (
	"math"
	"time"
)

// Limit is Count calls in Period, refilled evenly (GCRA): all of them may come at
// once, and each is given back after its share of the period.
type Limit struct {
	Count  int // zero or less: no limit
	Period time.Duration
}

// Off tells whether the limit lets everything pass.
func (l Limit) Off() bool { return l.Count <= 0 || l.Period <= 0 }

// step is the time that one call costs.
func (l Limit) step() time.Duration {
	return max(1, l.Period/time.Duration(l.Count))
}

// remaining is how many calls fit now, with reset until all of them do. The
// hundredth forgives floating point: redis_rate's own count is often one short
// (198.99999 becomes 198).
func (l Limit) remaining(reset time.Duration) int {
	used := math.Ceil(float64(reset)/float64(l.step()) - 0.01)
	return max(0, l.Count-int(used))
}

// Decision is the answer about one call.
type Decision struct {
	Allowed    bool
	Limit      Limit
	Remaining  int           // calls that would pass if made at once
	RetryAfter time.Duration // until one call passes; zero when this one did
	ResetAfter time.Duration // until Remaining is Limit.Count again
	Local      bool          // counted on this node only, because Redis is away
}
