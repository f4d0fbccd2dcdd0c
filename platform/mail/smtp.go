package mail

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

// stepTimeout is the limit of each of three steps: to connect, to begin a session, to send.
const stepTimeout = 12 * time.Second

// SendTimeout is the longest time that the Mailer of NewSMTP takes for a message.
const SendTimeout = 3 * stepTimeout

// The ports of smtps:// and smtp:// without a port (RFC 8314, RFC 6409).
const (
	portImplicitTLS = 465
	portSubmission  = 587
)

// SMTP configures a mail server.
type SMTP struct {
	// URL is smtps://USER:PASSWORD@HOST:465 for TLS from the first byte, or smtp://HOST:587 for
	// STARTTLS. Without a user there is no authentication.
	URL string
	// From is the sender, such as "Orderflow <no-reply@example.com>".
	From string
	// Plaintext permits a connection without TLS, if the server does not offer STARTTLS. The password
	// is then sent without encryption.
	Plaintext bool
	// RootCAs verify the certificate of the server; those of the system when nil.
	RootCAs *x509.CertPool

	step time.Duration // stepTimeout when zero
}

var (
	errURL  = errors.New("must be a URL such as smtps://USER:PASSWORD@HOST:465 or smtp://HOST:587")
	errFrom = errors.New("must be an e-mail address such as no-reply@example.com or Orderflow <no-reply@example.com>")
)

// NewSMTP returns a Mailer that opens a connection for each message. It does not connect. Its error
// quotes no part of the URL.
func NewSMTP(s SMTP) (Mailer, error) {
	from, err := mail.ParseAddress(s.From)
	if err != nil {
		return nil, fmt.Errorf("the sender %w", errFrom)
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errURL
	}
	port, implicit := portSubmission, u.Scheme == "smtps"
	if implicit {
		port = portImplicitTLS
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil {
			return nil, errURL
		}
	}
	options := []gomail.Option{
		gomail.WithPort(port), gomail.WithTimeout(cmp.Or(s.step, stepTimeout)), gomail.WithoutNoop(), gomail.WithoutRset(),
		gomail.WithTLSConfig(&tls.Config{ServerName: u.Hostname(), RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}),
	}
	switch {
	case implicit:
		options = append(options, gomail.WithSSL())
	case s.Plaintext:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if password, ok := u.User.Password(); ok || u.User != nil {
		// Discovery never chooses a method that sends the password over a connection without TLS.
		method := gomail.SMTPAuthAutoDiscover
		if s.Plaintext && !implicit {
			method = gomail.SMTPAuthPlainNoEnc
		}
		options = append(options, gomail.WithUsername(u.User.Username()), gomail.WithPassword(password), gomail.WithSMTPAuth(method))
	}
	if _, err := gomail.NewClient(u.Hostname(), options...); err != nil {
		return nil, errURL
	}
	return &smtpMailer{host: u.Hostname(), options: options, from: from}, nil
}

type smtpMailer struct {
	host    string
	options []gomail.Option
	from    *mail.Address
}

// Send implements Mailer.
func (s *smtpMailer) Send(ctx context.Context, m Message) error {
	message, err := s.message(m)
	if err != nil {
		return err
	}
	client, err := gomail.NewClient(s.host, s.options...)
	if err != nil {
		return &Error{During: duringConnect, Reason: "the settings cannot be used"}
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return connectError(err)
	}
	// The server is responsible for the message once it has confirmed DATA. An error of QUIT must not
	// cause it to be sent again.
	defer func() { _ = client.CloseWithSMTPClient(conn) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.UpdateDeadline(0) })
	defer stop()
	if err := client.SendWithSMTPClient(conn, message); err != nil {
		return sendError(err)
	}
	return nil
}

func (s *smtpMailer) message(m Message) (*gomail.Msg, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	to, err := ascii(m.To)
	if err != nil {
		return nil, queue.Permanent(errMessage)
	}
	message := gomail.NewMsg(gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
	message.FromMailAddress(s.from)
	message.ToMailAddress(&mail.Address{Address: to})
	message.Subject(m.Subject)
	message.SetDate()
	_, domain, _ := strings.Cut(s.from.Address, "@")
	message.SetMessageIDWithValue(strings.ToLower(rand.Text()) + "@" + domain)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no automatic replies
	message.SetBodyString(gomail.TypeTextPlain, m.Text)
	return message, nil
}

// ascii returns an address with its domain in the form of DNS, so that only an address with another
// local part needs a server that supports SMTPUTF8 (RFC 6531).
func ascii(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", errMessage
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		return "", errMessage
	}
	return address[:at+1] + domain, nil
}

// connectError describes why there is no session with the server: none of it concerns the message.
func connectError(err error) error {
	e := &Error{During: duringConnect, Reason: fault.Reason(err)}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		e.Code = reply.Code
	} else if strings.Contains(err.Error(), "STARTTLS") { // the library has no error value for it
		e.Reason = "the server does not offer STARTTLS"
	}
	return e
}

func sendError(err error) error {
	e := &Error{During: duringData, Reason: "the connection failed"}
	said, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return e
	}
	e.Code, e.Enhanced = said.ErrorCode(), said.EnhancedStatusCode()
	switch said.Reason {
	case gomail.ErrSMTPMailFrom:
		e.During = duringSender
	case gomail.ErrSMTPRcptTo:
		e.During = duringRecipient
	default: // DATA, and what fails on this side
	}
	if e.Permanent() {
		return queue.Permanent(e)
	}
	return e
}
