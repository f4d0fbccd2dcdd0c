package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// sessionAttacks are those on sessions, refresh tokens and API keys.
func sessionAttacks() []attack {
	return []attack{
		{name: "endless-session", refs: "CWE-613; ASVS 7.3.2, 7.1.1", need: private, does: "Refreshes a session that began three years ago.", do: endlessSession},
		{name: "refresh-rows", refs: "CWE-770; ASVS 15.2.2", need: private, slow: true, does: "Refreshes a session as often as it can for three seconds, and counts the rows that stay.", do: refreshRows},
		{name: "reused-refresh-token", refs: "CWE-294; RFC 9700 4.14.2; ASVS 10.4.5", need: private, does: "Uses a refresh token again when its owner has used it: at once in parallel, and later.", do: reusedRefreshToken},
		{name: "sessions-without-number", refs: "CWE-770; ASVS 7.1.2", need: private, slow: true, does: "Opens 60 sessions of one account.", do: manySessions},
		{name: "kept-answers", refs: "CWE-770; ASVS 15.2.2", need: private, does: "Stores responses of requests that fail, by idempotency keys.", do: keptAnswers},
		{name: "key-of-a-stolen-token", refs: "CWE-306; ASVS 7.5.1", need: private, does: "Creates and rotates API keys and ends other sessions with the access token of an old session, without a password.", do: stolenToken},
		{name: "keys-after-deactivation", refs: "CWE-613; ASVS 7.4.3", need: private, does: "Uses keys and webhooks again when a deactivated account is activated.", do: keysAfterDeactivation},
		{name: "keys-of-others", refs: "ASVS 7.4.5", need: private, does: "Looks whether an administrator can see and end sessions, keys and webhooks of a broken account.", do: keysOfOthers},
		{name: "raised-key", refs: "CWE-269; API5; ASVS 8.2.1", need: private, does: "Calls every administrator's route and every route of credentials with a key of an administrator that has other scopes.", do: raisedKey},
	}
}

func endlessSession(x *trial) {
	n := x.server()
	c := x.user(n)
	session, _ := payload(c.token)["sid"].(string)
	_, err := n.db.Exec(x, `update sessions set created_at = created_at - interval '3 years' where id = $1`, session)
	x.must(err, "make the session old")
	a := c.send(x, "POST", "/v1/auth/refresh", fields{"refreshToken": c.refresh})
	if a.status == http.StatusOK {
		x.found("a session of three years ago is prolonged")
	}
}

func refreshRows(x *trial) {
	n := x.fresh()
	c := x.user(n)
	rows := func() (count int) {
		err := n.db.QueryRow(x, `select coalesce(sum(n_live_tup), 0) from pg_stat_user_tables where relname like '%refresh%' or relname = 'sessions'`).Scan(&count)
		x.must(err, "count the rows")
		return count
	}
	before, done := rows(), 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		a := c.send(x, "POST", "/v1/auth/refresh", fields{"refreshToken": c.refresh})
		switch a.status {
		case http.StatusOK:
			c.refresh = a.text("refreshToken")
			done++
		case http.StatusTooManyRequests:
			x.pause(100 * time.Millisecond)
		}
	}
	x.pause(1200 * time.Millisecond) // statistics are written once a second
	more := rows() - before
	x.figure("%d refreshes in 3 s left %d rows", done, more)
	if more > 20 {
		x.found("a session leaves %d rows in 3 s", more)
	}
}

func reusedRefreshToken(x *trial) {
	n := x.server()
	c := x.user(n)
	first := c.refresh
	var mu sync.Mutex
	got := map[string]bool{}
	var all errgroup.Group
	for range 10 {
		all.Go(func() error {
			a := x.quiet(n).send(x, "POST", "/v1/auth/refresh", fields{"refreshToken": first})
			mu.Lock()
			defer mu.Unlock()
			if a.status == http.StatusOK {
				got[a.text("refreshToken")] = true
			}
			return nil
		})
	}
	_ = all.Wait()
	if len(got) > 1 {
		x.found("ten requests at once with one token got %d successors", len(got))
	}
	var next string
	for token := range got {
		next = token
	}
	a := x.caller(n).send(x, "POST", "/v1/auth/refresh", fields{"refreshToken": next})
	if a.status != http.StatusOK { // the server takes every second use for theft, and has ended the session
		return
	}
	if b := x.caller(n).send(x, "POST", "/v1/auth/refresh", fields{"refreshToken": first}); b.status == http.StatusOK {
		x.found("a token before the last used one is accepted")
	}
	x.pause(1200 * time.Millisecond)
	d := x.caller(n)
	d.token = a.text("accessToken")
	if d.send(x, "GET", "/v1/users/me", nil).status == http.StatusOK {
		x.found("the session goes on after a used token was presented")
	}
}

