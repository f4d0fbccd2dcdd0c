package orderflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// authority is a server that issues tokens, which it can make invalid.
type authority struct {
	*httptest.Server
	mu        sync.Mutex
	issued    int
	valid     string // the access token
	refresh   string // the refresh token
	logins    []api.LoginRequest
	refreshes int
	calls     atomic.Int32
}

func issue(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/auth/login", a.login)
	mux.HandleFunc("POST /v1/auth/refresh", a.renew)
	mux.HandleFunc("GET /v1/users/me", a.me)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) login(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	request := decodeBody[api.LoginRequest](r)
	a.logins = append(a.logins, request)
	if request.Password != "right" {
		refuse(w, "invalid-credentials")
		return
	}
	a.tokens(w)
}

func (a *authority) renew(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refreshes++
	if request := decodeBody[api.RefreshRequest](r); request.RefreshToken != a.refresh {
		refuse(w, "invalid-refresh-token")
		return
	}
	a.tokens(w)
}

func (a *authority) tokens(w http.ResponseWriter) {
	a.issued++
	a.valid, a.refresh = fmt.Sprintf("access%d", a.issued), fmt.Sprintf("refresh%d", a.issued)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"accessToken":%q,"refreshToken":%q,"tokenType":"Bearer","expiresIn":900}`, a.valid, a.refresh)
}

func (a *authority) me(w http.ResponseWriter, r *http.Request) {
	a.calls.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+a.valid {
		refuse(w, "token-expired")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{}`)
}

// end makes the tokens invalid.
func (a *authority) end(access, refresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if access {
		a.valid = "none"
	}
	if refresh {
		a.refresh = "none"
	}
}

// counts returns the number of logins and refreshes so far.
func (a *authority) counts() (logins, refreshes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.logins), a.refreshes
}

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, `{"code":%q,"detail":"No."}`, code)
}

func decodeBody[T any](r *http.Request) (v T) {
	_ = json.NewDecoder(r.Body).Decode(&v)
	return v
}

// SPEC G11: a login before the first call, a refresh when the token has ended, another login when
// the session has.
func TestLogin(t *testing.T) {
	t.Parallel()
	a := issue(t)
	c, err := New(a.URL, Login("ann@example.com", "right"))
	if err != nil {
		t.Fatal(err)
	}
	call := func(logins, refreshes int) {
		t.Helper()
		_, err := c.GetMeWithResponse(t.Context())
		if l, r := a.counts(); err != nil || l != logins || r != refreshes {
			t.Errorf("%v, %d logins, %d refreshes; want %d and %d", err, l, r, logins, refreshes)
		}
	}
	call(1, 0)
	call(1, 0)
	a.end(true, false)
	call(1, 1)
	a.end(true, true)
	call(2, 2)
	call(2, 2)
}

// SPEC G11: calls at the same time wait for one refresh: a refresh token is valid once.
func TestOneRefresh(t *testing.T) {
	t.Parallel()
	a := issue(t)
	c, err := New(a.URL, Login("ann@example.com", "right"))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if _, err := c.GetMeWithResponse(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if logins, refreshes := a.counts(); logins != 1 || refreshes != round {
			t.Errorf("round %d: %d logins, %d refreshes", round, logins, refreshes)
		}
		a.end(true, false)
	}
}

// SPEC G11: a wrong password is tried once and is a problem of the call.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	a := issue(t)
	c, err := New(a.URL, LoginWithCode("ann@example.com", "wrong", func(context.Context) (string, error) { return "123456", nil }))
	if err != nil {
		t.Fatal(err)
	}

	_, err = c.GetMeWithResponse(t.Context())

	logins, _ := a.counts()
	if !IsCode(err, "invalid-credentials") || logins != 1 || a.calls.Load() != 0 || !strings.Contains(err.Error(), "log in") {
		t.Errorf("%v after %d logins", err, logins)
	}
	if code := a.logins[0].Code; code == nil || *code != "123456" {
		t.Errorf("code %v", code)
	}
}

// SPEC G11: a stored session stores each new token before it is used, and ends without a password.
func TestRefreshToken(t *testing.T) {
	t.Parallel()
	a := issue(t)
	a.refresh = "stored"
	var stored []string
	c, err := New(a.URL, Refresh("stored", func(_ context.Context, token string) error {
		stored = append(stored, token)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.GetMeWithResponse(t.Context()); err != nil {
			t.Error(err)
		}
		a.end(true, false)
	}
	if strings.Join(stored, " ") != "refresh1 refresh2" {
		t.Errorf("stored %v", stored)
	}
	a.end(true, true)
	_, err = c.GetMeWithResponse(t.Context())
	if logins, _ := a.counts(); !IsCode(err, "invalid-refresh-token") || logins != 0 {
		t.Errorf("%v after %d logins", err, logins)
	}
}

// SPEC G11: a token that cannot be stored is an error of the call.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	a := issue(t)
	a.refresh = "stored"
	broken := errors.New("disk full")
	c, err := New(a.URL, Refresh("stored", func(context.Context, string) error { return broken }))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and is not used by the next call either
		if _, err := c.GetMeWithResponse(t.Context()); !errors.Is(err, broken) || a.calls.Load() != 0 {
			t.Errorf("%v after %d calls", err, a.calls.Load())
		}
	}
}

// SPEC G11: a key that is refused is not sent again.
func TestFixedCredentials(t *testing.T) {
	t.Parallel()
	a := issue(t)
	for _, credentials := range []Credentials{APIKey("ofk_x"), AccessToken("x"), Anonymous()} {
		before := a.calls.Load()
		c, err := New(a.URL, credentials)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetMeWithResponse(t.Context()); !IsStatus(err, 401) || a.calls.Load() != before+1 {
			t.Errorf("%v after %d calls", err, a.calls.Load()-before)
		}
	}
}

// SPEC G11: a server that refuses each token is asked twice, and not for ever.
func TestRenewsOnce(t *testing.T) {
	t.Parallel()
	f := serve(t, reply{status: 401, body: problem("token-expired")}, reply{status: 401, body: problem("token-expired")}, reply{status: 200, body: "{}"})
	renewals := &renewable{}
	c, _ := testClient(t, f, renewals)

	_, err := c.GetMeWithResponse(t.Context())

	if !IsCode(err, "token-expired") || len(f.seen()) != 2 || f.seen()[1].authorization != "Bearer t2" {
		t.Errorf("%v after %+v", err, f.seen())
	}
}
