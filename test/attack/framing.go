package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// framingAttacks are those on the parsing of messages.
func framingAttacks() []attack {
	return []attack{
		{name: "request-smuggling", refs: "CWE-444; ASVS 4.2.1", does: "Hides a second request behind a body whose end is ambiguous.", do: smuggling},
		{name: "compressed-bodies", refs: "CWE-409; ASVS 5.2.3", does: "Sends 16 MiB of compressed white space in several codings.", do: compressedBodies},
		{name: "odd-documents", refs: "CWE-20; ASVS 2.2.1; SPEC R4", need: writes, does: "Sends JSON with huge numbers, depth, duplicates, lone surrogates, NUL and __proto__, and expects no 5xx.", do: oddDocuments},
		{name: "odd-parameters", refs: "CWE-20; ASVS 2.2.1; SPEC R4", need: writes, does: "Sends queries, paths and cursors of other forms, and expects no 5xx.", do: oddParameters},
		{name: "slow-clients", refs: "CWE-400; ASVS 15.2.2", need: writes, slow: true, does: "Opens 1,000 connections that send a header, a body or nothing, one byte at a time.", do: slowClients},
	}
}

// exchange sends raw bytes and returns the head of the first response; its status is 0 if the connection was closed
// instead.
func (x *trial) exchange(c *caller, text string) answer {
	conn, err := c.connect(x)
	x.must(err, "connect")
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	_, _ = io.WriteString(conn, text) // the server may have closed it already
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{err: err}
	}
	_ = res.Body.Close()
	return answer{status: res.StatusCode, header: res.Header}
}

// smuggling counts responses: a hidden request is answered with one more.
func smuggling(x *trial) {
	c := x.caller(x.server())
	const post = "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	const hidden = "GET /v1/products HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"
	messages := map[string]string{
		"length and chunked":         post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":                post + "Content-Length: 2\r\nContent-Length: 100\r\n\r\n{}",
		"a list of lengths":          post + "Content-Length: 2, 2\r\n\r\n{}",
		"length with a sign":         post + "Content-Length: +2\r\n\r\n{}",
		"length in hexadecimal":      post + "Content-Length: 0x2\r\n\r\n{}",
		"chunked behind gzip":        post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"unknown coding":             post + "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}",
		"chunked in HTTP/1.0":        strings.Replace(post, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before the colon":     post + "Content-Length : 2\r\n\r\n{}",
		"chunk size that overflows":  post + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
		"chunk size with 0x":         post + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
		"chunk with a line feed":     post + "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
		"framing in the trailer":     post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 200\r\n\r\n",
		"refused body with the rest": "POST /v1/orders/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n{}",
		"refused chunk":              "POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7fffff\r\n{}",
	}
	for name, text := range messages {
		if answers := x.answers(c, text+hidden); answers > 1 {
			x.found("%s: %d responses to one message", name, answers)
		}
	}
	x.figure("%d messages", len(messages))
}

// answers counts the responses until the server closes the connection or is silent for a second.
func (x *trial) answers(c *caller, text string) (n int) {
	conn, err := c.connect(x)
	x.must(err, "connect")
	defer conn.Close()
	_, _ = io.WriteString(conn, text)
	in := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return n
		}
		n++
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

func compressedBodies(x *trial) {
	c := x.caller(x.server())
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))
	_ = w.Close()
	for _, coding := range []string{"gzip", "GZIP", "x-gzip", "br", "deflate", "zstd", "identity, gzip", "gzip, gzip"} {
		for _, path := range []string{"/v1/auth/login", "/v1/auth/register"} {
			if a := c.send(x, "POST", path, packed.Bytes(), "Content-Encoding: "+coding); a.status != http.StatusUnsupportedMediaType && a.status != http.StatusBadRequest && a.status != http.StatusTooManyRequests {
				x.found("%s at %s is %s", coding, path, a)
			}
		}
	}
}

