package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// person is a user with an account.
type person struct {
	*lab
	email string
	id    string
	via   *node // the node for all requests; any node when nil

	mu    sync.Mutex
	token string
	since time.Time
}

// tokens live for 15 minutes.
const renewAfter = 8 * time.Minute

var errOver = errors.New("the run was ended before its end")

func body(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // the literals of this program always marshal
	}
	return raw
}

func (l *lab) register(ctx context.Context, name string) (*person, error) {
	p := &person{lab: l, email: name + "@chaos.example"}
	for {
		a, err := l.send(l.anyAPI(rand.IntN), "", &request{
			method: http.MethodPost, path: "/v1/auth/register", body: body(map[string]any{"email": p.email, "password": password}),
		})
		switch {
		case err == nil && (a.status == http.StatusCreated || a.code() == "email-taken"): // an earlier attempt may have succeeded
			return p, p.login(ctx)
		case err == nil && a.final():
			return nil, fmt.Errorf("register %s: %s", name, a)
		}
		if !pause(ctx, 200*time.Millisecond) {
			return nil, errOver
		}
	}
}

func (l *lab) admin(ctx context.Context) (*person, error) {
	p := &person{lab: l, email: adminEmail}
	return p, p.login(ctx)
}

func (p *person) node() *node {
	if p.via != nil {
		return p.via
	}
	return p.anyAPI(rand.IntN) // the choice of the node does not depend on the seed
}

// login requests a token, and retries after every error until ctx ends.
func (p *person) login(ctx context.Context) error {
	for {
		a, err := p.send(p.node(), "", &request{
			method: http.MethodPost, path: "/v1/auth/login", body: body(map[string]any{"email": p.email, "password": password}),
		})
		switch {
		case err == nil && a.ok():
			var out struct{ AccessToken string }
			if err := a.into(&out); err != nil {
				return err
			}
			p.mu.Lock()
			p.token, p.since = out.AccessToken, time.Now()
			p.mu.Unlock()
			return p.whoami(ctx)
		case err == nil && a.final():
			return fmt.Errorf("log in %s: %s", p.email, a)
		case err == nil && a.status == http.StatusUnauthorized:
			p.breaches.add("401", "%s may not log in with the right password: %s", p.email, a)
		}
		if !pause(ctx, 200*time.Millisecond) {
			return errOver
		}
	}
}

func (p *person) whoami(ctx context.Context) error {
	if p.id != "" {
		return nil
	}
	a := p.settle(ctx, &request{method: http.MethodGet, path: "/v1/users/me"})
	if a == nil {
		return errOver
	}
	var me struct{ ID string }
	err := a.into(&me)
	p.id = me.ID
	return err
}

// bearer returns a token that does not expire soon.
func (p *person) bearer(ctx context.Context) (token string, err error) {
	p.mu.Lock()
	token, since := p.token, p.since
	p.mu.Unlock()
	if time.Since(since) < renewAfter {
		return token, nil
	}
	if err := p.login(ctx); err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token, nil
}

// ask sends the request once.
func (p *person) ask(ctx context.Context, r *request) (*answer, error) {
	token, err := p.bearer(ctx)
	if err != nil {
		return nil, err
	}
	a, err := p.send(p.node(), token, r)
	if err == nil && a.status == http.StatusUnauthorized {
		p.breaches.add("401", "%s %s with a fresh token: %s", r.method, r.path, a)
	}
	return a, err
}

// get decodes the response into v and returns its ETag. absent is true for a 404.
func (p *person) get(ctx context.Context, path string, v any) (etag string, absent bool, err error) {
	a := p.settle(ctx, &request{method: http.MethodGet, path: path})
	switch {
	case a == nil:
		return "", false, errOver
	case a.status == http.StatusNotFound:
		return "", true, nil
	case !a.ok():
		return "", false, fmt.Errorf("GET %s: %s", path, a)
	}
	return a.etag, false, a.into(v)
}
