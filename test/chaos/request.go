package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

// patience is the timeout of a client, which is longer than that of any route.
const patience = 15 * time.Second

// request is a request of a person, which is repeated until it gets a response.
type request struct {
	method, path string
	key          string // Idempotency-Key
	ifMatch      string
	body         []byte
	maybe        bool // an earlier attempt may have taken effect
	tries        int
}

// answer is a response.
type answer struct {
	status   int
	body     []byte
	etag     string
	replayed bool
	retry    string // Retry-After
}

func (a *answer) ok() bool { return a.status >= 200 && a.status <= 299 }

// code returns the code of a problem document.
func (a *answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.body, &p) // other bodies have no code
	return p.Code
}

func (a *answer) into(v any) error { return json.Unmarshal(a.body, v) }

func (a *answer) String() string { return fmt.Sprintf("%d %.400s", a.status, a.body) }

// final reports whether the response ends the repetition. It does not if the outcome is unknown or
// the first attempt is still in progress.
func (a *answer) final() bool {
	switch a.status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusUnauthorized:
		return false
	case http.StatusConflict:
		return a.code() != "idempotency-key-in-use"
	}
	return true
}

// newHTTP returns a client that never repeats a request by itself, so that every failure is visible.
func newHTTP() *fasthttp.Client {
	return &fasthttp.Client{
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true, MaxConnsPerHost: 256,
		ReadTimeout: patience, WriteTimeout: patience, MaxIdleConnDuration: 30 * time.Second,
	}
}

// send sends the request to one node once. An error means that the outcome is unknown.
func (l *lab) send(n *node, token string, r *request) (*answer, error) {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)

	req.SetRequestURI("http://" + n.host + r.path)
	req.Header.SetMethod(r.method)
	for name, value := range map[string]string{"Idempotency-Key": r.key, "If-Match": r.ifMatch} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if r.body != nil {
		req.Header.SetContentType("application/json")
		req.SetBody(r.body)
	}
	if err := l.http.Do(req, res); err != nil {
		return nil, err
	}
	a := &answer{
		status: res.StatusCode(), body: append([]byte(nil), res.Body()...), etag: string(res.Header.Peek("ETag")),
		replayed: string(res.Header.Peek("Idempotency-Replayed")) == "true", retry: string(res.Header.Peek("Retry-After")),
	}
	l.judgeAnswer(n, r, a)
	return a, nil
}

// judgeAnswer records responses that are never allowed.
func (l *lab) judgeAnswer(n *node, r *request, a *answer) {
	l.report.count("answers", 1)
	switch {
	case a.status == http.StatusServiceUnavailable && a.retry == "":
		l.breaches.add("503 without Retry-After", "%s %s at %s: %s", r.method, r.path, n.name, a)
	case a.status == http.StatusServiceUnavailable:
		l.report.count("answers that were 503", 1)
	case a.status >= 500:
		l.breaches.add("5xx", "%s %s at %s: %s", r.method, r.path, n.name, a)
	case a.status == http.StatusTooManyRequests:
		l.breaches.add("429", "%s %s at %s although limits are off", r.method, r.path, n.name)
	}
}

// anyAPI returns a running node, as a load balancer would choose it.
func (l *lab) anyAPI(pick func(n int) int) *node {
	first := pick(len(l.apis))
	for i := range l.apis {
		if n := l.apis[(first+i)%len(l.apis)]; n.isReady() {
			return n
		}
	}
	return l.apis[first]
}

// settle repeats the request until the response is final. It returns nil if ctx ends first: the
// outcome is then unknown.
func (p *person) settle(ctx context.Context, r *request) *answer {
	for {
		r.tries++
		a, err := p.ask(ctx, r)
		if err == nil && a.final() {
			return a
		}
		if err != nil {
			p.report.count("attempts without a response", 1)
		}
		r.maybe = r.maybe || err != nil || a.status == http.StatusServiceUnavailable || a.status == http.StatusConflict
		if !pause(ctx, min(time.Second, time.Duration(r.tries)*50*time.Millisecond)) {
			return nil
		}
	}
}
