package users

import (
	"fmt"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/platform/mail"
)

// requests are the messages that ask for something. Their text is followed by the link or the code.
var requests = map[string]struct{ subject, text, fragment, after string }{
	mailVerification: {
		"Confirm your e-mail address",
		"An account was registered with this e-mail address. Confirm that the address is yours to use the account.",
		"verification",
		"It is valid for 24 hours. If you did not register, ignore this message: without the confirmation, the account cannot be used and does not keep your address from you.",
	},
	mailReset: {
		"Reset your password",
		"A new password was requested for your account.",
		"password-reset",
		"It is valid for 30 minutes and can be used once. If you did not request it, ignore this message: your password stays as it is.",
	},
	mailInvitation: {
		"You are invited",
		"You are invited to register an account with this e-mail address.",
		"invitation",
		"It is valid for 7 days. If you do not want an account, ignore this message.",
	},
}

// byAdminText replaces the text of a reset that an administrator started.
const byAdminText = "An administrator started a reset of the password of your account."

// notices are the messages that tell the owner of an account what happened to it. They contain no link,
// so that people do not get used to links in such messages.
var notices = map[string]struct{ subject, text string }{
	noticePassword:   {"Your password was changed", "The password of your account was changed. All other sessions have ended."},
	noticeReset:      {"Your password was reset", "The password of your account was reset with a code that was sent to this address. All sessions have ended."},
	noticeLogin:      {"New log-in to your account", "Somebody logged in to your account from a network or with a program from which it was not used before."},
	noticeKeyCreated: {"A new API key for your account", "An API key was created for your account."},
	noticeKeyRotated: {"An API key of your account was rotated", "An API key of your account has a new secret."},
}

const noticeAdvice = "If this was you, there is nothing to do. If it was not, reset your password, which ends all sessions, and delete the API keys and webhooks that you do not know."

// request writes a message with a token.
func (m *Module) request(to string, args MailArgs, token string) mail.Message {
	r := requests[args.Message]
	text := r.text
	if args.Facts[factBy] == byAdmin {
		text = byAdminText
	}
	what := "Your code:\n\n" + token
	if m.linkURL != "" {
		what = "Open this page:\n\n" + m.linkURL + "#" + r.fragment + "=" + token // a fragment is in no log and no Referer
	}
	return mail.Message{To: to, Subject: r.subject, Text: strings.Join([]string{text, circumstances(args), what, r.after}, "\n\n") + "\n"}
}

// notice writes a message without a token.
func (m *Module) notice(to string, args MailArgs) (mail.Message, error) {
	n, known := notices[args.Message]
	if !known {
		return mail.Message{}, fmt.Errorf("there is no message %q", args.Message)
	}
	return mail.Message{To: to, Subject: n.subject, Text: strings.Join([]string{n.text, circumstances(args), noticeAdvice}, "\n\n") + "\n"}, nil
}

// circumstances are lines by which the recipient can tell what happened from other events.
func circumstances(args MailArgs) string {
	lines := []string{"Time:    " + args.At.UTC().Format(time.DateTime) + " UTC"}
	for _, fact := range []struct{ label, name string }{{"Network:", factNetwork}, {"Program:", factDevice}, {"API key:", factKey}} {
		if value := args.Facts[fact.name]; value != "" {
			lines = append(lines, fmt.Sprintf("%-8s %s", fact.label, value))
		}
	}
	return strings.Join(lines, "\n")
}
