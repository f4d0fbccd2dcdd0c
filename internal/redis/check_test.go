package redis

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// SPEC F17: a Redis that refuses the client is distinguished from one that does not respond, without a
// part of the URL.
func TestCheckTellsRefusals_F17(t *testing.T) {
	t.Parallel()
	open, closed := miniredis.RunT(t), miniredis.RunT(t)
	closed.RequireUserAuth("shop", "canary-right")
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	for url, want := range map[string]string{
		"redis://" + open.Addr():                            "",
		"redis://shop:canary-right@" + closed.Addr():        "",
		"redis://shop:canary-wrong@" + closed.Addr():        "refuses the user or the password",
		"redis://canary:canary@" + closed.Addr():            "refuses the user or the password",
		"redis://" + closed.Addr():                          "requires a password",
		"redis://shop:canary-right@" + away.Addr().String(): "cannot be reached: connection refused",
	} {
		wantCheck(t, url, want)
	}
}

// The in-process Redis knows neither users with fewer permissions nor missing databases.
func TestCheckTellsRefusalsOfRedis_F17(t *testing.T) {
	t.Parallel()
	s := redisServer(t)
	admin, err := OpenWithTimeout(s.url, testwait.Limit)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, rules := range [][]any{
		{"acl", "setuser", "canary-reader", "on", ">canary", "~*", "+get"},
		{"acl", "setuser", "canary-elsewhere", "on", ">canary", "~shop:*", "+@all"},
		{"acl", "setuser", "canary-whole", "on", ">canary", "~*", "+@all"},
	} {
		if err := admin.Do(t.Context(), rules...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) string { return strings.Replace(s.url, "://", "://"+user+"@", 1) }

	wantCheck(t, s.url, "")
	wantCheck(t, as("canary-whole:canary"), "")
	wantCheck(t, as("canary-whole:canary-wrong"), "refuses the user or the password")
	wantCheck(t, as(":canary"), "") // since Redis 6 a user without a password is accepted with any
	wantCheck(t, as("canary-reader:canary"), "does not permit the user to run the commands of a limiter")
	wantCheck(t, as("canary-elsewhere:canary"), "does not permit the user to run the commands of a limiter")
	wantCheck(t, s.url+"?db=99999", "has no database with this number")
}

func wantCheck(t *testing.T, url, want string) {
	t.Helper()
	c, err := OpenWithTimeout(url, testwait.Limit)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	err = c.Check(t.Context())

	said := ""
	if err != nil {
		said = err.Error()
	}
	_, isRefused := errors.AsType[*RefusedError](err)
	if said != want || isRefused != (want != "" && !strings.HasPrefix(want, "cannot")) || strings.Contains(said, "canary") {
		t.Errorf("%s: %v (refused: %v), want %q", url, err, isRefused, want)
	}
}
