package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/orderflow-dev/orderflow/platform/fault"
)

// RedactURL replaces the text of a connection error, which quotes the host, user and database of
// the URL, and of a URL that cannot be parsed, by a text that quotes nothing. Other errors do not
// change. The error chain is kept.
func RedactURL(err error) error {
	var (
		connect *pgconn.ConnectError
		parse   *pgconn.ParseConfigError
	)
	switch {
	case errors.As(err, &parse):
		return &unreachable{"its URL cannot be read", err}
	case errors.As(err, &connect):
		return &unreachable{reason(err), err}
	}
	return err
}

type unreachable struct {
	text  string
	cause error
}

func (e *unreachable) Error() string { return e.text }
func (e *unreachable) Unwrap() error { return e.cause }

func reason(err error) string {
	switch code := Code(err); {
	case code == "28P01", code == "28000":
		return fmt.Sprintf("the server refuses the user or the password (SQLSTATE %s)", code)
	case code == "3D000":
		return "the database does not exist (SQLSTATE 3D000)"
	case code == "42704", code == "22023", code == "42501", code == "08P01":
		return fmt.Sprintf("the server does not accept a parameter of the URL (SQLSTATE %s)", code)
	case code != "":
		return fmt.Sprintf("the server refuses connections (SQLSTATE %s)", code)
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "the server does not offer TLS"
	}
	return fault.Reason(err)
}

// Misconfigured reports whether connecting failed for a reason that does not go away by itself: the
// server rejects the user or the password, does not have the database, or does not accept a
// parameter of the URL (poolers return 08P01 for unknown ones).
func Misconfigured(err error) bool {
	code := Code(err)
	return strings.HasPrefix(code, "28") || slices.Contains([]string{"3D000", "42704", "22023", "42501", "08P01"}, code)
}
