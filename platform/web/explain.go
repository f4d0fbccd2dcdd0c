package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// toFault converts any error to a fault that the client may see, and its status.
func toFault(err error) (*fault.Error, int) {
	if f, ok := fault.As(err); ok {
		if f.Kind == fault.KindInternal {
			f = internal(err)
		}
		return f, StatusOf(f.Kind)
	}
	if fe, ok := errors.AsType[*fiber.Error](err); ok {
		return fiberFault(fe)
	}
	f := postgresFault(err)
	switch {
	case f != nil:
	case errors.Is(err, context.DeadlineExceeded):
		f = timeout(err)
	case errors.Is(err, context.Canceled):
		f = fault.Unavailable("The service", err)
	case disconnected(err):
		f = fault.Unavailable("A service that is needed for this", err)
	default:
		f = internal(err)
	}
	return f, StatusOf(f.Kind)
}

func internal(err error) *fault.Error {
	return fault.New(fault.KindInternal, "internal", "Something went wrong on our side.").WithCause(err)
}

func timeout(err error) *fault.Error {
	return fault.New(fault.KindUnavailable, "timeout", "This took too long; try again.").WithCause(err).WithRetryAfter(time.Second)
}

// postgresFault converts the errors of PostgreSQL that concern the client; it returns nil for
// others.
func postgresFault(err error) *fault.Error {
	var connect *pgconn.ConnectError
	isOver := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) // the deadline of the caller, not the database
	if errors.As(err, &connect) || !isOver && postgres.Unavailable(err) {
		return fault.Unavailable("The database", err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return nil
	}
	switch code := pg.Code; {
	case strings.HasPrefix(code, "22"):
		return fault.New(fault.KindInvalid, "invalid", "A value cannot be stored.").WithCause(err)
	case code == "23505":
		return fault.New(fault.KindConflict, "conflict", "This already exists.").WithCause(err)
	case code == "40001", code == "40P01", code == "55P03":
		return fault.New(fault.KindUnavailable, "busy", "Too many changes to the same thing at once; try again.").WithCause(err).WithRetryAfter(time.Second)
	case code == "57014":
		return timeout(err)
	default:
		return nil
	}
}

func disconnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) // a connection that failed between two statements
}

// fiberFault uses its own texts for the errors of Fiber and fasthttp, because theirs quote the
// request.
func fiberFault(fe *fiber.Error) (*fault.Error, int) {
	switch fe.Code {
	case http.StatusNotFound:
		return fault.New(fault.KindNotFound, "not-found", "There is nothing at this address."), fe.Code
	case http.StatusMethodNotAllowed:
		return fault.New(fault.KindNotAllowed, "method-not-allowed", "This address does not take the method; see Allow."), fe.Code
	case http.StatusRequestEntityTooLarge:
		return fault.New(fault.KindTooLarge, "too-large", "The body is too large."), fe.Code
	case http.StatusRequestTimeout:
		return fault.New(fault.KindRequestTimeout, "request-timeout", "The request did not arrive in time."), fe.Code
	case http.StatusUpgradeRequired:
		return fault.New(fault.KindUpgradeRequired, "upgrade-required", "This address is only for WebSockets."), fe.Code
	case http.StatusRequestHeaderFieldsTooLarge:
		return fault.New(fault.KindHeadersTooLarge, "request-header-fields-too-large", "The headers of the request are too large."), fe.Code
	case http.StatusServiceUnavailable:
		return fault.Unavailable("The service", fe), fe.Code
	case http.StatusBadRequest, http.StatusBadGateway: // 502 is a client that disconnected
		return fault.New(fault.KindMalformed, "malformed", "The request is not well-formed HTTP."), http.StatusBadRequest
	}
	if fe.Code < 400 || fe.Code >= 500 || http.StatusText(fe.Code) == "" {
		return internal(fe), http.StatusInternalServerError
	}
	return fault.New(fault.KindMalformed, "malformed", "%s.", http.StatusText(fe.Code)), fe.Code
}
