package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// accountAttacks are those by registration and by what an account shows or leaves behind.
func accountAttacks() []attack {
	return []attack{
		{name: "registration-flood", refs: "CWE-799; API6; ASVS 2.4.1", need: private, slow: true, does: "Registers 100 accounts from one address, with other addresses in headers.", do: registrationFlood},
		{name: "accounts-of-one-address", refs: "CWE-799; API4; ASVS 2.4.1", need: private, slow: true, does: "Multiplies the limit of requests by using ten accounts from one address.", do: accountsOfOneAddress},
		{name: "mass-assignment", refs: "CWE-915; API3; ASVS 15.3.3", need: writes, does: "Registers and changes an account with a role, an id and flags of its own choice.", do: massAssignment},
		{name: "common-passwords", refs: "CWE-521; ASVS 6.2.4, 6.2.11, 6.2.12", need: private, does: "Registers with common passwords, the product's name, sequences and repetitions.", do: commonPasswords},
		{name: "confusable-addresses", refs: "CWE-1007; UTS 39", need: private, does: "Registers addresses that look like that of somebody else, and names with directional controls.", do: confusableAddresses},
		{name: "same-address-otherwise-written", refs: "CWE-178; ASVS 6.1.1", need: private, does: "Registers an address again in other cases and normalizations.", do: sameAddress},
		{name: "erased-account", refs: "CWE-459, CWE-212; ASVS 14.2.4; GDPR 17", need: private, does: "Deletes an account, and looks for its address, name and password in all columns of the database.", do: erasedAccount},
		{name: "account-of-another", refs: "CWE-639; API1, API5; ASVS 8.2.2", need: writes, does: "Reads and changes orders, webhooks, keys, sessions and accounts of another account by their ids.", do: accountOfAnother},
	}
}

// register registers an account.
func (x *trial) register(c *caller, email string) answer {
	return c.send(x, "POST", "/v1/auth/register", fields{"email": email, "password": userPassword})
}

func someone() string { return "s" + strings.ToLower(uuid.NewString()) + "@attack.example" }

