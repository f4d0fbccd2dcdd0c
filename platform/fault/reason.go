package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// Reason describes why a server could not be reached or a resource could not be opened, for
// start-up errors and logs. It never quotes the address, URL, user or path, because these come from
// the configuration and may contain a secret. An unknown error gets a general text.
func Reason(err error) string {
	var (
		dns         *net.DNSError
		errno       syscall.Errno
		network     net.Error
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		record      tls.RecordHeaderError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &dns):
		return "the host name cannot be resolved"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &host):
		return "the server's certificate is not valid for this host, or not trusted"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	}
	return "it cannot be used"
}
