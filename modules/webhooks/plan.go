package webhooks

import (
	"math/rand/v2"
	"time"
)

// plan says how patient deliveries are.
type plan struct {
	waits     []time.Duration // before the second try, the third ...
	failAfter time.Duration   // an endpoint that takes nothing for so long is disabled
	atMost    time.Duration   // of what Retry-After may ask for
	claim     time.Duration   // how long a worker counts as alive
	ping      time.Duration   // for the answer to a test
	slice     time.Duration   // how often a replay goes on
	sweep     time.Duration   // how often a node looks for what is lost
	owner     int             // tries to one owner's endpoints at once, on one node
	share     int             // tries to one endpoint at once, on one node
}

// The waits are those that Standard Webhooks recommends, three days in all.
var usual = plan{
	waits: []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 20 * time.Hour,
	},
	failAfter: 72 * time.Hour, atMost: 24 * time.Hour,
	claim: 30 * time.Second, ping: 4 * time.Second, slice: time.Second, sweep: 10 * time.Second, owner: 25, share: 20,
}

// wait is how long to wait after so many tries; false when there is no further one.
// Jitter keeps what failed together from coming back together.
func (p plan) wait(tries int, asked time.Duration) (time.Duration, bool) {
	if tries > len(p.waits) {
		return 0, false
	}
	wait := p.waits[tries-1]
	wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait)) //nolint:gosec // jitter, not a secret
	return max(wait, min(asked, p.atMost)), true
}