func registrationFlood(x *trial) {
	n := x.fresh()
	c := x.caller(n)
	made, limited := 0, 0
	began := time.Now()
	statuses := make(chan int)
	const clients, each = 4, 25
	for client := range clients {
		go func() {
			for i := range each {
				// A version that believes the header takes each request for that of another address.
				statuses <- c.send(x, "POST", "/v1/auth/register", fields{"email": someone(), "password": userPassword},
					fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", client*each+i)).status
			}
		}()
	}
	for range clients * each {
		switch <-statuses {
		case http.StatusCreated:
			made++
		case http.StatusTooManyRequests:
			limited++
		}
	}
	took := time.Since(began)
	x.figure("%d of %d accounts in %s, %d refused by the limit", made, clients*each, short(took), limited)
	const perMinute = 30 // REGISTRATION_RATE_LIMIT in production
	switch permitted := perMinute + 1 + int(took*perMinute/time.Minute); {
	case made > permitted:
		x.found("one address registered %d accounts in %s", made, short(took))
	case limited == 0:
		x.fatal("the machine is too slow to exceed the limit")
	}
}

// accountsOfOneAddress compares what ten accounts get within two seconds with what one gets. The limit is
// set low, so that the speed of the machine does not matter.
func accountsOfOneAddress(x *trial) {
	n := x.fresh("RATE_LIMIT=20/1s")
	accounts := make([]*caller, 10)
	for i := range accounts {
		accounts[i] = x.user(n)
	}
	get := func(list []*caller) (sum int) {
		from := x.address()
		counts := make(chan int)
		end := time.Now().Add(2 * time.Second)
		for _, account := range list {
			c := x.callerFrom(n, from)
			c.token = account.token
			go func() {
				ok := 0
				for time.Now().Before(end) {
					if c.send(x, "GET", "/v1/users/me", nil).status == http.StatusOK {
						ok++
					}
				}
				counts <- ok
			}()
		}
		for range list {
			sum += <-counts
		}
		return sum
	}
	one := get(accounts[:1])
	x.pause(2 * time.Second) // until the account may make as many requests at once again
	ten := get(accounts)
	x.figure("one account %d requests in 2 s, ten from one address %d", one, ten)
	if ten > 7*one {
		x.found("ten accounts of one address get %.1f times what one gets", float64(ten)/float64(max(one, 1)))
	}
}

func massAssignment(x *trial) {
	n := x.server()
	c := x.caller(n)
	for _, more := range []string{`"role":"admin"`, `"isAdmin":true`, `"active":true`, `"id":"` + uuid.NewString() + `"`, `"emailVerified":true`, `"Role":"admin"`, `"role":"user","role":"admin"`} {
		mail := someone()
		a := c.send(x, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q,%s}`, mail, userPassword, more))
		if a.status == http.StatusCreated {
			x.found("registration takes %s", more)
		}
	}
	u := x.user(n)
	for _, more := range []string{`{"role":"admin"}`, `{"active":false}`, `{"email":"x@attack.example"}`, `{"name":"x","role":"admin"}`} {
		if a := u.send(x, "PATCH", "/v1/users/me", more); a.status == http.StatusOK {
			x.found("PATCH /v1/users/me takes %s", more)
		}
	}
	if role := x.want(http.StatusOK, u, "GET", "/v1/users/me", nil).text("role"); role != "user" {
		x.found("the role is %s", role)
	}
}

func commonPasswords(x *trial) {
	n := x.server()
	list := []string{"password", "12345678", "qwertyuiop", "iloveyou1", "orderflow", "Orderflow1", "orderflow2026", "11111111111", "adminadmin1", "abcdefgh1", "Password123!", "letmein123", "sunshine1", "football2024", "qwerty123456", "ABCDEFGH", "aaaaaaaaaaaa", "passw0rd123"}
	for _, p := range list {
		c := x.caller(n)
		if a := c.send(x, "POST", "/v1/auth/register", fields{"email": someone(), "password": p}); a.status == http.StatusCreated {
			x.found("%s is accepted", p)
		}
	}
	c := x.caller(n)
	for name, p := range map[string]string{"7 bytes": "kq7!xZ2", "73 bytes": strings.Repeat("kq7!xZ2w", 9) + "k", "the own address": ""} {
		mail := someone()
		if p == "" {
			p = mail
		}
		if a := c.send(x, "POST", "/v1/auth/register", fields{"email": mail, "password": p}); a.status == http.StatusCreated && name != "the own address" {
			x.found("a password of %s is accepted", name)
		}
	}
	x.figure("%d passwords", len(list)+2)
}

func confusableAddresses(x *trial) {
	n := x.server()
	for _, mail := range []string{"root@exаmple.com", "rооt@attack.example", "ａdmin@example.com", "admin@ｅxample.com", "ad\u200bmin@example.com", "admin@exam\u00adple.com", "nimda\u202e@example.com", "pаypal@attack.example", "admin\u2028@example.com"} {
		c := x.caller(n)
		// In ASCII the domain of a lookalike is seen to be another (xn--...).
		if a := x.register(c, mail); a.status == http.StatusCreated && strings.ContainsFunc(a.text("email"), func(r rune) bool { return r > unicode.MaxASCII }) {
			x.found("%+q is accepted as %+q", mail, a.text("email"))
		}
	}
	for _, name := range []string{"Ann\u202enimda", "\u200b\u200b", "Ann\u0000", "Ann\x1b[31m", "\u2066Ann", "Ann\u00ad"} {
		c := x.caller(n)
		if a := c.send(x, "POST", "/v1/auth/register", fields{"email": someone(), "password": userPassword, "name": name}); a.status == http.StatusCreated {
			x.found("the name %+q is accepted", name)
		}
	}
}

func sameAddress(x *trial) {
	n := x.server()
	u := x.user(n)
	for _, mail := range []string{strings.ToUpper(u.mail), strings.Replace(u.mail, "attack", "ATTACK", 1), " " + u.mail, u.mail + " ", u.mail + ".", strings.Replace(u.mail, "@", "@ ", 1)} {
		c := x.caller(n)
		if a := x.register(c, mail); a.status == http.StatusCreated {
			x.found("%q is registered again", mail)
		}
	}
}

func erasedAccount(x *trial) {
	n := x.server()
	u := x.caller(n)
	mark := "erase" + strings.ToLower(uuid.NewString()[:8])
	u.mail, u.pass = mark+"@attack.example", userPassword
	x.want(http.StatusCreated, u, "POST", "/v1/auth/register", fields{"email": u.mail, "password": userPassword, "name": "Name " + mark})
	x.logIn(u)
	u.id = x.want(http.StatusOK, u, "GET", "/v1/users/me", nil).text("id")
	var hash string
	x.must(n.db.QueryRow(x, `select password_hash from users where id = $1`, u.id).Scan(&hash), "read the hash")
	x.want(http.StatusNoContent, x.root(n), "DELETE", "/v1/users/"+u.id, nil)
	x.pause(time.Second)
	for what, text := range map[string]string{"address or name": mark, "password": hash} {
		for _, place := range x.places(n, text) {
			x.found("the %s is in %s", what, place)
		}
	}
}

// places returns the columns of all tables that contain a text.
func (x *trial) places(n *node, text string) (list []string) {
	rows, err := n.db.Query(x, `select quote_ident(table_name), quote_ident(column_name) from information_schema.columns
		where table_schema = 'public' and (data_type in ('text', 'character varying', 'json', 'jsonb', 'bytea', 'ARRAY', 'USER-DEFINED'))
		and table_name in (select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE')`)
	x.must(err, "list the columns")
	type column struct{ table, name string }
	var columns []column
	for rows.Next() {
		var c column
		x.must(rows.Scan(&c.table, &c.name), "list the columns")
		columns = append(columns, c)
	}
	x.must(rows.Err(), "list the columns")
	for _, c := range columns {
		var found bool
		err := n.db.QueryRow(x, fmt.Sprintf(`select exists(select 1 from %s where position($1 in lower(%s::text)) > 0)`, c.table, c.name), strings.ToLower(text)).Scan(&found)
		if err == nil && found {
			list = append(list, c.table+"."+c.name)
		}
	}
	return list
}

func accountOfAnother(x *trial) {
	n := x.server()
	victim, thief, sku := x.user(n), x.user(n), x.product(n, -1)
	order := x.order(victim, sku, "note", "private")
	_, key := x.key(victim, "orders:read")
	session, _ := payload(victim.token)["sid"].(string)
	requests := [][3]string{
		{"GET", "/v1/orders/" + order}, {"GET", "/v1/orders/" + order + "/events"}, {"GET", "/v1/orders/" + order + "/ledger"}, {"GET", "/v1/orders/" + order + "/refunds"},
		{"POST", "/v1/orders/" + order + "/cancel", "{}"}, {"DELETE", "/v1/orders/" + order}, {"PATCH", "/v1/orders/" + order + "/status", `{"status":"COMPLETED"}`}, {"POST", "/v1/orders/" + order + "/refunds", `{"reason":"x"}`},
		{"GET", "/v1/api-keys/" + key}, {"DELETE", "/v1/api-keys/" + key}, {"POST", "/v1/api-keys/" + key + "/rotate", "{}"}, {"DELETE", "/v1/auth/sessions/" + session},
		{"GET", "/v1/users/" + victim.id}, {"PATCH", "/v1/users/" + thief.id, `{"role":"admin"}`}, {"DELETE", "/v1/users/" + victim.id}, {"GET", "/v1/users"}, {"GET", "/v1/audit"}, {"GET", "/v1/dead-letters"},
		{"POST", "/v1/products", `{"sku":"X","name":"x","unitPrice":{"amount":1,"currency":"EUR"}}`}, {"PATCH", "/v1/products/" + sku, `{"unitPrice":{"amount":1,"currency":"EUR"}}`}, {"GET", "/v1/products/" + sku + "/adjustments"},
	}
	for _, r := range requests {
		var body any
		if r[2] != "" {
			body = r[2]
		}
		if a := thief.send(x, r[0], r[1], body); a.status < 400 || a.status >= 500 {
			x.found("%s %s is %d", r[0], strings.NewReplacer(order, "{order}", key, "{key}", session, "{session}", victim.id, "{victim}", thief.id, "{own}").Replace(r[1]), a.status)
		}
	}
	for _, path := range []string{"/v1/orders?userId=" + victim.id, "/v1/events?userId=" + victim.id, "/v1/events?orderId=" + order, "/v1/orders?q=private", "/v1/orders/export?format=ndjson&userId=" + victim.id, "/v1/orders/stats?userId=" + victim.id} {
		if a := thief.send(x, "GET", path, nil); strings.Contains(string(a.raw), order) || strings.Contains(string(a.raw), "private") {
			x.found("%s shows another account's order", strings.Split(path, "?")[0])
		}
	}
	x.figure("%d requests", len(requests)+6)
}
