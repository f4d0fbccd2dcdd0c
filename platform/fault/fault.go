// Package fault holds the errors that a caller may be told.
//
// Everything else is internal: it is logged once, at the edge, and the caller
// learns only that something went wrong. A fault's Code is part of the public
// interface and never changes meaning; its Detail is prose for people.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind decides the HTTP status, and nothing else does.
type Kind int

// The kinds, each with the status that platform/web gives it.
const (
	Internal           Kind = iota // 500, never built on purpose
	Malformed                      // 400: not JSON, not a cursor, not a UUID
	Unauthenticated                // 401: no valid credentials
	Forbidden                      // 403: your role may not
	NotFound                       // 404: absent, or somebody else's
	NotAllowed                     // 405
	Conflict                       // 409: at odds with the present state
	PreconditionFailed             // 412: stale If-Match
	TooLarge                       // 413
	UnsupportedMedia               // 415
	Invalid                        // 422: well-formed but wrong
	RateLimited                    // 429
	Unavailable                    // 503: a dependency is down, try again
)

// Field is one thing wrong with the input. Pointer is a JSON pointer (RFC 6901)
// into the body, or /query/<name>, /path/<name>, /header/<name>.
type Field struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error is a refusal that a caller may read. The zero value is of no use; make
// one with New or with a function named after its kind.
type Error struct {
	Kind       Kind
	Code       string // stable, kebab-case
	Detail     string // a sentence for people
	Fields     []Field
	Extra      map[string]any // further members of the problem document
	RetryAfter time.Duration  // sent as Retry-After when above zero
	Replayed   bool           // the kept answer to an Idempotency-Key; sent as a header
	cause      error
}

// New makes a fault of any kind.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Detail + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Detail
}

func (e *Error) Unwrap() error { return e.cause }

// Because keeps the internal reason for the log; the caller never sees it.
func (e *Error) Because(err error) *Error {
	e.cause = err
	return e
}

// With adds a member to the problem document.
func (e *Error) With(key string, value any) *Error {
	if e.Extra == nil {
		e.Extra = map[string]any{}
	}
	e.Extra[key] = value
	return e
}

// As finds the fault in an error chain.
func As(err error) (*Error, bool) {
	var f *Error
	ok := errors.As(err, &f)
	return f, ok
}

// Is tells whether err is a fault with that code.
func Is(err error, code string) bool {
	f, ok := As(err)
	return ok && f.Code == code
}

// Absent is the one 404 of every resource. It looks the same for a thing that
// never was and for a thing of somebody else (SPEC R4).
func Absent(what string) *Error {
	return New(NotFound, "not-found", "There is no such %s.", what)
}

// Unprocessable names every fault of a well-formed input at once.
func Unprocessable(fields ...Field) *Error {
	e := New(Invalid, "invalid", "The request is well-formed but not valid; see errors.")
	e.Fields = fields
	return e
}

// Away says that a dependency is down and when to come back.
func Away(what string, cause error) *Error {
	e := New(Unavailable, "unavailable", "%s cannot be reached just now; try again.", what)
	e.RetryAfter = time.Second
	return e.Because(cause)
}
