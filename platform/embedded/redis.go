package embedded

import (
	"time"

	"github.com/alicebob/miniredis/v2"
)

const redisTick = 50 * time.Millisecond

// Redis is an in-process Redis: one process only, nothing on disk, keys expire up to 50 ms late. It
// has EVAL but neither FUNCTION nor SPUBLISH.
type Redis struct {
	server *miniredis.Miniredis
	quit   chan struct{}
	ended  chan struct{}
}

// StartRedis listens on a free port of the loopback interface. Close it.
func StartRedis() (*Redis, error) { return StartRedisAt("127.0.0.1:0") }

// StartRedisAt is StartRedis on a given host:port, for one that must come back where it was.
func StartRedisAt(addr string) (*Redis, error) {
	r := &Redis{server: miniredis.NewMiniRedis(), quit: make(chan struct{}), ended: make(chan struct{})}
	if err := r.server.StartAddr(addr); err != nil {
		return nil, err
	}
	go r.age()

	return r, nil
}

// age lets keys grow old, which miniredis does not do by itself. Its ClockTTL would, at the price of a
// walk over every key with a TTL in each command: too much for a limiter's keys under load. TIME
// needs no help, it follows the wall clock until somebody calls SetTime.
func (r *Redis) age() {
	defer close(r.ended)
	every := time.NewTicker(redisTick)
	defer every.Stop()
	for last := time.Now(); ; {
		select {
		case <-r.quit:
			return
		case now := <-every.C:
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Addr is where it listens, as host:port.
func (r *Redis) Addr() string { return r.server.Addr() }

// URL is Addr in the form that REDIS_URL takes.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// Close disconnects everybody and forgets everything. Call it once.
func (r *Redis) Close() {
	close(r.quit)
	<-r.ended
	r.server.Close()
}
