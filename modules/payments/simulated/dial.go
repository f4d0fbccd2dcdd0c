package simulated

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/orderflow-dev/orderflow/modules/payments"
)

// Dial returns a provider that calls the bank of a Handler over HTTP. It connects with the
// first call; connection errors are retryable.
func Dial(url string) payments.Provider {
	return &remote{
		url: strings.TrimRight(url, "/"),
		client: &http.Client{
			Timeout: 30 * time.Second, // the caller's timeout is shorter
			Transport: &http.Transport{
				DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
				ResponseHeaderTimeout: 15 * time.Second,
				IdleConnTimeout:       30 * time.Second,
				MaxIdleConnsPerHost:   256, // for many concurrent workers
			},
		},
	}
}

type remote struct {
	url    string
	client *http.Client
}

func (r *remote) Name() string      { return "simulated" }
func (r *remote) NeedsMethod() bool { return false }

func (r *remote) Authorize(ctx context.Context, a payments.Authorization) (string, error) {
	return r.ask(ctx, Authorize, requestOf(a))
}

func (r *remote) Capture(ctx context.Context, c payments.Capture) error {
	_, err := r.ask(ctx, Capture, request{Key: c.Key, Reference: c.Reference, Amount: c.Amount})
	return err
}

func (r *remote) Void(ctx context.Context, v payments.Void) error {
	of := requestOf(v.Of)
	_, err := r.ask(ctx, Void, request{Key: v.Key, Reference: v.Reference, Of: &of})
	return err
}

func (r *remote) Refund(ctx context.Context, f payments.Refund) (string, error) {
	return r.ask(ctx, Refund, request{Key: f.Key, Reference: f.Reference, Amount: f.Amount})
}

func (r *remote) ask(ctx context.Context, call string, q request) (string, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("simulated %s: %w", call, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/"+call, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("simulated %s: %w", call, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", q.Key) // allows net/http to retry when an idle connection was closed

	resp, err := r.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("simulated %s: %w", call, err)
	}
	defer resp.Body.Close()
	var answer response
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&answer); err != nil {
		return "", fmt.Errorf("simulated %s: status %d and no answer: %w", call, resp.StatusCode, err)
	}
	switch {
	case answer.Error != nil:
		return "", answer.Error.err()
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("simulated %s: status %d", call, resp.StatusCode)
	default:
		return answer.Reference, nil
	}
}
