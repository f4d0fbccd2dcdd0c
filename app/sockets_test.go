package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fasthttp/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
)

// dial tries to open a socket and returns the answer when that is refused.
func (s *server) dial(query string, header http.Header) (*websocket.Conn, answer) {
	s.t.Helper()
	conn, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.base, "http")+"/v1/events/ws"+query, header)
	if err == nil {
		s.t.Cleanup(func() { conn.Close() })
		return conn, answer{status: res.StatusCode}
	}
	if res == nil {
		s.t.Error(err)
		return nil, answer{}
	}
	raw, _ := io.ReadAll(res.Body)
	return nil, answer{status: res.StatusCode, header: res.Header, raw: raw}
}

func (c *client) ticket() string {
	c.t.Helper()
	return c.want(201, "POST", "/v1/events/tickets", "").text("ticket")
}

func (a answer) is(status int, code string) bool {
	return a.status == status && strings.Contains(string(a.raw), `"code":"`+code+`"`)
}

// E2, ASVS 5.0 4.4.3 (dedicated tokens for sockets): of 20 that come with one ticket
// over two nodes at once, one is let in.
func TestTicketIsRaced(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	nodes := []*server{serveTest(t, cfg), serveTest(t, cfg)}
	ann := nodes[0].user("ann")
	for range 5 {
		ticket := ann.ticket()
		var all sync.WaitGroup
		answers := make(chan answer, 20)
		for i := range cap(answers) {
			all.Go(func() {
				_, a := nodes[i%2].dial("?ticket="+ticket, nil)
				answers <- a
			})
		}
		all.Wait()
		close(answers)
		in := 0
		for a := range answers {
			switch {
			case a.status == http.StatusSwitchingProtocols:
				in++
			case !a.is(401, "invalid-ticket"):
				t.Errorf("the others are told %s", a)
			}
		}
		if in != 1 {
			t.Errorf("%d were let in", in)
		}
	}
}

// E2, A5: a ticket is for its user, for 30 s, and for as long as its session.
func TestTicketIsItsUsersAlone(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	root, ann, bob := s.admin(), s.user("ann"), s.user("bob")
	root.product("KETTLE", 100)
	bobsID := bob.want(200, "GET", "/v1/users/me", "").text("id")
	asBob := http.Header{"Authorization": {"Bearer " + bob.token}}

	ticket := ann.ticket()
	if _, a := s.dial("?ticket="+ticket, asBob); !a.is(401, "two-credentials") {
		t.Errorf("with another's token: %s", a)
	}
	if _, a := s.dial("?userId="+bobsID+"&ticket="+ann.ticket(), nil); !a.is(403, "forbidden") {
		t.Errorf("for another's orders: %s", a)
	}
	for _, path := range []string{"/v1/orders", "/v1/users/me", "/v1/events/tickets"} {
		method := map[bool]string{true: "POST", false: "GET"}[path == "/v1/events/tickets"]
		if a := s.anonymous().send(method, path+"?ticket="+ticket, ""); a.status != 401 {
			t.Errorf("for %s: %s", path, a)
		}
	}
	conn, a := s.dial("?ticket="+ticket, nil) // none of these used it up
	if conn == nil {
		t.Fatalf("afterwards: %s", a)
	}
	stream := &socket{t, conn}
	stream.until("ready", "")
	for range 3 {
		bob.order("KETTLE", 1)
	}
	own := ann.order("KETTLE", 1)
	for m := (message{}); m.Subject != own; {
		var err error
		if m, err = stream.next(); err != nil || m.Subject != own {
			t.Fatalf("heard %+v, %v", m, err)
		}
	}

	late := ann.ticket()
	db, err := pgx.Connect(t.Context(), cfg.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	if _, err := db.Exec(t.Context(), "update tickets set expires_at = now() - interval '1 ms'"); err != nil {
		t.Fatal(err)
	}
	if _, a := s.dial("?ticket="+late, nil); !a.is(401, "invalid-ticket") {
		t.Errorf("expired: %s", a)
	}

	ofSession, ofAccount := ann.ticket(), bob.ticket()
	ann.want(204, "POST", "/v1/auth/logout", "")
	root.want(200, "PATCH", "/v1/users/"+bobsID, `{"active":false}`)
	for what, ticket := range map[string]string{"an ended session": ofSession, "a deactivated account": ofAccount} {
		if _, a := s.dial("?ticket="+ticket, nil); !a.is(401, "invalid-ticket") {
			t.Errorf("of %s: %s", what, a)
		}
	}
}

// E2, F3, ASVS 5.0 14.2.1 (no secrets in URLs), RFC 9700 section 4.3.2, RFC 6750
// section 5.3: no credential but a ticket is accepted in a URL, and no log contains a
// value of a URL, at any level.
func TestNoTokenInAURLOrALog(t *testing.T) {
	t.Parallel()
	log := &syncbuf.Buffer{}
	s := serveLogging(t, settings(t), slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ann := s.user("ann")
	_, machine := ann.key("events:read", "orders:read", "account:read")
	secrets := map[string]string{
		"access token": ann.token, "refresh token": ann.refresh, "API key": machine.token, "used ticket": ann.ticket(), "made up": "canary-in-a-url",
	}
	if conn, a := s.dial("?ticket="+secrets["used ticket"], nil); conn == nil {
		t.Fatalf("the ticket: %s", a)
	}

	for what, secret := range secrets {
		for _, name := range []string{"ticket", "access_token", "token", "jwt", "bearer", "authorization", "Authorization", "api_key", "apiKey", "key", "auth"} {
			query := "?" + url.Values{name: {secret}}.Encode()
			if _, a := s.dial(query, nil); a.status != 401 {
				t.Errorf("%s as %s opens a socket: %s", what, name, a)
			}
			if a := s.anonymous().send("GET", "/v1/users/me"+query, ""); a.status != 401 {
				t.Errorf("%s as %s: %s", what, name, a)
			}
		}
		if _, a := s.dial("", http.Header{"Cookie": {"access_token=" + secret}, "X-Api-Key": {secret}, "X-Access-Token": {secret}}); a.status != 401 {
			t.Errorf("%s as a cookie: %s", what, a)
		}
		if _, a := s.dial("", http.Header{"Sec-Websocket-Protocol": {"bearer, " + secret}}); a.status != 401 {
			t.Errorf("%s as a protocol: %s", what, a)
		}
		if a, err := s.anonymous().try("GET", "/v1/nowhere/"+url.PathEscape(secret), ""); err != nil || a.status != 404 {
			t.Errorf("%s in a path: %s, %v", what, a, err)
		}
	}
	s.stop()

	if lines := strings.Count(log.String(), `"route":"/v1/events/ws"`); lines < 50 {
		t.Errorf("only %d requests are in the log", lines)
	}
	for what, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), secret[len(secret)/2:]} {
			if strings.Contains(log.String(), form) {
				t.Errorf("the log holds the %s", what)
			}
		}
	}
	if strings.Contains(log.String(), "ticket=") {
		t.Error("the log holds queries")
	}
}
