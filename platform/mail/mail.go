// Package mail sends messages to people. It knows SMTP servers, and an outbox for development.
//
// A Mailer sends one message and tells whether trying again can help. When and what is sent is the
// decision of its callers, who retry in a job.
package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/orderflow-dev/orderflow/platform/queue"
)

// Message is a message to one person, in plain text.
type Message struct {
	// To is the bare e-mail address of the recipient, such as ada@example.com.
	To string
	// Subject is one line.
	Subject string
	// Text is the body in UTF-8. Its lines end with \n.
	Text string
}

// Mailer sends messages. Implementations are safe for concurrent use.
type Mailer interface {
	// Send returns nil once the mail server is responsible for the message. It may be called again
	// after any error, so a recipient may get a message twice. An error that a retry cannot fix, such
	// as an unknown recipient, is marked with queue.Permanent. Errors are logged and stored with the
	// job, so they contain neither the address nor the text.
	Send(ctx context.Context, m Message) error
}

// errMessage is the error of a message that no server could accept.
var errMessage = errors.New("the message has no recipient or subject, or one with a line break")

// check makes header injection impossible whatever the library does: an address or a subject with a
// control character is refused.
func (m Message) check() error {
	for _, header := range []string{m.To, m.Subject} {
		if header == "" || strings.ContainsFunc(header, unicode.IsControl) {
			return queue.Permanent(errMessage)
		}
	}
	return nil
}

// Error is the reply of an SMTP server that did not accept a message, or the failure to reach one. It
// has the codes of the reply and not its text, because servers repeat the address in it.
type Error struct {
	During   string // such as "RCPT TO"
	Code     int    // such as 550; 0 if the server did not reply
	Enhanced string // the enhanced status code (RFC 3463), such as 5.1.1; may be empty
	Reason   string // without a reply: what failed, without names and addresses
}

// Error returns the codes.
func (e *Error) Error() string {
	if e.Code == 0 {
		return "mail server: " + e.During + ": " + e.Reason
	}
	return strings.TrimSpace(fmt.Sprintf("mail server: %s: %d %s", e.During, e.Code, e.Enhanced))
}

// Permanent reports whether the server refused this message for good. Refused credentials, encryption
// or senders are faults of the settings, which an operator can correct while the message waits.
func (e *Error) Permanent() bool {
	return e.Code >= 500 && e.Code <= 599 && (e.During == duringRecipient || e.During == duringData)
}

const (
	duringConnect   = "connect"
	duringSender    = "MAIL FROM"
	duringRecipient = "RCPT TO"
	duringData      = "DATA"
)
