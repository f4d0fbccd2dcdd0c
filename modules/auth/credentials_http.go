package auth

import (
	"strings"

	jwtware "github.com/gofiber/contrib/jwt"
	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/web"
)

const tokenKey = "auth.token"

// Credentials is the middleware that stores the Caller of an access token or an API key in the
// context. It never ends a request: a request without credential continues as anonymous, one
// with an invalid credential is marked with web.RejectCredential, and the route's role decides.
//
// Both use the Authorization header, which proxies and loggers treat as confidential. With a
// second header, such as X-Api-Key, a request could have two callers.
func (m *Module) Credentials() fiber.Handler {
	verify := jwtware.New(jwtware.Config{
		TokenLookup:        "header:" + fiber.HeaderAuthorization,
		AuthScheme:         "Bearer",
		TokenProcessorFunc: plausible,
		KeyFunc:            m.signer.key,
		Claims:             &claims{},
		ContextKey:         tokenKey,
		SuccessHandler:     m.admit,
		ErrorHandler:       func(c *fiber.Ctx, err error) error { return refuse(c, invalidToken().WithCause(err)) },
	})
	return func(c *fiber.Ctx) error {
		switch len(c.Request().Header.PeekAll(fiber.HeaderAuthorization)) {
		case 0:
			return c.Next()
		case 1:
			if key, ok := bearer(c); ok && isAPIKey(key) {
				return m.admitKey(c, key)
			}
			return verify(c)
		default: // ambiguous: a proxy may have used another one
			return refuse(c, invalidToken())
		}
	}
}

// bearer returns the token of the Authorization header; the scheme is case-insensitive (RFC
// 9110 section 11.1).
func bearer(c *fiber.Ctx) (string, bool) {
	scheme, token, found := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	return strings.TrimSpace(token), found && strings.EqualFold(scheme, "Bearer")
}

func (m *Module) admitKey(c *fiber.Ctx, key string) error {
	caller, err := m.callerOf(c.UserContext(), key, clientaddr.From(c.UserContext()))
	if err != nil {
		return refuse(c, err)
	}
	c.SetUserContext(identity.NewContext(c.UserContext(), caller))
	return c.Next()
}

// admit runs after signature and claims were verified. It checks the status of the session or
// key.
func (m *Module) admit(c *fiber.Ctx) error {
	token, ok := c.Locals(tokenKey).(*jwt.Token)
	if !ok {
		return refuse(c, invalidToken())
	}
	said, ok := token.Claims.(*claims)
	if !ok {
		return refuse(c, invalidToken())
	}
	caller, err := m.callerOfSession(c.UserContext(), uuid.MustParse(said.SessionID), clientaddr.From(c.UserContext()))
	if err != nil {
		return refuse(c, err)
	}
	if caller.UserID.String() != said.Subject || caller.IsKey() {
		return refuse(c, invalidToken())
	}
	c.SetUserContext(identity.NewContext(c.UserContext(), caller))
	web.ReadCallerWith(c, m.rereadCaller)
	return c.Next()
}

func refuse(c *fiber.Ctx, err error) error {
	web.RejectCredential(c, err)
	return c.Next()
}
