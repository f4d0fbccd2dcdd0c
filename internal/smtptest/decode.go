package smtptest

import (
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// decode returns the text of a message with \n as its line break.
func decode(m *mail.Message) (string, error) {
	body := m.Body
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	return strings.ReplaceAll(string(text), "\r\n", "\n"), err
}
