package redis

import (
	"math"
	"time"
)

// Limit allows Count calls per Period, with even refill (GCRA): all of them may be made at once,
// and each is available again after its share of the period.
type Limit struct {
	Count  int // no limit when zero or less
	Period time.Duration
}

// Disabled reports whether there is no limit.
func (l Limit) Disabled() bool { return l.Count <= 0 || l.Period <= 0 }

// step is the cost of one call as a time.
func (l Limit) step() time.Duration {
	return max(1, l.Period/time.Duration(l.Count))
}

// remaining returns the number of calls that are allowed now, when all calls are available after
// reset. The hundredth compensates for floating point: the count of redis_rate is often one too
// small (198.99999 becomes 198).
func (l Limit) remaining(reset time.Duration) int {
	used := math.Ceil(float64(reset)/float64(l.step()) - 0.01)
	return max(0, l.Count-int(used))
}

// Decision is the result for one call.
type Decision struct {
	Allowed    bool
	Limit      Limit
	Remaining  int           // calls that would be allowed at once now
	RetryAfter time.Duration // until one call is allowed; zero when this one was
	ResetAfter time.Duration // until Remaining equals Limit.Count again
	Local      bool          // counted on this node only, because Redis is unavailable
}
