package app

import "time"

// limits are what a request may wait for before it is answered without. Tests, which may run on
// a slow machine, have longer ones.
type limits struct {
	route time.Duration // the whole request: then 503
	redis time.Duration // each call to Redis: then limits are counted on this node alone
	hash  time.Duration // the turn to hash a password: then 503
}

// usual are those of docs/architecture.md.
var usual = limits{route: 5 * time.Second, redis: 100 * time.Millisecond, hash: 2 * time.Second}
