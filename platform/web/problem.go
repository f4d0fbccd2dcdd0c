package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/orderflow-dev/orderflow/internal/canonical"
	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/audit"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

const problemType = "application/problem+json"

// Problem is the body of every error response (RFC 9457). Type links to the entry of Code in the guide.
// It is a relative reference with the full path (RFC 9457, 3.1.1), so that it is the same on every
// server. Programs distinguish problems by Code, which never changes its meaning.
type Problem struct {
	_         struct{}       `additionalProperties:"true"`
	Type      string         `json:"type" doc:"The entry of the code in the API guide, relative to this server" example:"/guide#not-found"`
	Title     string         `json:"title" doc:"The name of the status" example:"Not Found"`
	Status    int            `json:"status" doc:"The status of the answer" example:"404"`
	Detail    string         `json:"detail" doc:"What went wrong, for people" example:"There is no such order."`
	Instance  string         `json:"instance" doc:"The path that was asked for" example:"/v1/orders/0190"`
	Code      string         `json:"code" doc:"What went wrong, for programs; stable" example:"not-found"`
	RequestID string         `json:"requestId" doc:"The id of this request, as in the logs"`
	Errors    []fault.Field  `json:"errors,omitempty" doc:"Everything wrong with the input, at once"`
	Extra     map[string]any `json:"-"`
}

// Error returns a text for logs. With the next two methods it implements huma's StatusError.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus returns the HTTP status for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of problems, independent of huma's choice.
func (p *Problem) ContentType(string) string { return problemType }

// MarshalJSON adds the members of Extra, or omits them if they cannot be rendered, so that an error
// response never becomes a 500.
func (p *Problem) MarshalJSON() ([]byte, error) {
	type plain Problem
	raw, err := canonical.Marshal(struct {
		plain
		More map[string]any `json:",embed"`
	}{plain(*p), p.Extra})
	if err != nil {
		return canonical.Marshal(plain(*p))
	}
	return raw, nil
}

// Fail responds with the problem for err. It is the only place where an error becomes a response.
// It logs an error that is not a fault, once, and the client receives a general message. Handlers
// return its result.
func Fail(c *fiber.Ctx, err error) error {
	log, _ := c.Locals(logKey).(*slog.Logger)
	return fail(c, log, err)
}

// ErrorHandler is Fail for fiber.Config: for unknown routes, methods without a handler, bodies that
// are too large, and the errors of handlers. It also sets the headers of Headers and CORS, because
// the errors of fasthttp reach no middleware. A request with an unreadable head has no origin.
func ErrorHandler(o Options) fiber.ErrorHandler {
	return func(c *fiber.Ctx, err error) error {
		setHeaders(c, o)
		o.Origins.expose(c)
		return fail(c, o.Log, err)
	}
}

func fail(c *fiber.Ctx, log *slog.Logger, err error) error {
	p := problemOf(c, orDefault(log), err)
	raw, err := canonical.Marshal(p)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, problemType)
	return c.Status(p.Status).Send(raw)
}

// problemOf also sets the headers of the problem, and removes those of the response that it
// replaces.
func problemOf(c *fiber.Ctx, log *slog.Logger, err error) *Problem {
	f, status := toFault(err)
	id := ensureRequestID(c)
	report(c.UserContext(), log, id, f, err)

	for _, name := range []string{fiber.HeaderETag, fiber.HeaderLocation, fiber.HeaderLink, fiber.HeaderLastModified} {
		c.Response().Header.Del(name)
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if f.Replayed {
		c.Set("Idempotency-Replayed", "true")
	}
	if wait := retryAfter(f, status); wait > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(wait))
	}
	if status == http.StatusUnauthorized && len(c.Response().Header.Peek(fiber.HeaderWWWAuthenticate)) == 0 {
		c.Set(fiber.HeaderWWWAuthenticate, challenge)
	}
	return document(f, status, string(c.Request().URI().PathOriginal()), id)
}

