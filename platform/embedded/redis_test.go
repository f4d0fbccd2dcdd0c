package embedded

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
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

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for client.Exists(ctx, "key").Val() == 1 {
	}
	if took := time.Since(begun); ctx.Err() != nil || took < 100*time.Millisecond {
		t.Errorf("expired after %s: %v", took, ctx.Err())
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

	first := now()

	if off := time.Since(first).Abs(); off > 5*time.Second {
		t.Errorf("the clock is off by %s", off)
	}
	for deadline := time.Now().Add(10 * time.Second); !now().After(first); {
		if time.Now().After(deadline) {
			t.Fatal("the clock stands still")
		}
	}
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
