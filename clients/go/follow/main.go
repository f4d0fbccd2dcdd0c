// Command follow prints the events of your orders as they happen. It stores the cursor in a file
// and resumes from it, also after a restart.
//
//	ORDERFLOW_TOKEN=... go run ./follow -server http://localhost:3000 -cursor .cursor
//
// The token is an API key with the scope events:read, or an access token.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	orderflow "github.com/orderflow-dev/orderflow/clients/go"
)

func main() {
	server := flag.String("server", "http://localhost:3000", "where the API is")
	file := flag.String("cursor", "", "file to keep the cursor in; without it the events begin now")
	types := flag.String("types", "", "only these types, with commas between")
	after := flag.String("after", "", "where to begin without a stored cursor: a cursor, or start for the oldest event that is kept")
	sse := flag.Bool("sse", false, "use Server-Sent Events in place of a WebSocket")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	options := orderflow.FollowOptions{After: *after, OnRetry: retrying}
	if *types != "" {
		options.Types = strings.Split(*types, ",")
	}
	if *sse {
		options.Transport = orderflow.ServerSentEvents
	}
	err := follow(ctx, *server, os.Getenv("ORDERFLOW_TOKEN"), options, *file, os.Stdout)
	interrupted := ctx.Err() != nil
	stop()
	if err != nil && !interrupted {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func retrying(err error, wait time.Duration) {
	fmt.Fprintf(os.Stderr, "%v; connects again in %s\n", err, wait.Round(time.Millisecond))
}

// follow prints each event and then stores its cursor, so that an interruption repeats an event and
// leaves none out.
func follow(ctx context.Context, server, token string, options orderflow.FollowOptions, file string, out io.Writer) error {
	client, err := orderflow.New(server, orderflow.APIKey(token))
	if err != nil {
		return err
	}
	if stored, err := load(file); err != nil {
		return err
	} else if stored != "" {
		options.After = stored
	}
	var failed error
	options.OnReady = func(cursor string) { failed = store(file, cursor) }
	for event, err := range client.Follow(ctx, options) {
		var reset *orderflow.ResetError
		switch {
		case errors.As(err, &reset):
			fmt.Fprintln(os.Stderr, "events may be missing: read afresh what you need")
			failed = errors.Join(failed, store(file, reset.Cursor))
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "%s  %-22s order %s is %s (version %d)\n", event.Time.Format(time.RFC3339Nano), event.Type, event.Subject, status(event), event.Version)
			failed = errors.Join(failed, store(file, event.Cursor))
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// status returns the status of the order after an event of any type, known or not.
func status(e *orderflow.Event) string {
	var event struct{ Data struct{ Status string } }
	if err := json.Unmarshal(e.Raw, &event); err != nil {
		return "unknown"
	}
	return event.Data.Status
}

func load(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(raw)), err
}

func store(file, cursor string) error {
	if file == "" {
		return nil
	}
	return os.WriteFile(file, []byte(cursor+"\n"), 0o600)
}
