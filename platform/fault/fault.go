// Package fault defines the errors that a client of the API may see.
//
// All other errors are internal: they are logged once, at the HTTP edge, and the client receives a
// general message. The Code of a fault is part of the public interface and never changes its
// meaning. The Detail is text for people.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind classifies a fault. It alone decides the HTTP status.
type Kind int

// The kinds. Their numbers are stored with the responses of an Idempotency-Key, so new kinds are added
// at the end.
const (
	KindInternal           Kind = iota // 500, never created on purpose
	KindMalformed                      // 400: not JSON, not a cursor, not a UUID
	KindUnauthenticated                // 401: no valid credentials
	KindForbidden                      // 403: the caller's role does not allow it
	KindNotFound                       // 404: does not exist, or belongs to another account
	KindNotAllowed                     // 405
	KindConflict                       // 409: conflicts with the current state
	KindPreconditionFailed             // 412: stale If-Match
	KindTooLarge                       // 413
	KindUnsupportedMedia               // 415
	KindMisdirected                    // 421: the request is for another host
	KindInvalid                        // 422: well-formed but not valid
	KindRateLimited                    // 429
	KindUnavailable                    // 503: a dependency is down, retry later
	KindRequestTimeout                 // 408: the request did not arrive in time
	KindUpgradeRequired                // 426: the address is only for WebSockets
	KindHeadersTooLarge                // 431
)

// Field is one error in the input. Pointer is a JSON pointer (RFC 6901) into the body, or
// /query/<name>, /path/<name> or /header/<name>.
type Field struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error is an error with a kind and a code that may be shown to the client. Create it with New or
// with the function for its kind; the zero value is not usable.
type Error struct {
	Kind       Kind
	Code       string // stable, in kebab-case
	Detail     string // a sentence for people
	Fields     []Field
	Extra      map[string]any // additional members of the problem document
	RetryAfter time.Duration  // sent as the Retry-After header when above zero
	Final      bool           // no later state of the resource changes the result; see WithFinal
	Replayed   bool           // the fault is the stored response of an Idempotency-Key; sent as a header
	cause      error
}

// New returns a fault with a formatted Detail.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error returns the code, the detail and the cause, for logs.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Detail + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Detail
}

// Unwrap returns the internal cause.
func (e *Error) Unwrap() error { return e.cause }

// WithCause sets the internal cause and returns e. The cause is logged and never sent to the client.
func (e *Error) WithCause(err error) *Error {
	e.cause = err
	return e
}

// With adds a member to the problem document and returns e.
func (e *Error) With(key string, value any) *Error {
	if e.Extra == nil {
		e.Extra = map[string]any{}
	}
	e.Extra[key] = value
	return e
}

// WithRetryAfter sets the time after which the client may retry, and returns e. It is sent as the
// Retry-After header, in whole seconds.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// WithFinal marks a conflict that no later state of the resource can lift, and returns e. Only such a
// conflict is stored under an Idempotency-Key: another one may be gone when the request is repeated.
func (e *Error) WithFinal() *Error {
	e.Final = true
	return e
}

// As returns the first fault in the chain of err.
func As(err error) (*Error, bool) {
	var f *Error
	ok := errors.As(err, &f)
	return f, ok
}

// Is reports whether the chain of err contains a fault with that code.
func Is(err error, code string) bool {
	f, ok := As(err)
	return ok && f.Code == code
}

// NotFound returns the 404 of every resource. It is the same for a resource that never existed and
// for one that belongs to another account (SPEC R4).
func NotFound(what string) *Error {
	return New(KindNotFound, "not-found", "There is no such %s.", what)
}

// Invalid returns the 422 that lists every error of a well-formed input.
func Invalid(fields ...Field) *Error {
	e := New(KindInvalid, "invalid", "The request is well-formed but not valid; see errors.")
	e.Fields = fields
	return e
}

// Unavailable returns the 503 for a dependency that cannot be reached. It asks the client to retry after
// one second.
func Unavailable(what string, cause error) *Error {
	return New(KindUnavailable, "unavailable", "%s cannot be reached just now; try again.", what).WithRetryAfter(time.Second).WithCause(cause)
}
