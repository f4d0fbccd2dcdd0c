package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

// patience is the timeout of a client, which is longer than that of any route.
const patience = 15 * time.Second

// refusal is a response with a status other than 2xx.
type refusal struct {
	route  string
	status int
	body   string
}

func (r *refusal) kind() string  { return fmt.Sprintf("%s answered %d", r.route, r.status) }
func (r *refusal) Error() string { return r.kind() + ": " + r.body }

// client has a limited number of connections to the server. It never repeats a request, so that
// every failure is counted.
func (s *server) client(conns int) *fasthttp.HostClient {
	return &fasthttp.HostClient{
		Addr: s.host, MaxConns: conns, MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true,
		ReadTimeout: patience, WriteTimeout: patience, MaxIdleConnDuration: time.Minute,
	}
}

// exchange is a request that is sent repeatedly, and its response.
type exchange struct {
	client *fasthttp.HostClient
	route  string // for reports of failures
	req    *fasthttp.Request
	res    *fasthttp.Response
}

func (s *server) exchange(c *fasthttp.HostClient, method, path, token string) *exchange {
	x := &exchange{client: c, route: method + " " + path, req: &fasthttp.Request{}, res: &fasthttp.Response{}}
	x.req.SetRequestURI("http://" + s.host + path)
	x.req.Header.SetMethod(method)
	if token != "" {
		x.req.Header.Set("Authorization", "Bearer "+token)
	}
	return x
}

func (x *exchange) do() error {
	if err := x.client.Do(x.req, x.res); err != nil {
		return fmt.Errorf("%s: %w", x.route, err)
	}
	if code := x.res.StatusCode(); code < 200 || code > 299 {
		return &refusal{x.route, code, string(x.res.Body())}
	}
	return nil
}

// call sends one JSON request that is not measured.
func (s *server) call(method, path, token string, in, out any) error {
	x := s.exchange(s.setup, method, path, token)
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		x.req.Header.SetContentType("application/json")
		x.req.SetBody(raw)
	}
	if err := x.do(); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(x.res.Body(), out)
}
