package embedded

import (
	"crypto/rand"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const redisTick = 50 * time.Millisecond

// Redis is an in-process Redis. It serves one process, stores nothing on disk, and expires keys up
// to 50 ms late. It supports EVAL, but neither FUNCTION nor SPUBLISH.
type Redis struct {
	server   *miniredis.Miniredis
	password string // "" for none
	quit     chan struct{}
	ended    chan struct{}
}

// StartRedis listens on a free port of the loopback interface, which every user of the machine
// reaches. So it asks for a random password, which URL contains. The caller must close it.
func StartRedis() (*Redis, error) {
	r, err := StartRedisAt("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.password = rand.Text()
	r.server.RequireAuth(r.password)
	return r, nil
}

// StartRedisAt listens on a given host:port, without a password, for a restart at the same address.
func StartRedisAt(addr string) (*Redis, error) {
	r := &Redis{server: miniredis.NewMiniRedis(), quit: make(chan struct{}), ended: make(chan struct{})}
	if err := r.server.StartAddr(addr); err != nil {
		return nil, err
	}
	go r.expireKeys()

	return r, nil
}

// expireKeys advances the expiry of keys, which miniredis does not do by itself. Its ClockTTL would visit
// every key with a TTL in each command, which is too slow for the keys of a limiter under load.
// TIME needs no help: it follows the wall clock until SetTime is called.
func (r *Redis) expireKeys() {
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

// Addr returns its address as host:port.
func (r *Redis) Addr() string { return r.server.Addr() }

// URL returns the address in the form of REDIS_URL, with the password.
func (r *Redis) URL() string {
	if r.password == "" {
		return "redis://" + r.Addr()
	}
	return "redis://:" + r.password + "@" + r.Addr()
}

// Close disconnects all clients and discards all data. Call it once.
func (r *Redis) Close() {
	close(r.quit)
	<-r.ended
	r.server.Close()
}
