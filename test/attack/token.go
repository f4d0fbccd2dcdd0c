package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// tokenAttacks are those on access tokens, tickets and the places of credentials.
func tokenAttacks() []attack {
	return []attack{
		{name: "forged-tokens", refs: "CWE-347; RFC 8725; ASVS 9.1.1, 9.1.2", need: writes, does: "Changes the algorithm, the key, the claims and the form of a right token, without the signing key.", do: forgedTokens},
		{name: "token-places", refs: "CWE-598; ASVS 14.2.1; RFC 6750 2", need: writes, does: "Presents a right token in queries, cookies, other headers and two headers.", do: tokenPlaces},
		{name: "reused-ticket", refs: "CWE-294; ASVS 7.2.4", need: writes, does: "Opens twenty sockets at once with one ticket, and one with the ticket of an ended session.", do: reusedTicket},
		{name: "invented-credentials", refs: "CWE-770; ASVS 15.2.2", need: private, slow: true, does: "Floods the server with invented keys and with the token of an ended session, and counts database transactions.", do: inventedCredentials},
	}
}

// tokenTime returns the time of issue of an access token; zero if it cannot be read.
func tokenTime(token string) time.Time {
	claims := payload(token)
	iat, _ := claims["iat"].(float64)
	return time.Unix(int64(iat), 0)
}

func payload(token string) fields {
	claims := fields{}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(raw, &claims)
	}
	return claims
}

func segment(v any) string {
	raw, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func forgedTokens(x *trial) {
	n := x.server()
	c := x.user(n)
	parts := strings.Split(c.token, ".")
	raised := payload(c.token)
	raised["role"] = "admin"
	var header fields
	raw, _ := base64.RawURLEncoding.DecodeString(parts[0])
	x.must(json.Unmarshal(raw, &header), "read the header of a token")
	with := func(name string, value any) string {
		h := fields{}
		maps.Copy(h, header)
		h[name] = value
		return segment(h)
	}
	forged := map[string]string{
		"another payload":   parts[0] + "." + segment(raised) + "." + parts[2],
		"no signature":      parts[0] + "." + parts[1] + ".",
		"signature cut":     c.token[:len(c.token)-2],
		"four parts":        c.token + "." + parts[2],
		"padding":           c.token + "=",
		"the refresh token": c.refresh,
		"kid of a file":     with("kid", "../../dev/null") + "." + parts[1] + "." + parts[2],
		"jwk":               with("jwk", fields{"kty": "oct", "k": "AA"}) + "." + parts[1] + "." + parts[2],
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", ""} {
		forged["alg "+alg] = with("alg", alg) + "." + segment(raised) + "."
		forged["alg "+alg+" with a signature"] = with("alg", alg) + "." + parts[1] + "." + parts[2]
	}
	d := x.caller(n)
	for name, token := range forged {
		d.token = token
		if a := d.send(x, "GET", "/v1/users/me", nil); a.status != http.StatusUnauthorized {
			x.found("%s: %s", name, a)
		}
	}
	x.figure("%d forged tokens", len(forged))
}

func tokenPlaces(x *trial) {
	n := x.server()
	c := x.user(n)
	d := x.caller(n)
	for _, q := range []string{"access_token", "token", "authorization", "bearer", "api_key", "ticket"} {
		if a := d.send(x, "GET", "/v1/users/me?"+q+"="+url.QueryEscape(c.token), nil); a.status == http.StatusOK {
			x.found("accepted in the query as %s", q)
		}
	}
	for _, h := range []string{"Cookie: token=" + c.token, "Cookie: access_token=" + c.token, "X-Access-Token: " + c.token, "Proxy-Authorization: Bearer " + c.token, "X-Api-Key: " + c.token, "Authorization: Basic " + c.token, "Authorization: " + c.token} {
		if a := d.send(x, "GET", "/v1/users/me", nil, h); a.status == http.StatusOK {
			x.found("accepted in %s", strings.SplitN(h, ":", 2)[0])
		}
	}
	if x.exchange(d, fmt.Sprintf("GET /v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAuthorization: Bearer %s\r\n\r\n", "x", c.token)).status == http.StatusOK {
		x.found("accepted in the second of two headers")
	}
}

func reusedTicket(x *trial) {
	n := x.server()
	c := x.user(n)
	ticket := func() string {
		a := x.want(http.StatusCreated, c, "POST", "/v1/events/tickets", nil)
		return url.QueryEscape(a.text("ticket"))
	}
	one := ticket()
	var opened atomic.Int32
	var all errgroup.Group
	anyone := x.caller(n)
	for range 20 {
		all.Go(func() error {
			if conn, _, err := anyone.socket(x, "?ticket="+one); err == nil {
				opened.Add(1)
				_ = conn.Close()
			}
			return nil
		})
	}
	_ = all.Wait()
	if opened.Load() != 1 {
		x.found("%d sockets were opened with one ticket", opened.Load())
	}
	late := ticket()
	x.want(http.StatusNoContent, c, "POST", "/v1/auth/logout", nil)
	x.pause(time.Second)
	if conn, _, err := anyone.socket(x, "?ticket="+late); err == nil {
		_ = conn.Close()
		x.found("the ticket of a session that has ended opens a socket")
	}
}

// inventedCredentials counts the transactions that requests cost which are refused anyway.
func inventedCredentials(x *trial) {
	n := x.fresh()
	c := x.user(n)
	x.want(http.StatusNoContent, c, "POST", "/v1/auth/logout", nil)
	x.pause(time.Second)
	count := func() (commits int64) {
		x.must(n.db.QueryRow(x, `select xact_commit + xact_rollback from pg_stat_database where datname = current_database()`).Scan(&commits), "read the statistics")
		return commits
	}
	const many = 3000
	for name, token := range map[string]func() string{
		"the token of an ended session": func() string { return c.token },
		"invented keys": func() string {
			return "ofk_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:22] + "_" + strings.Repeat("a", 49)
		},
	} {
		d := x.caller(n)
		x.pause(time.Second)
		before := count()
		var some errgroup.Group
		some.SetLimit(16)
		for range many {
			value := token()
			some.Go(func() error {
				d.send(x, "GET", "/v1/orders", nil, "Authorization: Bearer "+value)
				return nil
			})
		}
		_ = some.Wait()
		x.pause(1200 * time.Millisecond) // statistics are written once a second
		cost := count() - before
		x.figure("%s: %d transactions for %d requests", name, cost, many)
		if cost > many/2 {
			x.found("%s: %d requests cost %d transactions", name, many, cost)
		}
	}
}
