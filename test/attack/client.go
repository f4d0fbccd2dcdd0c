package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
)

// patience is the timeout of a request, which is longer than that of any route.
const patience = 40 * time.Second

const userPassword = "an otter in a quiet teapot" //nolint:gosec // of accounts that live for minutes

// caller is a client with its own network address and, once it is logged in, its own account.
type caller struct {
	*node
	http           *http.Client
	at             string // base URL of the requests, if it is not that of the server
	from           net.IP // nil for the address of the machine
	token, refresh string
	mail, id, pass string
}

// caller returns an unauthenticated client of the server with a new address.
func (x *trial) caller(n *node) *caller { return x.callerFrom(n, x.address()) }

func (x *trial) callerFrom(n *node, from net.IP) *caller {
	c := &caller{node: n, from: from}
	c.http = &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{DialContext: c.dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	x.atEnd(c.http.CloseIdleConnections)
	return c
}

// dial opens a connection from the address of the caller.
func (c *caller) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if c.from != nil {
		d.LocalAddr = &net.TCPAddr{IP: c.from}
	}
	return d.DialContext(ctx, network, address)
}

// connect opens a plain connection to the server, over TLS if the server is behind it.
func (c *caller) connect(ctx context.Context) (net.Conn, error) {
	if rest, ok := strings.CutPrefix(c.base, "https://"); ok {
		if !strings.Contains(rest, ":") {
			rest += ":443"
		}
		return (&tls.Dialer{}).DialContext(ctx, "tcp", rest)
	}
	host := c.host
	if !strings.Contains(host, ":") {
		host += ":80"
	}
	return c.dial(ctx, "tcp", host)
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	raw    []byte
	took   time.Duration
	err    error // of the connection; status is 0 then
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %.300s", a.status, a.raw)
}

// text returns a member of a JSON body by its path, such as data.0.id; "" if it is absent.
func (a answer) text(path string) string {
	var v any
	if json.Unmarshal(a.raw, &v) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(in) {
				return ""
			}
			v = in[i]
		default:
			return ""
		}
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// send makes a request. body is nil, a string, or a value that is written as JSON; a header is
// "Name: value", and one without a value removes it.
func (c *caller) send(ctx context.Context, method, path string, body any, headers ...string) answer {
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	case []byte:
		raw = b
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			return answer{err: err}
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, cmp.Or(c.at, c.base)+path, bytes.NewReader(raw))
	if err != nil {
		return answer{err: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		if req.Header.Del(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	began := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	a.raw, a.err = io.ReadAll(res.Body)
	a.took = time.Since(began)
	return a
}

// want makes a request whose status must be as given; otherwise the attack ends as not carried out.
func (x *trial) want(status int, c *caller, method, path string, body any, headers ...string) answer {
	a := c.send(x, method, path, body, headers...)
	for range 20 { // a limit or a full queue delays a preparation, it does not end it
		if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable || status == a.status {
			break
		}
		wait, _ := strconv.Atoi(a.header.Get("Retry-After"))
		x.pause(min(max(time.Duration(wait)*time.Second, 200*time.Millisecond), 5*time.Second))
		a = c.send(x, method, path, body, headers...)
	}
	if a.status != status {
		x.fatal("%s %s must be %d and is %s", method, path, status, a)
	}
	return a
}

// user registers an account and logs in.
func (x *trial) user(n *node) *caller {
	c := x.caller(n)
	c.mail, c.pass = "u"+strings.ToLower(uuid.NewString())+"@attack.example", userPassword
	x.want(http.StatusCreated, c, "POST", "/v1/auth/register", map[string]any{"email": c.mail, "password": c.pass})
	x.logIn(c)
	c.id = x.want(http.StatusOK, c, "GET", "/v1/users/me", nil).text("id")
	return c
}

// logIn begins a session of the caller's account.
func (x *trial) logIn(c *caller) {
	c.token = ""
	a := x.want(http.StatusOK, c, "POST", "/v1/auth/login", map[string]any{"email": c.mail, "password": c.pass})
	c.token, c.refresh = a.text("accessToken"), a.text("refreshToken")
}

// again is the same account with a further session, from another address.
func (x *trial) again(c *caller) *caller {
	d := x.caller(c.node)
	d.mail, d.pass, d.id = c.mail, c.pass, c.id
	x.logIn(d)
	return d
}

// root returns a client of the server's administrator. An initial password that must be changed is
// changed.
func (x *trial) root(n *node) *caller {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.root == nil {
		if n.password == "" {
			x.skip("needs -admin-email and -admin-password-file")
		}
		c := &caller{node: n, from: x.address(), mail: n.email, pass: n.password}
		c.http = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: c.dial, MaxIdleConnsPerHost: 64}}
		x.logIn(c)
		if a := c.send(x, "GET", "/v1/users?limit=1", nil); a.status == http.StatusForbidden && strings.HasPrefix(a.text("code"), "password-change") {
			next := secret()[:40]
			b := x.want(http.StatusOK, c, "POST", "/v1/auth/password", map[string]any{"currentPassword": c.pass, "newPassword": next})
			c.pass, n.password = next, next
			if c.token = b.text("accessToken"); c.token == "" {
				x.logIn(c)
			}
		}
		n.root = c
	}
	c := *n.root
	if time.Since(tokenTime(c.token)) > 2*time.Minute { // keep it young: some routes want a recent password
		x.logIn(&c)
		n.root = &c
	}
	return &c
}

