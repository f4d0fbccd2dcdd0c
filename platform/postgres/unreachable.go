package postgres

import (
	"crypto/tls"
	"crypto/x509"
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
	encoding, isEncoding := errors.AsType[*EncodingError](err)
	switch code := Code(err); {
	case isEncoding:
		return encoding.Error()
	case code == "28P01", code == "28000":
		return fmt.Sprintf("the server refuses the user or the password (SQLSTATE %s)", code)
	case code == "3D000":
		return "the database does not exist (SQLSTATE 3D000)"
	case code == "42704", code == "22023", code == "42501", code == "08P01":
		return fmt.Sprintf("the server does not accept a parameter of the URL (SQLSTATE %s)", code)
	case code != "":
		return fmt.Sprintf("the server refuses connections (SQLSTATE %s)", code)
	case refusesTLS(err):
		return "the server does not offer TLS"
	}
	return fault.Reason(err)
}

// Misconfigured reports whether connecting failed for a reason that does not go away by itself: the
// server rejects the user or the password, does not have the database, or does not accept a
// parameter of the URL (poolers return 08P01 for unknown ones); TLS fails; or the encoding is not UTF-8.
func Misconfigured(err error) bool {
	if _, ok := errors.AsType[*EncodingError](err); ok {
		return true
	}
	code := Code(err)
	return strings.HasPrefix(code, "28") || slices.Contains([]string{"3D000", "42704", "22023", "42501", "08P01"}, code) ||
		code == "" && failsTLS(err)
}

// failsTLS reports whether the server has no TLS, or a certificate that is not trusted or is for
// another host.
func failsTLS(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		record      tls.RecordHeaderError
		alert       tls.AlertError
	)
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &record) || errors.As(err, &alert) ||
		refusesTLS(err)
}

// refusesTLS reports whether a server without TLS was asked for it. The driver has no type for this.
func refusesTLS(err error) bool {
	return strings.Contains(err.Error(), "server refused TLS connection")
}
