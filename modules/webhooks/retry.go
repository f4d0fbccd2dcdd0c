package webhooks

import (
	"math/rand/v2"
	"time"
)

// retryPolicy holds the intervals and limits of deliveries.
type retryPolicy struct {
	waits     []time.Duration // before the second attempt, the third ...
	failAfter time.Duration   // an endpoint is disabled if nothing succeeds for this time
	atMost    time.Duration   // the longest Retry-After that is respected
	claim     time.Duration   // how long a claim is valid
	ping      time.Duration   // the timeout of a test
	slice     time.Duration   // the interval between slices of a replay
	sweep     time.Duration   // the interval of the sweep
	owner     int             // concurrent attempts to one owner's endpoints on one node
	share     int             // concurrent attempts to one endpoint on one node
}

// The waits are those that Standard Webhooks recommends, three days in all.
var usual = retryPolicy{
	waits: []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 20 * time.Hour,
	},
	failAfter: 72 * time.Hour, atMost: 24 * time.Hour,
	claim: 30 * time.Second, ping: 4 * time.Second, slice: time.Second, sweep: 10 * time.Second, owner: ownerSlots, share: endpointSlots,
}

// wait returns the wait after this number of attempts, or false if there is no further one.
// Jitter spreads the retries of deliveries that failed at the same time.
func (p retryPolicy) wait(attempts int, asked time.Duration) (time.Duration, bool) {
	if attempts > len(p.waits) {
		return 0, false
	}
	wait := p.waits[attempts-1]
	wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait)) //nolint:gosec // jitter, not a secret
	return max(wait, min(asked, p.atMost)), true
}
