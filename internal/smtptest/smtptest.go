// Package smtptest is an SMTP server for tests. It speaks to real clients over TCP, with STARTTLS,
// implicit TLS and AUTH, and refuses what a test tells it to.
package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// User and Password are the credentials that a server with Options.Auth accepts.
const (
	User     = "mailer"
	Password = "mailer-mailer-mailer"
)

// Options describe what a server offers. The zero value is a server without TLS and AUTH.
type Options struct {
	STARTTLS    bool
	ImplicitTLS bool
	Auth        bool   // requires User and Password
	Addr        string // of the listener; any port of 127.0.0.1 when empty
}

// Server is a running server.
type Server struct {
	Addr    string // host:port
	RootCAs *x509.CertPool

	mu       sync.Mutex
	refuse   func(command, argument string) error
	received []Received
	server   *smtp.Server
}

// Received is a message that the server is responsible for.
type Received struct {
	From, To string // of the envelope
	Header   mail.Header
	Text     string // decoded
	Raw      string
	TLS      bool
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{}
	s.server = smtp.NewServer(backend{s, o})
	s.server.Domain = "localhost"
	s.server.AllowInsecureAuth = true
	s.server.EnableSMTPUTF8 = true
	s.server.ErrorLog = quiet{}
	keys := httptest.NewUnstartedServer(nil)
	keys.StartTLS()
	certificate := keys.TLS.Certificates[0]
	s.RootCAs = x509.NewCertPool()
	s.RootCAs.AddCert(keys.Certificate())
	keys.Close()
	encryption := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if o.STARTTLS {
		s.server.TLSConfig = encryption
	}
	address := o.Addr
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().String()
	if o.ImplicitTLS {
		listener = tls.NewListener(listener, encryption)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = s.server.Close()
		<-done
	})
	return s
}

// Close ends the server and its connections.
func (s *Server) Close() { _ = s.server.Close() }

// Refuse sets what the server refuses: refuse is called with "MAIL", "RCPT" or "DATA" and the address, and
// returns the reply or nil. Reply makes one.
func (s *Server) Refuse(refuse func(command, argument string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// Reply is a negative reply of a server.
func Reply(code int, enhanced [3]int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

func (s *Server) judge(command, argument string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse == nil {
		return nil
	}
	return s.refuse(command, argument)
}

// Messages returns what arrived, oldest first.
func (s *Server) Messages() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.received...)
}

// Wait returns the n-th message, counted from 1, to an address once it has arrived.
func (s *Server) Wait(t testing.TB, to string, n int) (m Received) {
	t.Helper()
	testwait.Until(t, "a message to "+to, func() bool {
		count := 0
		for _, one := range s.Messages() {
			if one.To == to {
				if count++; count == n {
					m = one
					return true
				}
			}
		}
		return false
	})
	return m
}

// quiet drops what the server says about clients that misbehave.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

type backend struct {
	s *Server
	o Options
}

func (b backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	plain := &session{backend: b, conn: c}
	if b.o.Auth {
		return &authSession{session: plain}, nil
	}
	return plain, nil
}

type session struct {
	backend
	conn     *smtp.Conn
	from, to string
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return s.s.judge("MAIL", from)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.s.judge("RCPT", to)
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.s.judge("DATA", s.to); err != nil {
		return err
	}
	message, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	text, err := decode(message)
	if err != nil {
		return err
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.received = append(s.s.received, Received{From: s.from, To: s.to, Header: message.Header, Text: text, Raw: string(raw), TLS: encrypted})
	return nil
}

type authSession struct {
	*session
	known bool
}

func (s *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != User || password != Password {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *authSession) Mail(from string, o *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	return s.session.Mail(from, o)
}