// administrator makes a new account an administrator.
func (x *trial) administrator(n *node) *caller {
	c := x.user(n)
	x.want(http.StatusOK, x.root(n), "PATCH", "/v1/users/"+c.id, map[string]any{"role": "admin"})
	x.logIn(c)
	return c
}

// product creates a product and returns its sku. A stock below zero is untracked.
func (x *trial) product(n *node, stock int) string {
	sku := "ATTACK-" + strings.ToUpper(uuid.NewString()[:13])
	p := map[string]any{"sku": sku, "name": "Kettle", "unitPrice": map[string]any{"amount": 1000, "currency": "EUR"}}
	if stock >= 0 {
		p["stock"] = stock
	}
	x.want(http.StatusCreated, x.root(n), "POST", "/v1/products", p)
	return sku
}

const otherPassword = "a loud red evening" //nolint:gosec // see userPassword

type fields map[string]any

// with adds names and values, which take turns.
func (f fields) with(more []any) fields {
	for pair := range slices.Chunk(more, 2) {
		f[pair[0].(string)] = pair[1]
	}
	return f
}

// orderOf is the body of an order with one line.
func orderOf(sku string, more ...any) fields {
	return fields{"items": []fields{{"sku": sku, "quantity": 1}}}.with(more)
}

// order places an order and returns its id.
func (x *trial) order(c *caller, sku string, more ...any) string {
	return x.want(http.StatusCreated, c, "POST", "/v1/orders", orderOf(sku, more...)).text("id")
}

// stream opens a request that lasts. The caller reads and closes the body.
func (c *caller) stream(ctx context.Context, path string, buffer int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	// Compressed, an export could be in the buffers between both sides as a whole.
	way := &http.Transport{DisableCompression: true, DisableKeepAlives: true, ReadBufferSize: 4 << 10, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dial(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil && buffer > 0 {
			err = tcp.SetReadBuffer(buffer)
		}
		return conn, err
	}}
	return way.RoundTrip(req)
}

// socket opens a WebSocket and returns the status of the handshake, which is 101 if it was opened.
func (c *caller) socket(ctx context.Context, query string, headers ...string) (*websocket.Conn, int, error) {
	d := websocket.Dialer{HandshakeTimeout: patience, NetDialContext: c.dial, ReadBufferSize: 4 << 10, WriteBufferSize: 1 << 10}
	h := http.Header{}
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	conn, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(c.base, "http")+"/v1/events/ws"+query, h)
	status := 0
	if res != nil {
		status = res.StatusCode
		if err != nil {
			_ = res.Body.Close()
		}
	}
	return conn, status, err
}
