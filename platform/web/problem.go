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

	"github.com/orderflow-dev/orderflow/platform/canonical"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

const problemType = "application/problem+json"

// Problem is the document that every refusal is (RFC 9457). Type is always
// about:blank, so Title is the name of the status; programs tell problems apart
// by Code, which never changes its meaning.
type Problem struct {
	_         struct{}       `additionalProperties:"true"`
	Type      string         `json:"type" doc:"Always about:blank; see code" example:"about:blank"`
	Title     string         `json:"title" doc:"The name of the status" example:"Not Found"`
	Status    int            `json:"status" doc:"The status of the answer" example:"404"`
	Detail    string         `json:"detail" doc:"What went wrong, for people" example:"There is no such order."`
	Instance  string         `json:"instance" doc:"The path that was asked for" example:"/v1/orders/0190"`
	Code      string         `json:"code" doc:"What went wrong, for programs; stable" example:"not-found"`
	RequestID string         `json:"requestId" doc:"The id of this request, as in the logs"`
	Errors    []fault.Field  `json:"errors,omitempty" doc:"Everything wrong with the input, at once"`
	Extra     map[string]any `json:"-"`
}

// Error is for logs; like the next two, it makes the problem an answer of huma's.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus is the status that huma answers with.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of problems, whatever huma would have chosen.
func (p *Problem) ContentType(string) string { return problemType }

// MarshalJSON puts Extra beside the other members, or leaves it out when it
// cannot be rendered: a refusal must not end as a 500.
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

// Fail answers with the problem that err is; it is the one place where an error
// becomes an answer. What is not a fault is logged, once, and its reader learns
// only that something went wrong. Its own result is for returning from a handler.
func Fail(c *fiber.Ctx, err error) error {
	log, _ := c.Locals(logKey).(*slog.Logger)
	return fail(c, log, err)
}

// ErrorHandler is Fail for fiber.Config: unknown routes, methods without a
// handler, bodies that are too large, and whatever a handler returns. What fasthttp
// refuses reaches no middleware, so the CORS headers are set here as well; a request
// whose head could not be read has no origin.
func ErrorHandler(log *slog.Logger, origins Origins) fiber.ErrorHandler {
	return func(c *fiber.Ctx, err error) error {
		origins.expose(c)
		return fail(c, log, err)
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

// problemOf also sets the headers that belong to the problem, and takes away
// those that belonged to the answer that will not come.
func problemOf(c *fiber.Ctx, log *slog.Logger, err error) *Problem {
	f, status := explain(err)
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
		Type:      "about:blank",
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

// ProblemOf is a refusal as a part of an answer, such as that of one item of many.
func ProblemOf(ctx context.Context, f *fault.Error) *Problem {
	instance := ""
	if r := requestFrom(ctx); r != nil {
		instance = string(r.c.Request().URI().PathOriginal())
	}
	return document(f, statuses[f.Kind], instance, RequestIDFrom(ctx))
}

func report(ctx context.Context, log *slog.Logger, id string, f *fault.Error, err error) {
	switch f.Kind {
	case fault.Internal:
		log.ErrorContext(ctx, "request failed", "request_id", id, "error", err.Error())
	case fault.Unavailable:
		log.WarnContext(ctx, "request refused", "request_id", id, "error", err.Error())
	default: // the caller's own doing, which the answer explains
	}
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

// failure hides a handler's error from huma, which would look for a status in
// its chain and otherwise send its text.
type failure struct{ err error }

func (f failure) Error() string { return f.err.Error() }

func newError(status int, message string, _ ...error) huma.StatusError {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: message}
}

// newErrorWithContext is what huma calls for everything that it refuses, and for
// the errors of handlers.
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
	return fault.New(fault.Malformed, "malformed", "The request cannot be read.")
}