func manySessions(x *trial) {
	n := x.fresh()
	u := x.user(n)
	for range 60 {
		x.again(u)
	}
	var live int
	x.must(n.db.QueryRow(x, `select count(*) from sessions where user_id = $1 and expires_at > now() and to_jsonb(sessions)->>'revoked_at' is null and to_jsonb(sessions)->>'ended_at' is null`, u.id).Scan(&live), "count the sessions")
	x.figure("%d live sessions", live)
	if live > 50 {
		x.found("an account has %d sessions", live)
	}
}

func keptAnswers(x *trial) {
	n := x.server()
	u := x.user(n)
	count := func() (kept int) {
		x.must(n.db.QueryRow(x, `select count(*) from idempotency_keys where caller = $1`, u.id).Scan(&kept), "count the kept responses")
		return kept
	}
	for i := range 40 {
		u.send(x, "POST", "/v1/orders", orderOf("NO-SUCH-SKU"), fmt.Sprintf("Idempotency-Key: refused-%d", i))
		u.send(x, "POST", "/v1/orders/bulk", `{"orders":[]}`, fmt.Sprintf("Idempotency-Key: empty-%d", i))
	}
	if kept := count(); kept > 0 {
		x.found("%d responses to invalid requests are kept", kept)
	}
	before := count()
	for i := range 40 {
		u.send(x, "POST", "/v1/orders/"+uuid.NewString()+"/cancel", fields{}, fmt.Sprintf("Idempotency-Key: absent-%d", i))
	}
	if kept := count() - before; kept > 0 {
		x.found("%d responses about orders that do not exist are kept", kept)
	}
	x.figure("120 requests")
}

func stolenToken(x *trial) {
	n := x.server()
	u := x.user(n)
	_, key := x.key(u, "orders:read")
	// Nobody has used this session yet, so the server has not cached when its password was given.
	stolen := x.again(u)
	session, _ := payload(stolen.token)["sid"].(string)
	_, err := n.db.Exec(x, `update sessions set created_at = created_at - interval '1 hour', confirmed_at = confirmed_at - interval '1 hour' where id = $1`, session)
	x.must(err, "make the session old")
	thief := x.caller(n)
	a := thief.send(x, "POST", "/v1/auth/refresh", fields{"refreshToken": stolen.refresh})
	if thief.token = a.text("accessToken"); thief.token == "" {
		x.fatal("refresh: %s", a)
	}
	otherSession, _ := payload(u.token)["sid"].(string)
	for what, a := range map[string]answer{
		"a key is created":         thief.send(x, "POST", "/v1/api-keys", fields{"name": "thief", "scopes": []string{"orders:read"}}),
		"a key is rotated":         thief.send(x, "POST", "/v1/api-keys/"+key+"/rotate", fields{}),
		"another session is ended": thief.send(x, "DELETE", "/v1/auth/sessions/"+otherSession, nil),
	} {
		if a.status/100 == 2 {
			x.found("%s without a password by a session of an hour ago", what)
		}
	}
}

