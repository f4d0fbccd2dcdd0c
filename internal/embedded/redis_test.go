package embedded

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

func setupRedis(t *testing.T) (*Redis, *redis.Client) {
	t.Helper()
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })

	return r, client
}

func TestRedisKeysExpire(t *testing.T) {
	t.Parallel()
	_, client := setupRedis(t)
	begun := time.Now()

	if err := client.Set(t.Context(), "key", "value", 200*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}

	testwait.Until(t, "the key to expire", func() bool { return client.Exists(t.Context(), "key").Val() == 0 })
	if took := time.Since(begun); took < 100*time.Millisecond {
		t.Errorf("expired after %s", took)
	}
}

// Limiters in Lua reckon with TIME.
func TestRedisTimeMovesInScripts(t *testing.T) {
	t.Parallel()
	_, client := setupRedis(t)
	now := func() time.Time {
		got, err := client.Eval(t.Context(), `local t = redis.call('TIME') return t[1] * 1000000 + t[2]`, nil).Int64()
		if err != nil {
			t.Fatal(err)
		}

		return time.UnixMicro(got)
	}

	before := time.Now()
	first := now()

	if first.Before(before.Add(-5*time.Second)) || first.After(time.Now().Add(5*time.Second)) {
		t.Errorf("the clock is off: it is %s", first)
	}
	testwait.Until(t, "the clock to move", func() bool { return now().After(first) })
}

func TestRedisComesBackWhereItWas(t *testing.T) {
	t.Parallel()
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	addr := r.Addr()
	r.Close()

	r, err = StartRedisAt(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Addr() != addr {
		t.Errorf("came back at %s, was at %s", r.Addr(), addr)
	}
}

// SPEC F12, ASVS 5.0 13.2.1: other users of the machine reach the port, and nothing behind it.
func TestRedisAsksForAPassword(t *testing.T) {
	t.Parallel()
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	stranger := redis.NewClient(&redis.Options{Addr: r.Addr()})
	defer stranger.Close()
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	owner := redis.NewClient(options)
	defer owner.Close()

	refused, allowed := stranger.FlushAll(t.Context()).Err(), owner.Set(t.Context(), "a", "b", 0).Err()

	if refused == nil || !strings.Contains(refused.Error(), "NOAUTH") || allowed != nil {
		t.Errorf("without the password: %v; with it: %v", refused, allowed)
	}
}
