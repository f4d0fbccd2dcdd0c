package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/ent"
	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/jsontime"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// Routes registers the module's part of the API.
func (m *Module) Routes(api *web.API) {
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/login", Name: "login", Tag: "Accounts",
		Summary: "Log in", Role: identity.Anyone, Scope: identity.NoKeys, Errors: []int{http.StatusUnauthorized},
		Doc: "An unknown e-mail address and a wrong password both return 401 `invalid-credentials`. If the password is right and the account has a second factor, a request without `code` " +
			"returns 401 `totp-required` and one with a wrong code 401 `invalid-code`, which is limited like a wrong password; after 100 wrong codes in a row 401 `totp-locked`, and only a recovery code is accepted. 503 `busy` if too many logins are in progress.",
		Codes:   []string{"invalid-credentials", "totp-required", "invalid-code", "too-many-attempts"},
		Example: `{"email":"ada@example.com","password":"an otter in a teapot"}`,
	}, m.login)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/refresh", Name: "refresh", Tag: "Accounts",
		Summary: "Exchange a refresh token for a new pair of tokens", Role: identity.Anyone, Scope: identity.NoKeys, Errors: []int{http.StatusUnauthorized},
		Doc: "A refresh token can be used once. For 10 seconds after its use, the same request returns the same new refresh token again, for two tabs and for a lost response. " +
			"Using it again later, or using one from before it, ends the session and returns 401 `invalid-refresh-token`, like any invalid token. " +
			"429 `too-many-refreshes` if the session was refreshed more than ten times at once and then more than once in ten seconds; the token stays valid.",
		Codes:   []string{"invalid-refresh-token", "too-many-refreshes"},
		Example: `{"refreshToken":"ofr_example"}`,
	}, m.refresh)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/logout", Name: "logout", Tag: "Accounts",
		Summary: "Log out", Role: identity.User, Scope: identity.NoKeys, Status: http.StatusNoContent, AllowRestricted: true,
	}, m.logout)
	web.Handle(api, web.Route{
		Method: http.MethodGet, Path: "/v1/auth/sessions", Name: "list-sessions", Tag: "Accounts",
		Summary: "List your sessions, newest first", Role: identity.User, Scope: identity.NoKeys, AllowRestricted: true,
	}, m.listSessions)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/auth/sessions/{id}", Name: "end-session", Tag: "Accounts",
		Summary: "End one of your sessions", Role: identity.User, Scope: identity.NoKeys, AllowRestricted: true, Status: http.StatusNoContent,
		RecentPassword: true, WithoutPassword: isOwnSession,
		Doc: "The session of the request can be ended without a recent password.",
	}, m.endSession)
	web.Handle(api, web.Route{
		Method: http.MethodDelete, Path: "/v1/auth/sessions", Name: "end-sessions", Tag: "Accounts",
		Summary: "End your other sessions", Role: identity.User, Scope: identity.NoKeys, AllowRestricted: true, Status: http.StatusNoContent, RecentPassword: true,
		Doc: "Ends all your sessions except for the one of the request, and that one as well with `current=true`. API keys stay valid.",
	}, m.endSessions)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/confirm", Name: "confirm-password", Tag: "Accounts",
		Summary: "Confirm your password", Role: identity.User, Scope: identity.NoKeys, AllowRestricted: true, Status: http.StatusNoContent,
		Doc: "Routes that create credentials or end those of others need a password that was given in the last five minutes, at the log-in or here; a refresh does not count. " +
			"The confirmation is for the session of the request and takes effect on all nodes at once. 422 `wrong-password` if the password is wrong. If the account has a second factor, 422 `totp-required` without a code and `invalid-code` with a wrong one. 429 `too-many-attempts` after too many wrong ones.",
		Codes:   []string{"wrong-password", "totp-required", "invalid-code", "too-many-attempts"},
		Example: `{"password":"an otter in a teapot"}`,
	}, m.confirmPassword)
	web.Handle(api, web.Route{
		Method: http.MethodPost, Path: "/v1/auth/password", Name: "change-password", Tag: "Accounts",
		Summary: "Change your password", Role: identity.User, Scope: identity.NoKeys, AllowRestricted: true,
		Doc:     "Ends all your sessions and returns a new one. API keys stay valid unless `revokeKeys` is true. An account with an initial password, which somebody else generated or set, gets 403 `password-change-required` from all other routes until it has changed it. 422 `wrong-password` if the current password is wrong. If the account has a second factor, 422 `totp-required` without a code and 422 `invalid-code` with a wrong one.",
		Codes:   []string{"wrong-password", "totp-required", "invalid-code", "too-many-attempts"},
		Example: `{"currentPassword":"an otter in a teapot","newPassword":"a badger in a bathtub"}`,
	}, m.changePassword)
	m.keyRoutes(api)
	m.totpRoutes(api)
	m.userRoutes(api)
}

// Tokens is the response of a login.
type Tokens struct {
	AccessToken  string `json:"accessToken" doc:"A JWT; send it as a bearer token"`
	TokenType    string `json:"tokenType" enum:"Bearer"`
	ExpiresIn    int    `json:"expiresIn" doc:"Lifetime of the access token in seconds"`
	RefreshToken string `json:"refreshToken" doc:"An opaque token that can be used once within 30 days"`
}

type tokensAnswer struct{ Body Tokens }

func answer(p pair, err error) (*tokensAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &tokensAnswer{Body: Tokens{
		AccessToken: p.access, TokenType: "Bearer", ExpiresIn: int(accessLife / time.Second), RefreshToken: p.refresh,
	}}, nil
}

