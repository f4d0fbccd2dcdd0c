package app

import "time"

// limits are the timeouts of a request and the limits that have no setting. Tests, which may run on a
// slow machine and use every scope, have larger ones.
type limits struct {
	route   time.Duration // the whole request: then 503
	redis   time.Duration // each call to Redis: then rate limits are counted on this node alone
	hash    time.Duration // waiting for a slot to hash a password: then 503
	figures time.Duration // between two readings of the figures of the whole installation
	keys    int           // API keys of one account: then 409; zero for the default of package auth
}

// usual are the limits of docs/architecture.md.
var usual = limits{route: 5 * time.Second, redis: 100 * time.Millisecond, hash: 2 * time.Second, figures: 15 * time.Second}
