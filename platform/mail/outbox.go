package mail

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// outboxSize is the number of messages that an Outbox keeps.
const outboxSize = 20

// Outbox is the Mailer of development. It prints messages to a terminal and keeps the last 20 in
// memory, of this process alone.
type Outbox struct {
	out io.Writer

	mu   sync.Mutex
	kept []Sent
}

// Sent is a message of an Outbox and when it was sent.
type Sent struct {
	At time.Time
	Message
}

// NewOutbox returns an Outbox that prints to out.
func NewOutbox(out io.Writer) *Outbox { return &Outbox{out: out} }

// Send implements Mailer. It fails only for a message that an SMTP server could not accept either.
func (o *Outbox) Send(_ context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append([]Sent{{time.Now(), m}}, o.kept[:min(len(o.kept), outboxSize-1)]...)
	indented := strings.ReplaceAll(strings.TrimSpace(m.Text), "\n", "\n    ")
	_, _ = fmt.Fprintf(o.out, "\n  Mail to %s: %s\n\n    %s\n\n", m.To, m.Subject, indented)
	return nil
}

// Messages returns the messages that are kept, newest first.
func (o *Outbox) Messages() []Sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Sent(nil), o.kept...)
}