// origin reads the User-Agent itself. As a declared header it would be validated, and an
// unusual value would be a 400.
type origin struct{ agent string }

// Resolve implements huma.Resolver.
func (o *origin) Resolve(ctx huma.Context) []error {
	o.agent = tidyAgent(ctx.Header("User-Agent"))
	return nil
}

func (o *origin) client(ctx context.Context) client {
	return client{agent: o.agent, address: clientaddr.From(ctx)}
}

// LoginRequest is the body of a log-in.
type LoginRequest struct {
	Email    string `json:"email" example:"ada@example.com"`
	Password string `json:"password" example:"an otter in a teapot"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"A code of the second factor, or a recovery code; ignored if the account has no second factor"`
}

type loginInput struct {
	From origin
	Body LoginRequest
}

func (m *Module) login(ctx context.Context, in *loginInput) (*tokensAnswer, error) {
	return answer(m.logIn(ctx, in.Body.Email, in.Body.Password, in.Body.Code, in.From.client(ctx)))
}

// RefreshRequest is the body of a refresh.
type RefreshRequest struct {
	RefreshToken string `json:"refreshToken"`
}

type refreshInput struct {
	Body RefreshRequest
}

func (m *Module) refresh(ctx context.Context, in *refreshInput) (*tokensAnswer, error) {
	return answer(m.rotateRefresh(ctx, in.Body.RefreshToken))
}

func (m *Module) logout(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, m.logOut(ctx, identity.MustFromContext(ctx))
}

// PasswordChangeRequest is the body of a change of password.
type PasswordChangeRequest struct {
	CurrentPassword string `json:"currentPassword"`
	NewPassword     string `json:"newPassword" doc:"8 to 72 bytes in UTF-8"`
	Code            string `json:"code,omitempty" maxLength:"64" doc:"A code of the second factor, or a recovery code, if the account has a second factor"`
	RevokeKeys      bool   `json:"revokeKeys,omitempty" doc:"Whether to revoke all your API keys as well, for example because the password was stolen. Webhooks that they created are disabled"`
}

type passwordInput struct {
	From origin
	Body PasswordChangeRequest
}

func (m *Module) changePassword(ctx context.Context, in *passwordInput) (*tokensAnswer, error) {
	b := in.Body
	change := passwordChange{current: b.CurrentPassword, next: b.NewPassword, code: b.Code, revokeKeys: b.RevokeKeys}
	return answer(m.replacePassword(ctx, identity.MustFromContext(ctx), change, in.From.client(ctx)))
}

type endSessionInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// isOwnSession reports whether the path names the session of the caller.
func isOwnSession(c identity.Caller, param func(string) string) bool {
	id, err := uuid.Parse(param("id"))
	return err == nil && id == c.SessionID
}

type endSessionsInput struct {
	Current string `query:"current" enum:"true,false" doc:"Whether to end the session of the request as well"`
}

func (m *Module) endSessions(ctx context.Context, in *endSessionsInput) (*struct{}, error) {
	caller := identity.MustFromContext(ctx)
	keep := caller.SessionID
	if in.Current == "true" {
		keep = uuid.Nil
	}
	return nil, m.endAll(ctx, caller.UserID, keep, "ended-by-user")
}

// PasswordConfirmationRequest is the body of a confirmation of the password.
type PasswordConfirmationRequest struct {
	Password string `json:"password" doc:"Your current password"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"A code of the second factor, or a recovery code, if the account has a second factor"`
}

type confirmInput struct {
	Body PasswordConfirmationRequest
}

func (m *Module) confirmPassword(ctx context.Context, in *confirmInput) (*struct{}, error) {
	return nil, m.confirm(ctx, identity.MustFromContext(ctx), in.Body.Password, in.Body.Code, clientaddr.From(ctx))
}

func (m *Module) endSession(ctx context.Context, in *endSessionInput) (*struct{}, error) {
	return nil, m.end(ctx, identity.MustFromContext(ctx).UserID, in.ID, "ended-by-user")
}

// Session is the JSON form of a session.
type Session struct {
	ID         uuid.UUID     `json:"id" format:"uuid"`
	CreatedAt  jsontime.Time `json:"createdAt"`
	LastUsedAt jsontime.Time `json:"lastUsedAt" doc:"The time of the login or the last refresh"`
	ExpiresAt  jsontime.Time `json:"expiresAt" doc:"When the session ends unless it is refreshed. A refresh prolongs it by 30 days, but not beyond its maximum age"`
	UserAgent  string        `json:"userAgent"`
	Address    string        `json:"address" doc:"The client's network address at the login"`
	Current    bool          `json:"current" doc:"Whether it is the session of this request"`
}

func render(s *ent.Session, c identity.Caller) Session {
	return Session{
		ID: s.ID, CreatedAt: jsontime.At(s.CreatedAt), LastUsedAt: jsontime.At(s.LastUsedAt), ExpiresAt: jsontime.At(s.ExpiresAt),
		UserAgent: s.UserAgent, Address: s.Address, Current: s.ID == c.SessionID,
	}
}

func (m *Module) listSessions(ctx context.Context, in *web.Paging) (*web.PageOf[Session], error) {
	caller := identity.MustFromContext(ctx)
	return web.Keyset(ctx, *in, func(before uuid.UUID, limit int) ([]*ent.Session, error) {
		return m.list(ctx, caller.UserID, before, limit)
	}, func(s *ent.Session) (uuid.UUID, Session) { return s.ID, render(s, caller) })
}
