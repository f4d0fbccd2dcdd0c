package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// guessAttacks are those on passwords by trying.
func guessAttacks() []attack {
	return []attack{
		{name: "guesses-of-one-address", refs: "CWE-307; ASVS 6.3.1; SPEC A6", need: private, does: "Tries 40 passwords of many accounts from one address at once.", do: guessesOfOneAddress},
		{name: "guesses-of-many-addresses", refs: "CWE-307; ASVS 6.3.1; SPEC A6", need: private, does: "Tries 40 passwords of one account from 40 addresses, in many spellings of its e-mail address.", do: guessesOfManyAddresses},
		{name: "guesses-behind-a-right-password", refs: "CWE-307; ASVS 6.3.1", need: private, does: "Resets the count of wrong log-ins with right ones of an account of its own.", do: guessesBehindRight},
		{name: "guesses-by-password-change", refs: "CWE-307; ASVS 6.3.1, 7.5.1", need: private, does: "Tries current passwords with a stolen access token.", do: guessesByPasswordChange},
		{name: "locked-out-owner", refs: "CWE-645; ASVS 6.1.1", need: private, does: "Uses up the attempts of an account, and logs its owner in from a known and from a new address.", do: lockedOutOwner},
		{name: "account-enumeration", refs: "CWE-204, CWE-208; ASVS 6.3.8", need: private, slow: true, does: "Tells unknown, deactivated and existing accounts apart by the response to a wrong password and its time.", do: enumeration},
	}
}

// guess tries a wrong password and returns the status.
func (x *trial) guess(c *caller, mail string, i int) int {
	return c.send(x, "POST", "/v1/auth/login", fields{"email": mail, "password": fmt.Sprintf("wrong password %d", i)}).status
}

// checked carries out guesses, a few at once, and returns how many passwords were compared.
func (x *trial) checked(many int, guess func(i int) int) (n int) {
	var mu sync.Mutex
	var some errgroup.Group
	some.SetLimit(6) // more would be refused by the queue of hashing, which is not what is tested
	for i := range many {
		some.Go(func() error {
			status := guess(i)
			for try := 0; status == http.StatusServiceUnavailable && try < 10; try++ {
				wait(x, 200*time.Millisecond)
				status = guess(i)
			}
			mu.Lock()
			defer mu.Unlock()
			if status == http.StatusUnauthorized || status == http.StatusUnprocessableEntity {
				n++
			}
			return nil
		})
	}
	_ = some.Wait()
	return n
}

const perMinute = 10 // LOGIN_RATE_LIMIT

// permitted returns how many passwords may be compared since began. One more may be under way.
func permitted(began time.Time) int {
	return perMinute + 1 + int(time.Since(began)*perMinute/time.Minute)
}

func guessesOfOneAddress(x *trial) {
	n := x.server()
	victim := x.user(n)
	c := x.caller(n)
	began := time.Now()
	tried := x.checked(40, func(i int) int {
		mail := victim.mail
		if i%2 == 0 {
			mail = fmt.Sprintf("x%d%s", i, victim.mail)
		}
		return x.guess(c, mail, i)
	})
	x.figure("%d of 40 compared", tried)
	if tried > permitted(began) {
		x.found("%d passwords were compared for one address within a minute", tried)
	}
}

func guessesOfManyAddresses(x *trial) {
	n := x.server()
	victim := x.user(n)
	spellings := []string{victim.mail, strings.ToUpper(victim.mail), strings.ToUpper(victim.mail[:1]) + victim.mail[1:], strings.Replace(victim.mail, "attack", "Attack", 1)}
	began := time.Now()
	tried := x.checked(40, func(i int) int { return x.guess(x.quiet(n), spellings[i%len(spellings)], i) })
	x.figure("%d of 40 compared", tried)
	// An address that has not tried yet gets one attempt in an hour beyond the limit, whose response is
	// the same as a refusal.
	if tried > permitted(began) {
		x.found("%d passwords of one account were compared within a minute", tried)
	}
}

// quiet is a caller that may be made by any goroutine, as it registers nothing to close.
func (x *trial) quiet(n *node) *caller {
	c := &caller{node: n, from: x.address()}
	c.http = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true}}
	return c
}

func guessesBehindRight(x *trial) {
	n := x.server()
	victim, own := x.user(n), x.user(n)
	c := x.caller(n)
	began := time.Now()
	tried := 0
	for i := range 30 {
		if i%2 == 0 {
			c.send(x, "POST", "/v1/auth/login", fields{"email": own.mail, "password": own.pass})
		}
		if x.guess(c, victim.mail, i) == http.StatusUnauthorized {
			tried++
		}
	}
	x.figure("%d of 30 compared", tried)
	if tried > permitted(began) {
		x.found("%d wrong passwords were compared between right ones", tried)
	}
}

func guessesByPasswordChange(x *trial) {
	n := x.server()
	victim := x.user(n)
	began := time.Now()
	tried := x.checked(30, func(i int) int {
		c := x.quiet(n)
		c.token = victim.token
		return c.send(x, "POST", "/v1/auth/password", fields{"currentPassword": fmt.Sprintf("wrong %d", i), "newPassword": otherPassword}).status
	})
	x.figure("%d of 30 compared", tried)
	if tried > permitted(began) {
		x.found("%d current passwords were compared within a minute", tried)
	}
}

func lockedOutOwner(x *trial) {
	n := x.server()
	owner := x.user(n)
	x.checked(30, func(i int) int { return x.guess(x.quiet(n), owner.mail, i) })
	known := x.callerFrom(n, owner.from)
	known.mail = owner.mail
	for name, c := range map[string]*caller{"the address of a session": known, "a new address": x.caller(n)} {
		a := c.send(x, "POST", "/v1/auth/login", fields{"email": owner.mail, "password": owner.pass})
		if a.status != http.StatusOK {
			x.found("the owner cannot log in from %s: %s", name, a)
		}
	}
}

// enumeration compares the medians of interleaved attempts. Each attempt is of another account and
// another address, so that no limit is reached.
func enumeration(x *trial) {
	n := x.fresh()
	const each = 15
	took := map[string][]time.Duration{}
	bodies := map[string]bool{}
	root := x.root(n)
	for i := range each {
		existing, off, gone := x.user(n), x.user(n), x.user(n)
		x.want(http.StatusOK, root, "PATCH", "/v1/users/"+off.id, fields{"active": false})
		x.want(http.StatusNoContent, root, "DELETE", "/v1/users/"+gone.id, nil)
		for name, mail := range map[string]string{"existing": existing.mail, "deactivated": off.mail, "deleted": gone.mail, "unknown": someone()} {
			c := x.caller(n)
			c.send(x, "GET", "/nowhere", nil) // opens the connection
			a := c.send(x, "POST", "/v1/auth/login", fields{"email": mail, "password": fmt.Sprintf("wrong password %d", i)})
			took[name] = append(took[name], a.took)
			bodies[fmt.Sprint(a.status, a.text("code"), a.text("detail"))] = true
		}
	}
	if len(bodies) > 1 {
		x.found("responses differ: %v", bodies)
	}
	least, most := time.Hour, time.Duration(0)
	for name, list := range took {
		median := percentile(list, 0.5)
		least, most = min(least, median), max(most, median)
		x.figure("%s %s", name, short(median))
	}
	if most > 2*least {
		x.found("times differ: %s and %s", short(least), short(most))
	}
}
