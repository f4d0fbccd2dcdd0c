package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/platform/events"
	"github.com/orderflow-dev/orderflow/platform/fault"
)

func (c commandLine) listenCommand() *cobra.Command {
	var f followFlags
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "For development: post the events of a server to a URL, as a webhook would get them",
		Long: `For development: post the events of a server to a URL on this machine, with the body, the headers and
the signature of a webhook. No public address is needed. Without --forward, it only prints the events.

The secret of the signatures is generated once and kept in DATA_DIR/listen-secret;
ORDERFLOW_WEBHOOK_SECRET sets another one. Events are posted one after the other. A receiver that cannot be
reached is waited for; one that answers with another status than 2xx gets the message up to three times.
After a disconnect it goes on behind the last event.

` + credentialsHelp,
		Example: c.examples("listen --email=ann@example.com", "listen --email=ann@example.com --forward=http://localhost:4000/hooks"),
		Args:    noArguments,
	}
	f.add(cmd)
	forward := cmd.Flags().String("forward", "", "`URL` to post the events to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("forward") && !isWebURL(*forward) {
			return usageErrorf(cmd, "--forward: %q is not a URL such as http://localhost:4000/hooks", *forward)
		}
		follow, err := c.follower(cmd, f)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		follow.say = func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
		follow.take = func(_ context.Context, e events.Message, text []byte) error { return printEvent(out, false, e, text) }
		if *forward != "" {
			secret, err := c.listenSecret()
			if err != nil {
				return err
			}
			follow.say("Forwarding to %s, signed with %s\n", *forward, secret.Reveal())
			follow.take = newForwarder(*forward, secret, follow.say).take
		}
		err = follow.run(cmd.Context())
		if err == nil && follow.cursor != "" {
			follow.say("Stopped. --after=%s goes on from here.\n", follow.cursor)
		}
		return err
	}
	return cmd
}

const (
	listenPost  = 15 * time.Second // as for webhooks
	listenTries = 3                // of a message that the receiver answers with another status than 2xx
	listenWait  = 500 * time.Millisecond
	listenWaits = 5 * time.Second
)

// forwarder posts events as the messages of a webhook.
type forwarder struct {
	url    string
	secret signature.Secret
	client http.Client
	say    func(format string, args ...any)
	number int64         // of the last delivery
	wait   time.Duration // before the second attempt; doubles
}

func newForwarder(url string, secret signature.Secret, say func(string, ...any)) *forwarder {
	return &forwarder{url: url, secret: secret, say: say, wait: listenWait, client: http.Client{
		Timeout:       listenPost,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{ForceAttemptHTTP2: true, DisableCompression: true, IdleConnTimeout: 30 * time.Second},
	}}
}

// take posts an event until the receiver has accepted it or has answered listenTries times. Its error is that
// of ctx.
func (f *forwarder) take(ctx context.Context, e events.Message, text []byte) error {
	f.number++
	body := asDelivery(text, f.number)
	id := deliveryID(e.ID)
	for pause, answers := f.wait, 0; ; pause = min(pause*2, listenWaits) {
		began := time.Now()
		status, err := f.post(ctx, id, body)
		if ctx.Err() != nil {
			f.number--
			return ctx.Err()
		}
		outcome := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
		if err != nil {
			outcome = "not reached, waiting: " + fault.Reason(err)
		} else {
			answers++
		}
		f.say("%s  %-26s %s/%d  -> %s, %d ms\n", began.Format("15:04:05.000"), e.Type, e.Subject, e.Version, outcome, time.Since(began).Milliseconds())
		if err == nil && (status >= 200 && status < 300 || status == http.StatusGone || answers == listenTries) {
			return nil
		}
		select {
		case <-ctx.Done():
			f.number--
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// post makes one attempt with the headers of a webhook.
func (f *forwarder) post(ctx context.Context, id string, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Orderflow/"+versionOf())
	req.Header["Idempotency-Key"] = []string{} // not sent: it allows net/http to retry when an idle connection was closed
	signature.Sign(req.Header, []signature.Secret{f.secret}, id, time.Now(), body)
	res, err := f.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, nil
}

// asDelivery returns the body of a webhook: the event as it came, and the number of the delivery.
func asDelivery(event []byte, number int64) []byte {
	event = bytes.TrimRight(event, " \r\n")
	return fmt.Appendf(nil, `%s,"deliverynumber":%d}`, bytes.TrimSuffix(event, []byte("}")), number)
}

// deliveryID has the form of a webhook's message id. It is the same whenever the event is posted, so that
// receivers recognise a repetition.
func deliveryID(event string) string {
	return "msg_" + strings.ReplaceAll(uuid.NewSHA1(uuid.NameSpaceURL, []byte("orderflow:"+event)).String(), "-", "")
}