func document(f *fault.Error, status int, instance, requestID string) *Problem {
	return &Problem{
		Type:      typeOf(f.Code),
		Title:     http.StatusText(status),
		Status:    status,
		Detail:    f.Detail,
		Instance:  instance,
		Code:      f.Code,
		RequestID: requestID,
		Errors:    f.Fields,
		Extra:     f.Extra,
	}
}

// ToProblem returns a problem that is a part of a response, such as the error of one item.
func ToProblem(ctx context.Context, f *fault.Error) *Problem {
	instance := ""
	if r := requestFrom(ctx); r != nil {
		instance = string(r.c.Request().URI().PathOriginal())
	}
	return document(f, StatusOf(f.Kind), instance, RequestIDFrom(ctx))
}

func report(ctx context.Context, log *slog.Logger, id string, f *fault.Error, err error) {
	switch f.Kind {
	case fault.KindInternal:
		log.ErrorContext(ctx, "request failed", "request_id", id, "error", err.Error())
	case fault.KindUnavailable:
		log.WarnContext(ctx, "request refused", "request_id", id, "error", err.Error())
	case fault.KindForbidden:
		reportForbidden(ctx, log, id, f.Code)
	default: // errors of the client, which the response explains
	}
}

// reportForbidden logs that a caller was denied access, with the names that the audit trail uses.
// There is no audit entry, because nothing changed and any caller could cause any number of them.
func reportForbidden(ctx context.Context, log *slog.Logger, id, code string) {
	attrs := []slog.Attr{slog.String("action", "access.denied"), slog.String("outcome", "refused"), slog.String("code", code), slog.String("request_id", id)}
	if caller, ok := identity.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("actor_id", caller.UserID.String()), slog.String("credential_id", caller.Credential().String()))
	}
	if network := audit.Network(clientaddr.From(ctx)); network.IsValid() {
		attrs = append(attrs, slog.String("network", network.String()))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "access denied", attrs...)
}

func retryAfter(f *fault.Error, status int) int {
	if f.RetryAfter > 0 {
		return int(math.Ceil(float64(f.RetryAfter) / float64(time.Second)))
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		return 1
	}
	return 0
}

// failure hides the error of a handler from huma, which would search its chain for a status and
// otherwise send its text.
type failure struct{ err error }

func (f failure) Error() string { return f.err.Error() }

// noType is the type of problems without a code (RFC 9457, 4.2.1).
const noType = "about:blank"

func typeOf(code string) string { return "/guide#" + code }

func newError(status int, message string, _ ...error) huma.StatusError {
	return &Problem{Type: noType, Title: http.StatusText(status), Status: status, Detail: message}
}

// newErrorWithContext replaces huma's constructor for its own errors and for those of handlers.
func newErrorWithContext(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	r, ours := ctx.(*request)
	if !ours {
		return newError(status, message, errs...)
	}
	return problemOf(r.c, r.log, r.refusal(status, errs))
}

func (r *request) refusal(status int, errs []error) error {
	for _, err := range errs {
		var detail *huma.ErrorDetail
		switch f, handled := err.(failure); { //nolint:errorlint // Handle wraps last
		case handled:
			return f.err
		case !errors.As(err, &detail):
			r.body = append(r.body, fault.Field{Code: "invalid", Message: "the request is not valid"})
		case detail.Location == "body":
			if len(r.body) == 0 {
				r.body = append(r.body, fieldFromText(detail.Message))
			}
		case len(detail.Location) > 5 && detail.Location[:5] == "body.":
			r.body = append(r.body, bodyField(detail))
		default:
			r.params = append(r.params, paramField(detail))
		}
	}
	if status == http.StatusRequestEntityTooLarge || status == http.StatusRequestTimeout {
		return fiber.NewError(status)
	}
	if err := r.fault(); err != nil {
		return err
	}
	return fault.New(fault.KindMalformed, "malformed", "The request cannot be read.")
}
