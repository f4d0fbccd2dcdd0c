package mail

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net"
	"strings"
	"testing"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/orderflow-dev/orderflow/internal/smtptest"
	"github.com/orderflow-dev/orderflow/platform/queue"
)

const sender = "Orderflow <no-reply@shop.example>"

var hello = Message{To: "ada@example.com", Subject: "Grüße", Text: "The first line.\n\n.\nÄ last line, " + strings.Repeat("long ", 40) + "\n"}

func mailer(t *testing.T, s SMTP) Mailer {
	t.Helper()
	m, err := NewSMTP(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// SPEC A9: a message arrives as it was written, over an encrypted and authenticated connection.
func TestMessagesArrive_A9(t *testing.T) {
	t.Parallel()
	credentials := smtptest.User + ":" + smtptest.Password + "@"
	for name, row := range map[string]struct {
		server smtptest.Options
		url    string
		plain  bool
		tls    bool
	}{
		"STARTTLS and AUTH": {smtptest.Options{STARTTLS: true, Auth: true}, "smtp://" + credentials, false, true},
		"implicit TLS":      {smtptest.Options{ImplicitTLS: true, Auth: true}, "smtps://" + credentials, false, true},
		"plaintext":         {smtptest.Options{}, "smtp://", true, false},
		"AUTH in plaintext": {smtptest.Options{Auth: true}, "smtp://" + credentials, true, false},
		"STARTTLS if there": {smtptest.Options{STARTTLS: true}, "smtp://", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := smtptest.Start(t, row.server)

			err := mailer(t, SMTP{URL: row.url + s.Addr, From: sender, Plaintext: row.plain, RootCAs: s.RootCAs}).Send(t.Context(), hello)

			if err != nil {
				t.Fatal(err)
			}
			got := s.Wait(t, hello.To, 1)
			subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
			if err != nil || subject != hello.Subject || got.Text != hello.Text || got.From != "no-reply@shop.example" || got.TLS != row.tls {
				t.Errorf("%q %v %+v", subject, err, got)
			}
			if got.Header.Get("Auto-Submitted") != "auto-generated" || !strings.HasSuffix(got.Header.Get("Message-Id"), "@shop.example>") ||
				!strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("headers %v", got.Header)
			}
		})
	}
}

// SPEC A9; ASVS 5.0 12.3.3: no message and no password leaves without encryption and without the
// certificate of the host, unless that is permitted.
func TestEncryptionIsRequired_A9(t *testing.T) {
	t.Parallel()
	plain, open := smtptest.Start(t, smtptest.Options{Auth: true}), smtptest.Start(t, smtptest.Options{})
	encrypted := smtptest.Start(t, smtptest.Options{STARTTLS: true})
	for name, s := range map[string]SMTP{
		"no STARTTLS":         {URL: "smtp://" + open.Addr},
		"AUTH in plaintext":   {URL: "smtp://" + smtptest.User + ":" + smtptest.Password + "@" + plain.Addr},
		"an unknown issuer":   {URL: "smtp://" + encrypted.Addr},
		"TLS to a plain port": {URL: "smtps://" + plain.Addr},
	} {
		s.From = sender
		err := mailer(t, s).Send(t.Context(), hello)
		if err == nil || queue.IsPermanent(err) || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), smtptest.Password) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(plain.Messages()) + len(open.Messages()) + len(encrypted.Messages()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

// SPEC A9: a refused message is final, and everything that can get better is not. No error repeats the
// address, which servers quote.
func TestRefusals_A9(t *testing.T) {
	t.Parallel()
	s := smtptest.Start(t, smtptest.Options{STARTTLS: true, Auth: true})
	good := SMTP{URL: "smtp://" + smtptest.User + ":" + smtptest.Password + "@" + s.Addr, From: sender, RootCAs: s.RootCAs}
	for _, row := range []struct {
		command   string
		code      int
		enhanced  [3]int
		permanent bool
		want      string
	}{
		{"RCPT", 550, [3]int{5, 1, 1}, true, "mail server: RCPT TO: 550 5.1.1"},
		{"RCPT", 451, [3]int{4, 7, 1}, false, "mail server: RCPT TO: 451 4.7.1"},
		{"DATA", 554, [3]int{5, 7, 1}, true, "mail server: DATA: 554 5.7.1"},
		{"DATA", 452, [3]int{4, 3, 1}, false, "mail server: DATA: 452 4.3.1"},
		{"MAIL", 553, [3]int{5, 7, 1}, false, "mail server: MAIL FROM: 553 5.7.1"},
	} {
		s.Refuse(func(command, argument string) error {
			if command == row.command {
				return smtptest.Reply(row.code, row.enhanced, "<"+argument+"> is refused")
			}
			return nil
		})
		err := mailer(t, good).Send(t.Context(), hello)
		if err == nil || err.Error() != row.want || queue.IsPermanent(err) != row.permanent {
			t.Errorf("%v: got %v, permanent %v", row, err, queue.IsPermanent(err))
		}
	}

	s.Refuse(nil)
	wrong := good
	wrong.URL = "smtp://" + smtptest.User + ":wrong@" + s.Addr
	if err := mailer(t, wrong).Send(t.Context(), hello); err == nil || queue.IsPermanent(err) || !strings.Contains(err.Error(), "535") {
		t.Errorf("a wrong password: %v", err)
	}
	s.Close()
	if err := mailer(t, good).Send(t.Context(), hello); err == nil || queue.IsPermanent(err) || strings.Contains(err.Error(), s.Addr) {
		t.Errorf("no server: %v", err)
	}
}

// SPEC A9: a server that never replies does not hold a job.
func TestSilentServer_A9(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			accepted <- conn
		}
	}()
	err = mailer(t, SMTP{URL: "smtp://" + listener.Addr().String(), From: sender, Plaintext: true, step: 50 * time.Millisecond}).Send(t.Context(), hello)
	if err == nil || queue.IsPermanent(err) || err.Error() != "mail server: connect: no answer in time" {
		t.Error(err)
	}
	(<-accepted).Close()
}

