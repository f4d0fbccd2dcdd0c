package orderflow

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// Credentials authenticate requests. They are made with [APIKey], [AccessToken], [Login],
// [LoginWithCode], [Refresh] or [Anonymous].
type Credentials interface {
	// token returns the bearer token for the next request, or "" for none. refused is the token
	// that the server has just rejected, or "".
	token(ctx context.Context, c *Client, refused string) (string, error)
}

// Anonymous sends no credentials.
func Anonymous() Credentials { return static("") }

// APIKey authenticates with an API key, which begins with ofk_. Keys are created with
// CreateAPIKeyWithResponse by a client that is logged in.
func APIKey(key string) Credentials { return static(key) }

// AccessToken authenticates with the access token of a session. It expires after minutes and is not
// renewed.
func AccessToken(token string) Credentials { return static(token) }

type static string

func (s static) token(context.Context, *Client, string) (string, error) { return string(s), nil }

// Login logs in with an address and a password before the first request, refreshes the session in
// time, and logs in again when it has ended. Calls that find the password wrong return a [*Problem]
// with the code invalid-credentials.
func Login(email, password string) Credentials {
	return LoginWithCode(email, password, nil)
}

// LoginWithCode is [Login] for an account with a second factor: code returns the code that is
// valid now. It is called for every login.
func LoginWithCode(email, password string, code func(context.Context) (string, error)) Credentials {
	return &session{email: email, password: password, code: code}
}

// Refresh continues a session of which the program has stored the refresh token. Each refresh token
// can be used once, so store is called with the next one before it is used; an error of store is
// the error of the call. A process must not share its session with another one.
func Refresh(token string, store func(ctx context.Context, token string) error) Credentials {
	return &session{refresh: token, store: store}
}

// session holds the tokens of a session. Concurrent requests wait for one refresh.
type session struct {
	email, password string
	code            func(context.Context) (string, error)
	store           func(context.Context, string) error

	lock    chan struct{} // made by once; a mutex that a context can stop waiting for
	once    sync.Once
	access  string
	refresh string
	renewAt time.Time
}

func (s *session) token(ctx context.Context, c *Client, refused string) (string, error) {
	s.once.Do(func() { s.lock = make(chan struct{}, 1) })
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if s.access != "" && s.access != refused && time.Now().Before(s.renewAt) {
		return s.access, nil
	}
	tokens, err := s.renew(ctx, c)
	if err != nil {
		return "", err
	}
	s.access, s.refresh = tokens.AccessToken, tokens.RefreshToken
	life := time.Duration(tokens.ExpiresIn) * time.Second
	s.renewAt = time.Now().Add(life - min(time.Minute, life/10)) // before it expires on the way
	if s.store != nil {
		if err := s.store(ctx, s.refresh); err != nil {
			s.access = "" // the next call tries again
			return "", err
		}
	}
	return s.access, nil
}

// renew refreshes the session. If that is refused and there is a password, it logs in.
func (s *session) renew(ctx context.Context, c *Client) (*api.Tokens, error) {
	public, err := api.NewClientWithResponses(c.base.String(), api.WithHTTPClient(doer{c, Anonymous()}))
	if err != nil {
		return nil, err
	}
	if s.refresh != "" {
		res, err := public.RefreshWithResponse(ctx, api.RefreshRequest{RefreshToken: s.refresh})
		if err == nil {
			return res.JSON200, nil
		}
		if !IsStatus(err, http.StatusUnauthorized) || s.password == "" {
			return nil, err
		}
	}
	request := api.LoginRequest{Email: s.email, Password: s.password}
	if s.code != nil {
		code, err := s.code(ctx)
		if err != nil {
			return nil, err
		}
		request.Code = &code
	}
	res, err := public.LoginWithResponse(ctx, request)
	if err != nil {
		return nil, err
	}
	if res.JSON200 == nil {
		return nil, errors.New("orderflow: the server's response to the login is not JSON")
	}
	return res.JSON200, nil
}
