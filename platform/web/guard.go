package web

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const challenge = `Bearer realm="orderflow"`

type localKey int

const (
	refusedKey localKey = iota // the error of the presented credential
	currentKey                 // CallerReader
	patternKey                 // "/v1/orders/{id}"
	publicKey                  // string: Options.PublicURL
	logKey                     // *slog.Logger
)

// RejectCredential records that the presented credential was rejected. Routes for anyone continue without a
// caller. All other routes respond with err, which is a 401 fault, or a 503 fault if the credential
// could not be checked.
func RejectCredential(c *fiber.Ctx, err error) { c.Locals(refusedKey, err) }

// requirement is what a route requires of its caller. Without a scope it accepts no API key.
type requirement struct {
	role  identity.Role
	scope identity.Scope
	also  []identity.Scope

	allowRestricted bool

	recentPassword  bool
	withoutPassword func(c identity.Caller, param func(name string) string) bool
}

func (r Route) requirement() requirement {
	return requirement{r.Role, r.Scope, r.ExtraScopes, r.AllowRestricted, r.RecentPassword, r.WithoutPassword}
}

// CallerReader reads the present state of a caller from the database.
type CallerReader func(context.Context, identity.Caller) (identity.Caller, error)

// ReadCallerWith sets the reader that is asked before a request is refused because the password of
// its caller is not recent: another node may have received the confirmation a moment ago. Without
// one the caller in the context decides.
func ReadCallerWith(c *fiber.Ctx, read CallerReader) { c.Locals(currentKey, read) }

// checkPassword refuses a caller whose password was not given recently (SPEC A11).
func (need requirement) checkPassword(c *fiber.Ctx, caller identity.Caller) error {
	exempt := need.withoutPassword != nil && need.withoutPassword(caller, func(name string) string { return c.Params(name) })
	if !need.recentPassword || exempt || caller.HasRecentPassword(time.Now()) {
		return nil
	}
	if read, ok := c.Locals(currentKey).(CallerReader); ok {
		now, err := read(c.UserContext(), caller)
		if err != nil {
			return err
		}
		if now.HasRecentPassword(time.Now()) {
			c.SetUserContext(identity.NewContext(c.UserContext(), now))
			return nil
		}
	}
	// The parameters are those of RFC 9470 section 3, whose status is 401: clients that see a 401
	// would refresh the token, which does not help.
	c.Set(fiber.HeaderWWWAuthenticate, challenge+`, error="insufficient_user_authentication", max_age="`+strconv.Itoa(int(identity.RecentPassword/time.Second))+`"`)
	return fault.New(fault.KindForbidden, "password-confirmation-required", "Confirm your password with POST /v1/auth/confirm, and repeat the request within five minutes.")
}

// authorize compares the caller with the requirements of the route. On routes for anyone, an API
// key without the scope is ignored, like an invalid token, and so is a caller with a restriction.
func (need requirement) authorize(c *fiber.Ctx) error {
	caller, known := identity.FromContext(c.UserContext())
	switch {
	case need.role == identity.Anyone:
		if known && (!caller.AllowsScope(need.scope) || caller.Restriction != identity.Unrestricted && !need.allowRestricted) {
			c.SetUserContext(identity.WithoutCaller(c.UserContext()))
		}
		return nil
	case !known:
		return unauthenticated(c)
	case caller.Restriction != identity.Unrestricted && !need.allowRestricted:
		return caller.Restriction.Fault()
	case !caller.Role.Covers(need.role):
		return fault.New(fault.KindForbidden, "forbidden", "Your role may not do this.")
	case caller.IsKey() && (need.scope == identity.NoKeys || need.scope == ""):
		return fault.New(fault.KindForbidden, "key-not-allowed", "No API key may do this; log in and send an access token.")
	}
	for _, scope := range append([]identity.Scope{need.scope}, need.also...) {
		if !caller.AllowsScope(scope) {
			c.Set(fiber.HeaderWWWAuthenticate, challenge+`, error="insufficient_scope", scope="`+need.scopes(" ")+`"`) // RFC 6750 section 3.1
			return identity.ScopeMissing(scope)
		}
	}
	return need.checkPassword(c, caller)
}

// scopes returns all scopes that an API key needs.
func (need requirement) scopes(between string) string {
	list := []string{string(need.scope)}
	for _, scope := range need.also {
		list = append(list, string(scope))
	}
	return strings.Join(list, between)
}

func unauthenticated(c *fiber.Ctx) error {
	err, refused := c.Locals(refusedKey).(error)
	if !refused {
		return fault.New(fault.KindUnauthenticated, "unauthenticated", "Log in first: send an access token as a bearer token.")
	}
	if f, ok := fault.As(err); ok && f.Kind == fault.KindUnauthenticated {
		c.Set(fiber.HeaderWWWAuthenticate, challenge+`, error="invalid_token"`) // RFC 6750 section 3.1
	}
	return err
}
