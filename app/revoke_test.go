package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/redis"
)

// endings are the ways in which a session or a role is taken away.
var endings = []struct {
	name   string
	status int // of what it was good for, afterwards
	end    func(c, root *client, session, user string)
}{
	{"logout", 401, func(c, _ *client, _, _ string) { c.want(204, "POST", "/v1/auth/logout", "") }},
	{"session ended", 401, func(c, _ *client, session, _ string) {
		other := c.logIn(c.email, userPassword)
		other.want(204, "DELETE", "/v1/auth/sessions/"+session, "")
	}},
	{"password changed", 401, func(c, _ *client, _, _ string) {
		c.want(200, "POST", "/v1/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":"a loud red evening"}`, userPassword))
	}},
	{"demoted", 403, func(_, root *client, _, user string) {
		root.want(200, "PATCH", "/v1/users/"+user, `{"role":"user"}`)
	}},
	{"deactivated", 401, func(_, root *client, _, user string) {
		root.want(200, "PATCH", "/v1/users/"+user, `{"active":false}`)
	}},
	{"deleted", 401, func(_, root *client, _, user string) { root.want(204, "DELETE", "/v1/users/"+user, "") }},
}

// A5; ASVS 5.0 V7.4, V8.3.2; API2:2023: what is taken away on one node is gone on
// the other within a second, though that one remembers it, with its sockets; and it
// stays away when Redis forgets everything, and on a node that starts afresh.
func TestWhatEndsStaysEnded(t *testing.T) {
	t.Parallel()
	for _, withRedis := range []bool{true, false} {
		t.Run(fmt.Sprintf("redis %v", withRedis), func(t *testing.T) {
			t.Parallel()
			store := pgtest.NewRedis(t)
			cfg := settings(t)
			cfg.RedisURL = config.Secret(store.URL)
			one, two := serveTest(t, cfg), serveTest(t, cfg)
			root, still := one.admin(), one.user("still")
			if !withRedis {
				store.Stop()
			}

			ended := make([]*client, len(endings))
			for i, e := range endings {
				c := one.user(fmt.Sprint("ann", i))
				user := c.want(200, "GET", "/v1/users/me", "").text("id")
				root.want(200, "PATCH", "/v1/users/"+user, `{"role":"admin"}`)
				session := c.want(200, "GET", "/v1/auth/sessions", "").text("data.0.id")
				stream := c.on(two).socket("")
				stream.until("ready", "")
				for range 5 { // the other node knows it by heart
					c.on(two).want(200, "GET", "/v1/users", "")
				}

				e.end(c, root, session, user)

				ended[i] = c
				c.on(two).changesSoon(e.name, "/v1/users", 200, e.status)
				stream.closedWith4401(e.name)
			}

			if withRedis {
				forget(t, store.URL)
			}
			two.stop()
			three := serveTest(t, cfg)
			for i, e := range endings {
				for _, s := range []*server{one, three} {
					if got := ended[i].on(s).send("GET", "/v1/users", ""); got.status != e.status {
						t.Errorf("%s, later: %s", e.name, got)
					}
				}
				refresh := fmt.Sprintf(`{"refreshToken":%q}`, ended[i].refresh)
				if got := three.anonymous().send("POST", "/v1/auth/refresh", refresh); e.status == 401 && got.status != 401 {
					t.Errorf("%s: it can be refreshed: %s", e.name, got)
				}
			}
			still.on(three).want(200, "GET", "/v1/users/me", "")
		})
	}
}

// changesSoon waits until a GET is answered with another status, and fails when one that began
// more than a second after the change was still answered as before. A slow machine makes the
// answers late, not the questions early.
func (c *client) changesSoon(what, path string, before, after int) {
	c.t.Helper()
	ended := time.Now()
	for {
		began := time.Now()
		got := c.send("GET", path, "")
		switch {
		case got.status == after:
			return
		case got.status != before, began.Sub(ended) > time.Second:
			c.t.Errorf("%s: after %s: %s", what, began.Sub(ended), got)
			return
		}
	}
}

func (s *socket) closedWith4401(what string) {
	s.t.Helper()
	for {
		if _, err := s.next(); err != nil {
			if !websocket.IsCloseError(err, 4401) {
				s.t.Errorf("%s: the socket ended with %v", what, err)
			}
			return
		}
	}
}

// forget empties Redis.
func forget(t *testing.T, url string) {
	t.Helper()
	conn, err := redis.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}