func keysAfterDeactivation(x *trial) {
	n := x.server()
	u, root := x.user(n), x.root(n)
	sku := x.product(n, -1)
	k, _ := x.key(u, "orders:read", "orders:write", "events:read", "webhooks:write")
	r := x.receiver(nil)
	x.hook(u, r.url)
	x.want(http.StatusOK, k, "GET", "/v1/orders", nil)
	x.want(http.StatusOK, root, "PATCH", "/v1/users/"+u.id, fields{"active": false})
	x.pause(1200 * time.Millisecond)
	if k.send(x, "GET", "/v1/orders", nil).status == http.StatusOK {
		x.found("a key of a deactivated account works")
	}
	x.want(http.StatusOK, root, "PATCH", "/v1/users/"+u.id, fields{"active": true})
	x.pause(1200 * time.Millisecond)
	if k.send(x, "GET", "/v1/orders", nil).status == http.StatusOK {
		x.found("a key works again after deactivation and activation")
	}
	v := x.again(u)
	order := x.order(v, sku)
	if x.within(2*time.Second, func() bool { return !r.told(order).IsZero() }) {
		x.found("a webhook receives again after deactivation and activation")
	}
	// A new password: the owner must be able to find and end the keys.
	if a := v.send(x, "GET", "/v1/api-keys", nil); a.status != http.StatusOK {
		x.found("the owner cannot list the keys: %s", a)
	}
}

func keysOfOthers(x *trial) {
	n := x.server()
	u, root := x.user(n), x.root(n)
	_, key := x.key(u, "orders:read")
	r := x.receiver(nil)
	hook := x.hook(u, r.url)
	session, _ := payload(u.token)["sid"].(string)
	for what, id := range map[string]string{"sessions": session, "api-keys": key, "webhooks": hook} {
		list := root.send(x, "GET", "/v1/users/"+u.id+"/"+what, nil)
		if list.status != http.StatusOK || !strings.Contains(string(list.raw), id) {
			x.found("administrators cannot see %s of an account (%d)", what, list.status)
		}
		if a := root.send(x, "DELETE", "/v1/users/"+u.id+"/"+what+"/"+id, nil); a.status/100 != 2 {
			x.found("administrators cannot end one of its %s (%d)", what, a.status)
		}
	}
}

func raisedKey(x *trial) {
	n := x.server()
	admin, victim, sku := x.administrator(n), x.user(n), x.product(n, -1)
	order := x.order(victim, sku)
	k, id := x.key(admin, "notifications:read")
	requests := [][2]string{
		{"GET", "/v1/orders"}, {"GET", "/v1/orders/" + order}, {"POST", "/v1/orders"}, {"POST", "/v1/orders/bulk"}, {"POST", "/v1/orders/quote"}, {"GET", "/v1/orders/export?format=csv"}, {"GET", "/v1/orders/stats"},
		{"POST", "/v1/orders/" + order + "/cancel"}, {"POST", "/v1/orders/" + order + "/hold"}, {"DELETE", "/v1/orders/" + order}, {"PATCH", "/v1/orders/" + order + "/status"}, {"POST", "/v1/orders/" + order + "/refunds"},
		{"GET", "/v1/events"}, {"GET", "/v1/events/stream"}, {"POST", "/v1/events/tickets"}, {"GET", "/v1/webhooks"}, {"POST", "/v1/webhooks"}, {"GET", "/v1/users"}, {"GET", "/v1/users/" + victim.id}, {"PATCH", "/v1/users/" + victim.id}, {"DELETE", "/v1/users/" + victim.id},
		{"GET", "/v1/users/me"}, {"PATCH", "/v1/users/me"}, {"GET", "/v1/api-keys"}, {"POST", "/v1/api-keys"}, {"DELETE", "/v1/api-keys/" + id}, {"POST", "/v1/api-keys/" + id + "/rotate"}, {"GET", "/v1/auth/sessions"}, {"POST", "/v1/auth/password"}, {"POST", "/v1/auth/logout"},
		{"POST", "/v1/products"}, {"PATCH", "/v1/products/" + sku}, {"DELETE", "/v1/products/" + sku}, {"GET", "/v1/products/" + sku + "/adjustments"}, {"POST", "/v1/products/" + sku + "/adjustments"}, {"GET", "/v1/dead-letters"}, {"GET", "/v1/audit"}, {"GET", "/v1/users/me/activity"}, {"PATCH", "/v1/notifications"},
	}
	for _, r := range requests {
		var body any
		if r[0] != "GET" && r[0] != "DELETE" {
			body = "{}"
		}
		if a := k.send(x, r[0], r[1], body); a.status != http.StatusForbidden && a.status != http.StatusNotFound {
			x.found("%s %s is %d", r[0], strings.NewReplacer(order, "{order}", victim.id, "{user}", id, "{key}", sku, "{sku}").Replace(r[1]), a.status)
		}
	}
	x.figure("%d routes", len(requests))
}