func oddDocuments(x *trial) {
	n := x.server()
	sku := x.product(n, -1)
	values := map[string]string{
		"1e400": "1e400", "15,000 digits": strings.Repeat("9", 15_000), "2^63": "9223372036854775808", "-0": "-0", "1e0": "1e0", "0.1": "0.1", "NaN": "NaN",
		"depth": strings.Repeat("[", 100_000), "text": `"x"`, "null": "null", "lone surrogate": `"\ud800"`, "NUL": `"\u0000"`, "not UTF-8": "\"\xff\"", "object": `{"__proto__":{"role":"admin"}}`,
	}
	requests := 0
	c := x.user(n)
	for name, v := range values {
		for _, body := range []string{
			`{"items":[{"sku":"` + sku + `","quantity":` + v + `}]}`,
			`{"items":[{"sku":"` + sku + `","quantity":1}],"metadata":{"a":` + v + `}}`,
			`{"items":[{"sku":"` + sku + `","quantity":1}],"note":` + v + `}`,
			`{"items":[{"sku":` + v + `,"quantity":1}]}`,
			`{"items":` + v + `}`,
			`{"items":[{"sku":"` + sku + `","quantity":1}],"role":` + v + `,"userId":` + v + `,"total":` + v + `}`,
			`{"items":[{"sku":"` + sku + `","quantity":1}],"items":` + v + `}`,
			v,
		} {
			requests += 2
			for _, path := range []string{"/v1/orders", "/v1/orders/bulk"} {
				text := body
				if path != "/v1/orders" {
					text = `{"orders":[` + body + `]}`
				}
				if a := c.send(x, "POST", path, text); a.status >= 500 && a.status != http.StatusServiceUnavailable || a.status == 0 {
					x.found("%s at %s: %s", name, path, a)
				}
			}
		}
	}
	x.figure("%d requests", requests)
}

func oddParameters(x *trial) {
	n := x.server()
	c := x.user(n)
	requests := 0
	for _, path := range []string{
		"/v1/orders?q=", "/v1/orders?status=", "/v1/orders?createdFrom=", "/v1/orders?limit=", "/v1/orders?after=", "/v1/orders?cursor=", "/v1/orders?userId=",
		"/v1/events?after=", "/v1/events?limit=", "/v1/events?types=", "/v1/events?orderId=", "/v1/products/", "/v1/products?q=", "/v1/orders/", "/v1/notifications?after=", "/v1/orders/export?format=", "/v1/webhooks/",
	} {
		for _, v := range []string{"%00", "%ff", "%25_%26%7C%21%5C%22", "-1", "99999999999999999999", "1e3", "%F0%9F%98%80", strings.Repeat("%C3%9F", 200), "'%3Bselect+pg_sleep(5)--", "..%2f..%2fetc%2fpasswd", "%7B%7B7*7%7D%7D", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999%2B23:59"} {
			requests++
			a := c.send(x, "GET", path+v, nil)
			if a.status >= 500 && a.status != http.StatusServiceUnavailable || a.status == 0 {
				x.found("%s%s: %s", path, v, a)
			}
			if a.took > 4*time.Second {
				x.found("%s%s took %s", path, v, short(a.took))
			}
		}
	}
	x.figure("%d requests", requests)
}

func slowClients(x *trial) {
	n := x.fresh()
	user := x.user(n)
	const many = 1000
	conns := make([]net.Conn, 0, many)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	c := x.caller(n)
	heads := []string{"", "P", "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\n", "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"}
	for i := range many {
		conn, err := c.connect(x)
		x.must(err, "connect")
		conns = append(conns, conn)
		_, _ = io.WriteString(conn, heads[i%len(heads)])
	}
	began := time.Now()
	served := x.latencies(lasting(2*time.Second), 50*time.Millisecond, func() error {
		if a := user.send(x, "GET", "/v1/orders", nil); a.status != http.StatusOK {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	x.figure("others' reads meanwhile: p95 %s of %d, %d failed", short(percentile(served.took, 0.95)), len(served.took), served.failures)
	if served.failures > 0 || percentile(served.took, 0.95) > time.Second {
		x.found("others are not served while %d connections are slow", many)
	}
	for time.Since(began) < 11*time.Second { // one byte a second each
		x.pause(time.Second)
		for _, conn := range conns {
			_, _ = io.WriteString(conn, "x")
		}
	}
	open := 0
	for i, conn := range conns {
		if i%len(heads) < 2 {
			continue // an idle connection may stay for a while
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				open++
			}
		}
	}
	x.figure("%d of %d that began a message are open after %s", open, many*4/6, short(time.Since(began)))
	if open > many/10 {
		x.found("%d slow messages are still awaited after %s", open, short(time.Since(began)))
	}
}
