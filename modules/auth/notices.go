package auth

import (
	"context"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/clientaddr"
	"github.com/orderflow-dev/orderflow/platform/audit"
)

// The kinds of notices that this module sends.
const (
	NoticePasswordChanged = "password-changed"
	NoticeNewLogin        = "new-login"
	NoticeKeyCreated      = "api-key-created"
	NoticeKeyRotated      = "api-key-rotated"
)

// Notices tells owners what happened to their account (ASVS 5.0 6.3.7).
type Notices interface {
	// Notify tells the owner once tx commits. It is called for every log-in, and decides whether that
	// is one from elsewhere. The facts are the network and the device of the client, and the id of an
	// API key.
	Notify(ctx context.Context, tx pgx.Tx, userID uuid.UUID, kind string, facts map[string]string) error
}

// noNotices is used when Deps has none.
type noNotices struct{}

func (noNotices) Notify(context.Context, pgx.Tx, uuid.UUID, string, map[string]string) error {
	return nil
}

// facts are what a notice says of the client.
func (c client) facts() map[string]string {
	return map[string]string{"network": network(c.address), "device": device(c.agent)}
}

func keyFacts(ctx context.Context, id uuid.UUID) map[string]string {
	return map[string]string{"network": network(clientaddr.From(ctx)), "key": id.String()}
}

// network returns the /24 or /64 of an address, or "" for the zero Addr.
func network(a netip.Addr) string {
	if n := audit.Network(a); n.IsValid() {
		return n.String()
	}
	return ""
}

// programs and systems are parts of a User-Agent and what they stand for. The first one that is found
// counts, because most browsers name the others as well.
var (
	programs = [][2]string{
		{"edg", "Edge"}, {"opr/", "Opera"}, {"firefox/", "Firefox"}, {"fxios/", "Firefox"}, {"crios/", "Chrome"}, {"chrome/", "Chrome"}, {"chromium/", "Chrome"},
		{"safari/", "Safari"}, {"curl/", "curl"}, {"go-http-client/", "a Go program"}, {"python", "a Python program"}, {"node", "a Node.js program"}, {"okhttp/", "an Android app"}, {"java/", "a Java program"},
	}
	systems = [][2]string{
		{"android", "Android"}, {"iphone", "iOS"}, {"ipad", "iOS"}, {"windows", "Windows"}, {"mac os x", "macOS"}, {"cros", "ChromeOS"}, {"linux", "Linux"},
	}
)

// device returns the family of a User-Agent, such as "Firefox on Windows". It is one of a closed set, so
// that a message contains nothing that a stranger wrote, and an update of the browser is no new device.
func device(agent string) string {
	agent = strings.ToLower(agent)
	first := func(list [][2]string) string {
		for _, one := range list {
			if strings.Contains(agent, one[0]) {
				return one[1]
			}
		}
		return ""
	}
	program, system := first(programs), first(systems)
	switch {
	case program == "" && system == "":
		return "an unknown program"
	case program == "":
		return "a program on " + system
	case system == "":
		return program
	}
	return program + " on " + system
}
