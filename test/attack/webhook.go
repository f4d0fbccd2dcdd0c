package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// webhookAttacks are those by the addresses to which the server sends requests.
func webhookAttacks() []attack {
	return []attack{
		{name: "private-addresses", refs: "CWE-918; ASVS 1.3.6", need: writes, does: "Saves webhooks at private, loopback, link-local and metadata addresses in many notations.", do: privateAddresses},
		{name: "cloud-addresses", refs: "CWE-918; ASVS 1.3.6", need: writes, does: "Saves webhooks at public addresses that only machines of a cloud reach.", do: cloudAddresses},
		{name: "other-ports", refs: "CWE-918; ASVS 1.3.6", need: writes, does: "Saves webhooks at ports of databases, mail and caches.", do: otherPorts},
		{name: "redirected-deliveries", refs: "CWE-918; ASVS 1.3.6", need: private, does: "Redirects a delivery to another address, with each status of redirection.", do: redirected},
		{name: "telling-errors", refs: "CWE-209, CWE-918; ASVS 1.3.6", need: private, does: "Tells open, closed and silent ports apart, and reads what a service that is no HTTP sends first.", do: tellingErrors},
		{name: "key-webhook-scope", refs: "CWE-863; API1; ASVS 8.2.1", need: private, does: "Creates and redirects webhooks with a key that has the scope webhooks:write alone.", do: keyWebhookScope},
		{name: "former-administrators-webhooks", refs: "CWE-771; ASVS 15.2.2", need: private, slow: true, does: "Uses up the places of webhooks about all orders, and deletes the account.", do: formerAdministratorsWebhooks},
	}
}

// saves tries to save each URL, and reports those that are accepted.
func (x *trial) saves(urls []string) {
	c := x.user(x.fresh("WEBHOOK_ALLOWED_NETWORKS="))
	for _, url := range urls {
		a := c.send(x, "POST", "/v1/webhooks", fields{"url": url, "enabled": false})
		if a.status == http.StatusCreated {
			x.found("%s is accepted", url)
			x.want(http.StatusNoContent, c, "DELETE", "/v1/webhooks/"+a.text("id"), nil)
		} else if a.status >= 500 && a.status != http.StatusServiceUnavailable {
			x.found("%s: %s", url, a)
		}
	}
	x.figure("%d addresses", len(urls))
}

func privateAddresses(x *trial) {
	var urls []string
	for _, host := range []string{
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "0.0.0.0", "169.254.169.254", "100.64.0.1", "192.0.0.192", "100.100.100.200", "198.18.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255", "127.0.0.2",
		"[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[::ffff:10.0.0.1]", "[::10.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]", "[2002:a00:1::]", "[2001::1]", "[2001:db8::1]", "[fe80::1%25eth0]",
		"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "017700000001", "１２７.0.0.1", "①②⑦.0.0.1", "localhost", "localhost.", "printer.local", "db.internal", "metadata.google.internal",
		"10.0.0.1@example.com", "example.com@10.0.0.1", "example.com#@10.0.0.1", "10.0.0.1\\@example.com", "10.0.0.1:", "10.0.0.1:0443", "10.0.0.1%2f.example.com",
	} {
		urls = append(urls, "https://"+host+"/x")
	}
	x.saves(append(urls, "http://8.8.8.8/x", "ftp://8.8.8.8/x", "file:///etc/passwd", "gopher://8.8.8.8/x", "//8.8.8.8/x", "https:8.8.8.8", "https:///x", "javascript:alert(1)", "https://8.8.8.8 /x", "https://8.8.8.8/\r\nX: y"))
}

func cloudAddresses(x *trial) {
	x.saves([]string{"https://168.63.129.16/x", "https://168.63.129.16:32526/vmSettings", "https://[::ffff:168.63.129.16]/", "https://[64:ff9b::a83f:8110]/"})
}

func otherPorts(x *trial) {
	var urls []string
	for _, port := range []int{22, 25, 53, 110, 143, 389, 445, 465, 587, 873, 1433, 2375, 2379, 3306, 5432, 6379, 6443, 8500, 9200, 11211, 27017} {
		urls = append(urls, fmt.Sprintf("https://8.8.8.8:%d/", port))
	}
	x.saves(urls)
}

// hook creates a webhook of the caller at a receiver and returns its id.
func (x *trial) hook(c *caller, url string, more ...any) string {
	a := c.send(x, "POST", "/v1/webhooks", fields{"url": url}.with(more))
	if a.status == http.StatusUnprocessableEntity {
		x.skip("the server sends nothing to receivers of this program: %s", a)
	}
	if a.status != http.StatusCreated {
		x.fatal("create a webhook: %s", a)
	}
	return a.text("id")
}

