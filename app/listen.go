package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/modules/webhooks"
)

// listenCommand forwards the events of a server's socket to a local address in the form of
// webhook messages, so that developers need no public address.
func listenCommand(ctx context.Context, _ *config.Config, args []string, out io.Writer) error {
	l := &listening{key: os.Getenv("ORDERFLOW_API_KEY"), password: os.Getenv("ORDERFLOW_PASSWORD")}
	return l.listen(ctx, args, out)
}

func (l *listening) listen(ctx context.Context, args []string, out io.Writer) error {
	l.out, l.secret = out, signature.NewSecret()
	flags := flagSet("listen", out)
	flags.StringVar(&l.forward, "forward", "", "URL to post the events to")
	flags.StringVar(&l.types, "types", "", "only these types, with commas between")
	flags.StringVar(&l.server, "server", "http://localhost:3000", "where Orderflow is")
	flags.StringVar(&l.email, "email", "", "address to log in with; the password is ORDERFLOW_PASSWORD. Otherwise ORDERFLOW_API_KEY")
	flags.StringVar(&l.cursor, "after", "", "begin behind this cursor instead of now")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	l.say("The events are signed with %s\n", l.secret.Reveal())
	return l.run(ctx)
}

// listening follows the socket and reconnects after errors.
type listening struct {
	out                            io.Writer
	server, forward, types, cursor string
	email, password, key           string
	secret                         signature.Secret
	number                         int64
	client                         http.Client
}

const (
	listenRetry   = 200 * time.Millisecond // doubles up to
	listenRetries = 10 * time.Second
	listenSilence = time.Minute // without a frame or a ping, a connection counts as dead
	listenPost    = 15 * time.Second
)

func (l *listening) check() error {
	l.server = strings.TrimRight(l.server, "/")
	for name, value := range map[string]string{"forward": l.forward, "server": l.server} {
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--%s: %q is not a URL such as http://localhost:4000/hooks", name, value)
		}
	}
	if l.key == "" && (l.email == "" || l.password == "") {
		return errors.New("who is listening? Set ORDERFLOW_API_KEY, or --email and ORDERFLOW_PASSWORD")
	}
	l.client = http.Client{
		Timeout:       listenPost,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func (l *listening) say(format string, args ...any) { _, _ = fmt.Fprintf(l.out, format, args...) }

// refused is a response that a retry cannot change.
type refused struct{ error }

func (l *listening) run(ctx context.Context) error {
	pause := listenRetry
	for {
		before := l.cursor
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop, which is no failure
		}
		if never, ok := errors.AsType[*refused](err); ok {
			return never.error
		}
		if l.cursor != before {
			pause = listenRetry
		}
		l.say("Cut off (%v); goes on from where it was.\n", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // jitter, not a secret
		}
		pause = min(pause*2, listenRetries)
	}
}

// follow opens the socket and forwards events until the connection ends.
func (l *listening) follow(ctx context.Context) error {
	conn, err := l.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetPingHandler(func(text string) error {
		_ = conn.SetReadDeadline(time.Now().Add(listenSilence))
		return conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Second))
	})
	for {
		_ = conn.SetReadDeadline(time.Now().Add(listenSilence))
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := l.take(ctx, text); err != nil {
			return err
		}
	}
}

// take forwards one event and then stores its cursor, so that after a disconnect the event is
// repeated and not lost.
func (l *listening) take(ctx context.Context, text []byte) error {
	var m webhooks.Message
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("not a frame of Orderflow: %w", err)
	}
	switch m.Type {
	case "ready":
		l.say("Listening at %s, forwarding to %s\n", l.server, l.forward)
	case "reset":
		l.say("The server does not have that place: it is too long ago, or its database went back. What was in between is lost. Goes on from now.\n")
	default:
		l.number++
		m.DeliveryNumber = l.number
		l.post(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	l.cursor = m.Cursor
	return nil
}

// post sends an event once in the form of a webhook message and returns the result.
func (l *listening) post(ctx context.Context, m webhooks.Message) {
	began, outcome := time.Now(), ""
	body, err := json.Marshal(m)
	if err == nil {
		outcome, err = l.exchange(ctx, m, body)
	}
	if err != nil {
		outcome = err.Error()
	}
	l.say("%s  %-24s %s/%d  -> %s, %d ms\n", began.Format("15:04:05.000"), m.Type, m.Subject, m.Version, outcome, time.Since(began).Milliseconds())
}

func (l *listening) exchange(ctx context.Context, m webhooks.Message, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.forward, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Orderflow/"+versionOf())
	id := fmt.Sprintf("msg_%s_%d", strings.ReplaceAll(m.Subject.String(), "-", ""), m.Version)
	signature.Sign(req.Header, []signature.Secret{l.secret}, id, time.Now(), body)
	res, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return res.Status, nil
}

func (l *listening) dial(ctx context.Context) (*websocket.Conn, error) {
	token, err := l.token(ctx)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	if l.cursor != "" {
		query.Set("after", l.cursor)
	}
	if l.types != "" {
		query.Set("types", l.types)
	}
	address := "ws" + strings.TrimPrefix(l.server, "http") + "/v1/events/ws?" + query.Encode()
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second, Proxy: http.ProxyFromEnvironment}
	conn, res, err := dialer.DialContext(ctx, address, http.Header{"Authorization": {"Bearer " + token}})
	if res == nil || err == nil {
		return conn, err
	}
	defer res.Body.Close()
	return nil, l.refusal(res)
}

// refusal distinguishes permanent from temporary rejections.
func (l *listening) refusal(res *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	err := fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(raw)))
	if res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests {
		return &refused{err}
	}
	return err
}

// token returns the API key or the token of a new login. It is only needed to open a socket.
func (l *listening) token(ctx context.Context) (string, error) {
	if l.key != "" {
		return l.key, nil
	}
	body, err := json.Marshal(map[string]string{"email": l.email, "password": l.password})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.server+"/v1/auth/login", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", l.refusal(res)
	}
	var tokens struct {
		AccessToken string `json:"accessToken"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&tokens)
	return tokens.AccessToken, err
}
