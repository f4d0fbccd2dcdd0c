package app

import (
	"errors"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/platform/mail"
)

var (
	errNilMailer = errors.New("the constructor of WithMailer is nil or returned nil")
	errNoMailer  = errors.New("EMAIL_VERIFICATION: required needs SMTP_URL, because no message could be sent")
)

// newMailer returns what sends the messages of the product: the mailer of the options, an SMTP server, in
// development an outbox, or nil.
func (n *node) newMailer(p *Platform) (mail.Mailer, error) {
	switch {
	case len(n.added.mailers) > 0:
		if n.added.mailers[0] == nil {
			return nil, errNilMailer
		}
		m, err := n.added.mailers[0](p)
		if err == nil && m == nil {
			err = errNilMailer
		}
		return m, err
	case n.cfg.SMTPURL != "":
		return mail.NewSMTP(mail.SMTP{URL: n.cfg.SMTPURL.Reveal(), From: n.cfg.MailFrom, Plaintext: n.cfg.SMTPPlaintext()})
	case !n.cfg.IsProduction():
		n.outbox = mail.NewOutbox(n.terminal)
		return n.outbox, nil
	case n.cfg.EmailVerification == config.VerificationRequired:
		return nil, errNoMailer
	}
	return nil, nil //nolint:nilnil // production sends no messages without one
}
