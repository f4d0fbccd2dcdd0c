package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// raw is what goes over a connection, and what must come back.
type raw struct {
	name, sent string
	want       []int // the statuses of the answers, in their order; 0 is any refusal
	open       bool  // the connection may go on: the framing was in no doubt
	hangUp     bool  // the client closes its half after that
}

const (
	hostLine = "Host: x\r\n"
	jsonLine = "Content-Type: application/json\r\n"
	next     = "GET /v1/products HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"
	login    = "POST /v1/auth/login HTTP/1.1\r\n" + hostLine + jsonLine
)

var raws = []raw{
	// RFC 9112 section 6.3, ASVS 5.0 4.2.1: where a message ends must not be a matter of opinion.
	{name: "length and chunked", sent: login + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "chunked and length", sent: login + "Transfer-Encoding: chunked\r\nContent-Length: 200\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "two lengths", sent: login + "Content-Length: 2\r\nContent-Length: 100\r\n\r\n{}" + next, want: []int{400}},
	{name: "the same length twice", sent: login + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + next, want: []int{400}},
	{name: "a list of lengths", sent: login + "Content-Length: 2, 2\r\n\r\n{}" + next, want: []int{400}},
	{name: "length below zero", sent: login + "Content-Length: -1\r\n\r\n{}" + next, want: []int{400}},
	{name: "length with a sign", sent: login + "Content-Length: +2\r\n\r\n{}" + next, want: []int{400}},
	{name: "length in hexadecimal", sent: login + "Content-Length: 0x2\r\n\r\n{}" + next, want: []int{400}},
	{name: "length beyond int64", sent: login + "Content-Length: 18446744073709551618\r\n\r\n{}" + next, want: []int{400}},
	{name: "length of nothing", sent: login + "Content-Length:\r\n\r\n{}" + next, want: []int{400}},
	{name: "huge length", sent: login + "Content-Length: 999999999999\r\n\r\n{}", want: []int{413}},
	{name: "two codings", sent: login + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "coding behind chunked", sent: login + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "coding before chunked", sent: login + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "coding with a tab", sent: login + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + next, want: []int{400, 200}, open: true},
	{name: "coding with a vertical tab", sent: login + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "unknown coding", sent: login + "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}" + next, want: []int{400}},
	{name: "identity and length", sent: login + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}" + next, want: []int{422}},
	{name: "chunked in 1.0", sent: "POST /v1/auth/login HTTP/1.0\r\n" + hostLine + jsonLine + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "space before the colon", sent: login + "Content-Length : 2\r\n\r\n{}" + next, want: []int{400}},
	{name: "space before the name", sent: "GET /v1/products HTTP/1.1\r\n Content-Length: 2\r\n" + hostLine + "\r\n{}" + next, want: []int{400}},
	{name: "name with an underscore", sent: login + "Content_Length: 2\r\n\r\n" + next, want: []int{400, 200}, open: true},

	// RFC 9112 section 7.1: chunks.
	{name: "chunks", sent: login + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n" + next, want: []int{422, 200}, open: true},
	{name: "size of no number", sent: login + "Transfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "size below zero", sent: login + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "size with 0x", sent: login + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "size that overflows", sent: login + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "huge size", sent: login + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{}", want: []int{0}},
	{name: "size too small", sent: login + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "size with a bare line feed", sent: login + "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "extension", sent: login + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n" + next, want: []int{422, 200}, open: true},
	{name: "extension with a bare line feed", sent: login + "Transfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n" + next, want: []int{400}},
	{name: "long extension", sent: login + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("a", 100<<10) + "\r\n{}\r\n0\r\n\r\n" + next, want: []int{422, 200}, open: true},
	{name: "trailer", sent: login + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n" + next, want: []int{422, 200}, open: true},
	{name: "trailer of framing", sent: login + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 200\r\n\r\n" + next, want: []int{400}},
	{name: "endless trailer", sent: login + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + strings.Repeat("X: y\r\n", 50_000), want: []int{0}},

	// RFC 9112 sections 2.2, 3.2 and 5: lines.
	{name: "two hosts", sent: "GET /v1/products HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + next, want: []int{400}},
	{name: "no host", sent: "GET /v1/products HTTP/1.1\r\n\r\n" + next, want: []int{400}},
	{name: "bad host", sent: "GET /v1/products HTTP/1.1\r\nHost: x/y@z\r\n\r\n" + next, want: []int{400}},
	{name: "bare carriage return in a value", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + "A: b\rC: d\r\n\r\n" + next, want: []int{400}},
	{name: "bare carriage return as the end", sent: "GET /v1/products HTTP/1.1\rHost: x\r\r", want: []int{400}, hangUp: true},
	{name: "folded", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + "A: b\r\n c\r\n\r\n" + next, want: []int{200, 200}, open: true},
	{name: "folded length", sent: login + "Content-Length:\r\n 2\r\n\r\n{}" + next, want: []int{422, 200}, open: true},
	{name: "folded length of two", sent: login + "Content-Length: 2\r\n 2\r\n\r\n{}" + next, want: []int{400}},
	{name: "folded coding", sent: login + "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + next, want: []int{422, 200}, open: true},
	{name: "NUL in a value", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + "A: b\x00c\r\n\r\n" + next, want: []int{400}},
	{name: "NUL in a name", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + "A\x00: b\r\n\r\n" + next, want: []int{400}},
	{name: "no name", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + ": b\r\n\r\n" + next, want: []int{400}},
	{name: "no colon", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + "a\r\n\r\n" + next, want: []int{400}},
	{name: "huge header", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + "A: " + strings.Repeat("b", 64<<10) + "\r\n\r\n", want: []int{431}},
	{name: "many headers", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + strings.Repeat("A: b\r\n", 20_000) + "\r\n", want: []int{431}},
	{name: "long target", sent: "GET /v1/products?q=" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{431}},
	{name: "NUL in the target", sent: "GET /v1/products\x00 HTTP/1.1\r\n" + hostLine + "\r\n" + next, want: []int{400}},
	{name: "space in the target", sent: "GET /v1/products x HTTP/1.1\r\n" + hostLine + "\r\n" + next, want: []int{400}},
	{name: "empty lines before", sent: "\r\n\r\n" + next, want: []int{200}, open: true},

	// RFC 9112 section 3.2 and RFC 9110 section 9: targets, methods, versions.
	{name: "absolute target", sent: "GET http://elsewhere/v1/products HTTP/1.1\r\n" + hostLine + "\r\n" + next, want: []int{200, 200}, open: true},
	{name: "target of another scheme", sent: "GET file:///etc/passwd HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{0}, open: true},
	{name: "no slash", sent: "GET v1/products HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{0}, open: true},
	{name: "a fragment", sent: "GET /v1/products#x HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{200}, open: true},
	{name: "dots", sent: "GET /v1/../v1/users HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{404}, open: true},
	{name: "slashes", sent: "GET //v1/users HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{404}, open: true},
	{name: "options of all", sent: "OPTIONS * HTTP/1.1\r\n" + hostLine + "\r\n" + next, want: []int{0, 200}, open: true},
	{name: "connect", sent: "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" + next, want: []int{0, 200}, open: true},
	{name: "connect somewhere here", sent: "CONNECT /v1/products HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{0}, open: true},
	{name: "trace", sent: "TRACE /v1/products HTTP/1.1\r\n" + hostLine + "Authorization: Bearer secret\r\n\r\n", want: []int{405}, open: true},
	{name: "small letters", sent: "get /v1/products HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{405}, open: true},
	{name: "unknown method", sent: "BREW /v1/products HTTP/1.1\r\n" + hostLine + "\r\n" + next, want: []int{405, 200}, open: true},
	{name: "no method", sent: "G(T /v1/products HTTP/1.1\r\n" + hostLine + "\r\n" + next, want: []int{400}},
	{name: "long method", sent: strings.Repeat("A", 8000) + " /v1/products HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{405}, open: true},
	{name: "0.9", sent: "GET /v1/products\r\n", want: []int{400}},
	{name: "1.0", sent: "GET /v1/products HTTP/1.0\r\n\r\n" + next, want: []int{200}},
	{name: "1.2", sent: "GET /v1/products HTTP/1.2\r\n" + hostLine + "\r\n" + next, want: []int{200}},
	{name: "2.0", sent: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", want: []int{0}},
	{name: "no version", sent: "GET /v1/products HTTQ/1.1\r\n" + hostLine + "\r\n" + next, want: []int{400}},
	{name: "TLS", sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 64) + "\r\n\r\n", want: []int{400}},
	{name: "noise", sent: strings.Repeat("\xde\xad\xbe\xef", 8<<10), want: []int{0}},

	// Bodies that do not come, and what hides in them.
	{name: "half a body, then gone", sent: login + "Content-Length: 100\r\n\r\n{\"email\":", want: []int{400}, hangUp: true},
	{name: "half a chunk, then gone", sent: login + "Transfer-Encoding: chunked\r\n\r\n64\r\n{\"email\":", want: []int{400}, hangUp: true},
	{name: "half a head, then gone", sent: "GET /v1/products HTTP/1.1\r\nHo", want: []int{400}, hangUp: true},
	{name: "a body for a GET", sent: "GET /v1/products HTTP/1.1\r\n" + hostLine + jsonLine + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(next), next), want: []int{200}, open: true},
	{name: "a request as a body", sent: login + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(next), next), want: []int{400}, open: true},
	{name: "more than the body", sent: login + "Content-Length: 2\r\n\r\n{}garbage\r\n\r\n" + next, want: []int{422, 400}},
	{name: "something else expected", sent: login + "Expect: miracles\r\nContent-Length: 2\r\n\r\n{}" + next, want: []int{0, 200}, open: true},
	{name: "pipelined behind a refusal", sent: "GET /v1/users/me HTTP/1.1\r\n" + hostLine + "Authorization: Bearer x\r\n\r\n" + next + "GET /v1/users/me HTTP/1.1\r\n" + hostLine + "\r\n", want: []int{401, 200, 401}, open: true},
}

// SPEC R4; ASVS 5.0 4.1.4, 4.2.1, 4.2.5; RFC 9112: what is no HTTP, or
// HTTP that two programs may read in two ways, is refused, and the connection closed
// where it is not clear what comes next on it.
func TestRawHTTP(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	addr := strings.TrimPrefix(s.base, "http://")
	for _, row := range raws {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.check(t, exchange(t, addr, row))
		})
	}
	t.Cleanup(func() { s.anonymous().want(200, "GET", "/v1/products", "") })
}

// exchanged is what came back.
type exchanged struct {
	answers []*http.Response
	bodies  []string
	closed  bool
}

// marker is answered behind all that was sent before.
const marker = "GET /livez HTTP/1.1\r\n" + hostLine + "X-Request-Id: behind-it-all\r\n\r\n"

// exchange sends and reads until the server closes, or has answered the marker.
func exchange(t *testing.T, addr string, row raw) (got exchanged) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, row.sent) // the server may have closed by then
	if row.hangUp {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	r := bufio.NewReader(conn)
	for {
		if row.open && len(got.answers) == len(row.want) {
			_, _ = io.WriteString(conn, marker) // its answer comes next, unless there was one too many
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			got.closed = !errors.Is(err, os.ErrDeadlineExceeded)
			return got
		}
		if res.Header.Get("X-Client-Request-Id") == "behind-it-all" {
			return got
		}
		body, _ := io.ReadAll(res.Body)
		got.answers, got.bodies = append(got.answers, res), append(got.bodies, string(body))
	}
}

func (row raw) check(t *testing.T, got exchanged) {
	t.Helper()
	var statuses []int
	for i, res := range got.answers {
		statuses = append(statuses, res.StatusCode)
		if res.StatusCode >= 500 {
			t.Errorf("a server's fault: %d %s", res.StatusCode, got.bodies[i])
		}
		if res.StatusCode >= 400 && (res.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(got.bodies[i], "secret")) {
			t.Errorf("not a problem document of ours: %v %s", res.Header, got.bodies[i])
		}
		if !isSecured(answer{header: res.Header}) {
			t.Errorf("without the headers of security: %v", res.Header)
		}
	}
	fits := slices.EqualFunc(statuses, row.want, func(status, want int) bool { return status == want || want == 0 && status >= 400 })
	if !fits || !row.open && !got.closed {
		t.Errorf("want %v, got %v, closed %v\n%.500s", row.want, statuses, got.closed, strings.Join(got.bodies, "\n"))
	}
}
