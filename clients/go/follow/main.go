// Command follow prints the events of your orders as they happen. It stores the cursor in a file
// and resumes from it, also after a restart.
//
//	ORDERFLOW_TOKEN=... go run ./clients/go/follow -server http://localhost:3000 -cursor .cursor
//
// The token is an API key with the scope events:read, or an access token. The program is an example
// to copy: it contains only what every client of the socket needs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fasthttp/websocket"
)

func main() {
	server := flag.String("server", "http://localhost:3000", "where the API is")
	file := flag.String("cursor", "", "file to keep the cursor in; without it the stream begins now")
	types := flag.String("types", "", "only these types, with commas between")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f := &follower{server: *server, token: os.Getenv("ORDERFLOW_TOKEN"), types: *types, file: *file, out: os.Stdout}
	if err := f.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// event has the members of an event that this example uses; see /schemas/{type} for all.
type event struct {
	Type, Subject, Time, Cursor string
	Version                     int64
	Data                        struct{ Status string }
}

type follower struct {
	server, token, types string
	file                 string // of the cursor
	cursor               string
	out                  io.Writer
}

// errRefused means that a retry would not help.
var errRefused = errors.New("the server refuses")

// run follows events until ctx ends. After a failure it retries with a random delay, so that
// clients that were disconnected together do not reconnect together.
func (f *follower) run(ctx context.Context) error {
	if f.file != "" {
		raw, err := os.ReadFile(f.file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f.cursor = strings.TrimSpace(string(raw))
	}
	for failures := 0; ; failures++ {
		heard, err := f.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the context has ended
		}
		if errors.Is(err, errRefused) {
			return err
		}
		if heard {
			failures = 0
		}
		wait := rand.N(min(30*time.Second, 500*time.Millisecond<<min(failures, 6))) //nolint:gosec // jitter, not a secret
		fmt.Fprintf(os.Stderr, "%v; back in %s\n", err, wait.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// follow reads one connection until it fails.
func (f *follower) follow(ctx context.Context) (heard bool, err error) {
	address, err := url.Parse(f.server)
	if err != nil {
		return false, errors.Join(errRefused, err)
	}
	address.Scheme = strings.Replace(address.Scheme, "http", "ws", 1)
	address.Path = "/v1/events/ws"
	query := url.Values{}
	for name, value := range map[string]string{"after": f.cursor, "types": f.types} {
		if value != "" {
			query.Set(name, value)
		}
	}
	address.RawQuery = query.Encode()

	conn, res, err := websocket.DefaultDialer.DialContext(ctx, address.String(), http.Header{"Authorization": {"Bearer " + f.token}})
	if res != nil {
		defer res.Body.Close()
	}
	if err != nil {
		if res != nil && res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests {
			said, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
			return false, fmt.Errorf("%w: %s", errRefused, said)
		}
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	// The server sends a ping every 25 seconds, so a minute without one means a dead connection.
	alive := func() { _ = conn.SetReadDeadline(time.Now().Add(time.Minute)) }
	conn.SetPingHandler(func(text string) error {
		alive()
		return conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(10*time.Second))
	})
	for {
		alive()
		_, text, err := conn.ReadMessage()
		if err != nil {
			return heard, err
		}
		heard = true
		if err := f.take(text); err != nil {
			return heard, errors.Join(errRefused, err)
		}
	}
}

// take handles a frame and only then stores its cursor.
func (f *follower) take(text []byte) error {
	var e event
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	switch e.Type {
	case "ready", "notifications.unread":
	case "reset":
		fmt.Fprintln(os.Stderr, "the cursor is too old, or the database went back: read afresh what you need; events go on from here")
	default:
		fmt.Fprintf(f.out, "%s  %-22s order %s is %s (version %d)\n", e.Time, e.Type, e.Subject, e.Data.Status, e.Version)
	}
	f.cursor = e.Cursor
	if f.file == "" {
		return nil
	}
	return os.WriteFile(f.file, []byte(f.cursor+"\n"), 0o600)
}