// SPEC A9: nothing in an address or a subject becomes a header, on any way out.
func TestNoHeaderInjection_A9(t *testing.T) {
	t.Parallel()
	s := smtptest.Start(t, smtptest.Options{})
	for _, send := range []Mailer{
		mailer(t, SMTP{URL: "smtp://" + s.Addr, From: sender, Plaintext: true}), NewOutbox(&bytes.Buffer{}),
	} {
		for _, m := range []Message{
			{To: "ada@example.com\r\nBcc: eve@example.com", Subject: "x"},
			{To: "ada@example.com>\r\nRCPT TO:<eve@example.com", Subject: "x"},
			{To: "ada@example.com", Subject: "x\r\nBcc: eve@example.com"},
			{To: "ada@example.com", Subject: "x\nBcc: eve@example.com"},
			{To: "ada@example.com", Subject: "x\x00"},
			{To: "", Subject: "x"},
			{To: "ada@example.com", Subject: ""},
		} {
			if err := send.Send(t.Context(), m); !errors.Is(err, errMessage) || !queue.IsPermanent(err) {
				t.Errorf("%+v: %v", m, err)
			}
		}
	}
	if err := mailer(t, SMTP{URL: "smtp://" + s.Addr, From: sender, Plaintext: true}).Send(t.Context(), Message{To: "a@example.com", Subject: "x", Text: "\nBcc: eve@example.com\n.\nQUIT\n"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Messages(); len(got) != 1 || got[0].Header.Get("Bcc") != "" || got[0].Text != "\nBcc: eve@example.com\n.\nQUIT\n" {
		t.Errorf("%+v", got)
	}
}

// SPEC A9: an address whose domain is not in ASCII is sent in the form of DNS.
func TestInternationalDomain_A9(t *testing.T) {
	t.Parallel()
	s := smtptest.Start(t, smtptest.Options{})
	if err := mailer(t, SMTP{URL: "smtp://" + s.Addr, From: sender, Plaintext: true}).Send(t.Context(), Message{To: "jürgen@münchen.example", Subject: "x", Text: "y"}); err != nil {
		t.Fatal(err)
	}
	s.Wait(t, "jürgen@xn--mnchen-3ya.example", 1)
}

func TestInvalidSettings(t *testing.T) {
	t.Parallel()
	for _, s := range []SMTP{
		{URL: "http://mail.example.com", From: sender}, {URL: "smtp://", From: sender}, {URL: "smtp://mail.example.com:x", From: sender},
		{URL: "smtp://mail.example.com:0", From: sender}, {URL: "smtps://user:secret@%zz", From: sender}, {URL: "smtp://mail.example.com", From: "nobody"},
	} {
		if _, err := NewSMTP(s); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// A URL without a port leads to the port of its kind of TLS (RFC 8314, RFC 6409).
func TestUsualPorts(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"smtps://mail.example.com": "mail.example.com:465", "smtp://mail.example.com": "mail.example.com:587",
		"smtps://mail.example.com:2465": "mail.example.com:2465", "smtp://mail.example.com:25": "mail.example.com:25",
	} {
		m := mailer(t, SMTP{URL: url, From: sender}).(*smtpMailer)
		client, err := gomail.NewClient(m.host, m.options...)
		if err != nil || client.ServerAddr() != want {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

// The outbox keeps the last messages, newest first, and prints them.
func TestOutbox(t *testing.T) {
	t.Parallel()
	var printed bytes.Buffer
	o := NewOutbox(&printed)
	for i := range outboxSize + 5 {
		if err := o.Send(context.Background(), Message{To: "ada@example.com", Subject: strings.Repeat("x", i+1), Text: "code\nline two\n"}); err != nil {
			t.Fatal(err)
		}
	}
	got := o.Messages()
	if len(got) != outboxSize || len(got[0].Subject) != outboxSize+5 || len(got[outboxSize-1].Subject) != 6 {
		t.Errorf("%d messages: %v", len(got), got)
	}
	if !strings.Contains(printed.String(), "Mail to ada@example.com: x\n\n    code\n    line two\n") {
		t.Errorf("it printed %s", printed.String())
	}
}