func redirected(x *trial) {
	n := x.server()
	c := x.user(n)
	target := x.receiver(nil)
	for _, status := range []int{301, 302, 303, 307, 308, 300, 201} {
		r := x.receiver(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", target.url)
			w.Header().Set("Refresh", "0; url="+target.url)
			w.WriteHeader(status)
		})
		id := x.hook(c, r.url)
		x.want(http.StatusOK, c, "POST", "/v1/webhooks/"+id+"/test", nil)
		x.want(http.StatusNoContent, c, "DELETE", "/v1/webhooks/"+id, nil)
	}
	if count, _ := target.requests(); count > 0 {
		x.found("%d redirects were followed", count)
	}
}

// tellingErrors compares what the owner of a webhook is shown of three kinds of ports.
func tellingErrors(x *trial) {
	banner, err := net.Listen("tcp", "127.0.0.1:0")
	x.must(err, "listen")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	x.must(err, "listen")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	x.must(err, "listen")
	_ = closed.Close()
	var ports []string
	for _, l := range []net.Listener{banner, silent, closed} {
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	c := x.user(x.fresh("WEBHOOK_ALLOWED_PORTS=" + strings.Join(ports, ",")))
	var open sync.Map
	x.atEnd(func() {
		_, _ = banner.Close(), silent.Close()
		open.Range(func(k, _ any) bool { _ = k.(net.Conn).Close(); return true })
	})
	const first = "220 canary mail service"
	accept := func(l net.Listener, text string) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(conn, true)
			_, _ = conn.Write([]byte(text))
		}
	}
	go accept(banner, first+"\r\n")
	go accept(silent, "")
	shown := map[string]string{}
	for name, l := range map[string]net.Listener{"a mail server": banner, "a silent port": silent, "a closed port": closed} {
		id := x.hook(c, "https://"+l.Addr().String()+"/")
		a := c.send(x, "POST", "/v1/webhooks/"+id+"/test", nil)
		shown[name] = a.text("error")
		if strings.Contains(string(a.raw), "canary") {
			x.found("the first bytes of a mail server are shown")
		}
		x.want(http.StatusNoContent, c, "DELETE", "/v1/webhooks/"+id, nil)
	}
	if shown["a closed port"] != shown["a silent port"] {
		x.found("a closed port (%.60q) differs from a silent one (%.60q)", shown["a closed port"], shown["a silent port"])
	}
}

// key creates an API key of the caller, who must have logged in lately.
func (x *trial) key(c *caller, scopes ...string) (k *caller, id string) {
	a := x.want(http.StatusCreated, c, "POST", "/v1/api-keys", fields{"name": "attack", "scopes": scopes})
	k = x.caller(c.node)
	k.token, k.id = a.text("secret"), c.id
	return k, a.text("id")
}

func keyWebhookScope(x *trial) {
	n := x.server()
	admin, victim, sku := x.administrator(n), x.user(n), x.product(n, -1)
	k, id := x.key(admin, "webhooks:write", "webhooks:read")
	mine, theirs := x.receiver(nil), x.receiver(nil)
	a := k.send(x, "POST", "/v1/webhooks", fields{"url": mine.url})
	existing := x.hook(admin, theirs.url)
	redirect := k.send(x, "PATCH", "/v1/webhooks/"+existing, fields{"url": mine.url + "/redirected"})
	k.send(x, "POST", "/v1/webhooks/"+existing+"/replays", fields{"from": 1, "rate": 100})
	order := x.order(victim, sku, "note", "private")
	if x.within(2*time.Second, func() bool { return !mine.told(order).IsZero() }) {
		x.found("another account's order arrives at a webhook of a key without events:read (create %d, redirect %d)", a.status, redirect.status)
	}
	x.want(http.StatusNoContent, x.again(admin), "DELETE", "/v1/api-keys/"+id, nil)
	x.pause(1200 * time.Millisecond)
	later := x.order(victim, sku)
	if x.within(2*time.Second, func() bool { return !mine.told(later).IsZero() }) {
		x.found("an order that was placed after the key was revoked arrives, too")
	}
}

func formerAdministratorsWebhooks(x *trial) {
	n := x.fresh()
	former := x.administrator(n)
	r := x.receiver(nil)
	made := 0
	for range 50 {
		if former.send(x, "POST", "/v1/webhooks", fields{"url": r.url, "enabled": false}).status == http.StatusCreated {
			made++
		}
	}
	x.want(http.StatusNoContent, x.root(n), "DELETE", "/v1/users/"+former.id, nil)
	other := x.administrator(n)
	if a := other.send(x, "POST", "/v1/webhooks", fields{"url": r.url}); a.status != http.StatusCreated {
		x.found("after an administrator with %d webhooks was deleted nobody can create one: %s", made, a.text("code"))
	}
}
