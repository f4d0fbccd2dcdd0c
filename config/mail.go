package config

import (
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// checkMail checks the settings of e-mail and registration.
func (c *Config) checkMail() (problems []string) {
	bad := func(name, what string) { problems = append(problems, name+": "+what) }
	if c.Registration != RegistrationOpen && c.Registration != RegistrationInvite && c.Registration != RegistrationOff {
		bad("REGISTRATION", "must be open, invite or off")
	}
	if c.EmailVerification != VerificationRequired && c.EmailVerification != VerificationOff {
		bad("EMAIL_VERIFICATION", "must be required or off")
	}
	if c.MailFrom != "" && !isSender(c.MailFrom) {
		bad("MAIL_FROM", "must be an e-mail address such as no-reply@example.com or Orderflow <no-reply@example.com>")
	}
	if c.SMTPURL != "" && c.MailFrom == "" {
		bad("MAIL_FROM", "must be set with SMTP_URL")
	}
	if c.MailLinkURL != "" && !isPage(c.MailLinkURL) {
		bad("MAIL_LINK_URL", "must be the URL of a page such as https://shop.example.com/account, without user, query and fragment")
	}
	return append(problems, c.checkSMTP()...)
}

func (c *Config) checkSMTP() []string {
	if problems := checkScheme("SMTP_URL", c.SMTPURL, "smtps", "smtp"); c.SMTPURL == "" || problems != nil {
		return problems
	}
	u, err := url.Parse(c.SMTPURL.Reveal())
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || !isPort(u.Port()) {
		return []string{"SMTP_URL: must look like smtps://USER:PASSWORD@HOST:465 or smtp://USER:PASSWORD@HOST:587"}
	}
	return nil
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return s == "" || err == nil && n > 0 && n < 65536
}

func isSender(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && !strings.ContainsFunc(a.Name+a.Address, unicode.IsControl)
}

func isPage(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil &&
		!strings.ContainsAny(s, "?#") && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) })
}

// SMTPPlaintext reports whether SMTP_URL may be used without TLS: in development, on this machine, and
// for a host in PLAINTEXT_HOSTS. Otherwise smtp:// requires STARTTLS.
func (c *Config) SMTPPlaintext() bool {
	u, err := url.Parse(c.SMTPURL.Reveal())
	return err == nil && u.Scheme == "smtp" && (!c.IsProduction() || isLocal(u.Hostname()) || slices.Contains(c.PlaintextHosts, u.Hostname()))
}

func (c *Config) smtpPassword() string {
	u, err := url.Parse(c.SMTPURL.Reveal())
	if err != nil || u.User == nil {
		return ""
	}
	p, _ := u.User.Password()
	return p
}
