package pagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// How long a step may take.
const patience = testwait.Limit

// Shown is one event in the log of the page.
type Shown struct {
	ID       string // "<order>/<version>"
	Order    string
	Type     string
	Replayed bool
}

// TryFlow uses /try like a visitor with an existing account: it logs in, places an order, waits for
// PROCESSING, repeats the request, cuts the connection, places another order, and resumes. It fails
// the test unless the page then shows every event of the second order exactly once and in order,
// marks and counts the events of the interruption as replayed (SPEC C3, E2, E3).
func TryFlow(t *testing.T, ctx context.Context, baseURL, email, password string) {
	t.Helper()
	LogIn(t, ctx, baseURL, email, password)
	api := newClient(t, baseURL, email, password)

	first := Place(t, ctx, 2)
	WaitStatus(t, ctx, first, "PROCESSING")
	run(t, ctx, "send the same request again",
		chromedp.Click(chromedp.CSS("#again")),
		chromedp.WaitVisible(chromedp.CSS(`#result[data-replayed="true"][data-order="`+first+`"]`)))

	Cut(t, ctx)
	second := Place(t, ctx, 1)
	missed := api.settled(ctx, second)
	WaitStatus(t, ctx, second, "PENDING") // the page shows the status of the response

	Resume(t, ctx)
	WaitStatus(t, ctx, second, "PROCESSING")
	wantReplayed(t, ctx, second, missed)
}

// wantReplayed waits until the log shows the order's events, and compares.
func wantReplayed(t *testing.T, ctx context.Context, order string, missed []string) {
	t.Helper()
	run(t, ctx, "wait for the replayed events",
		chromedp.WaitReady(chromedp.CSS(`#log [data-id="`+missed[len(missed)-1]+`"].replayed`)))

	var shown, replayed []string
	for _, e := range Log(t, ctx) {
		if e.Order == order {
			shown = append(shown, e.ID)
		}
		if e.Replayed {
			replayed = append(replayed, e.ID)
		}
	}
	for i, id := range shown {
		if want := order + "/" + strconv.Itoa(i+1); id != want {
			t.Errorf("event %d of the order is shown as %s, want %s", i+1, id, want)
		}
	}
	if len(shown) < len(missed) || !slices.Equal(shown[:len(missed)], missed) {
		t.Errorf("shown are %v, want them to begin with %v", shown, missed)
	}
	for _, id := range missed {
		if !slices.Contains(replayed, id) {
			t.Errorf("%s was missed but is not marked as replayed", id)
		}
	}
	if n := Missed(t, ctx); n != len(replayed) {
		t.Errorf("the page counts %d missed events and shows %d", n, len(replayed))
	}
}

// LogIn opens /try, logs in, and waits until events are live.
func LogIn(t *testing.T, ctx context.Context, baseURL, email, password string) {
	t.Helper()
	run(t, ctx, "log in",
		chromedp.Navigate(baseURL+"/try"),
		chromedp.WaitVisible(chromedp.CSS("#login")),
		chromedp.SendKeys(chromedp.CSS("#email"), email),
		chromedp.SendKeys(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS("#enter")),
		chromedp.WaitVisible(chromedp.CSS("#shop")))
	WaitState(t, ctx, "live")
}

// Place orders units of the first available product on the page, and returns the id of the order.
func Place(t *testing.T, ctx context.Context, quantity int) string {
	t.Helper()
	const product = `#products .product:not(:has([data-level="none"])) .plus`
	actions := []step{
		chromedp.SetAttributeValue(chromedp.CSS("#result"), "data-order", ""), // of the previous order
		chromedp.WaitVisible(chromedp.CSS(product)),
	}
	for range quantity {
		actions = append(actions, chromedp.Click(chromedp.CSS(product)))
	}
	actions = append(actions,
		chromedp.Click(chromedp.CSS("#place:enabled")),
		chromedp.WaitVisible(chromedp.CSS(`#result[data-status="201"]:not([data-order=""])`)))
	run(t, ctx, "place an order", actions...)
	return value(t, ctx, "read the order's id", chromedp.AttributeValue(chromedp.CSS("#result"), "data-order")).Value
}

// WaitStatus waits until the page shows the order with that status.
func WaitStatus(t *testing.T, ctx context.Context, order, status string) {
	t.Helper()
	run(t, ctx, "wait for "+order+" to be "+status,
		chromedp.WaitVisible(chromedp.CSS(`[id="order-`+order+`"][data-status="`+status+`"]`)))
}

// WaitState waits until the connection is "live", "cut", "waiting", "off" or "refused".
func WaitState(t *testing.T, ctx context.Context, state string) {
	t.Helper()
	run(t, ctx, "wait for the line to be "+state,
		chromedp.WaitReady(chromedp.CSS(`#state[data-state="`+state+`"]`)))
}

// Cut closes the connection of the page until Resume is called.
func Cut(t *testing.T, ctx context.Context) {
	t.Helper()
	run(t, ctx, "cut the connection", chromedp.Click(chromedp.CSS("#cut")))
	WaitState(t, ctx, "cut")
}

// Resume reconnects with the cursor of the page.
func Resume(t *testing.T, ctx context.Context) {
	t.Helper()
	run(t, ctx, "resume", chromedp.Click(chromedp.CSS("#resume:enabled")))
	WaitState(t, ctx, "live")
}

// Log returns the events in the log of the page, oldest first.
func Log(t *testing.T, ctx context.Context) []Shown {
	t.Helper()
	return value(t, ctx, "read the log", chromedp.Evaluate[[]Shown](`[...document.querySelectorAll("#log .event")].reverse().map((row) => ({
		ID: row.dataset.id, Order: row.dataset.order, Type: row.dataset.type, Replayed: row.classList.contains("replayed") }))`))
}

// Missed returns the number of replayed events that the page shows.
func Missed(t *testing.T, ctx context.Context) int {
	t.Helper()
	n := value(t, ctx, "read the count", chromedp.AttributeValue(chromedp.CSS("#missed"), "data-count")).Value
	count, err := strconv.Atoi(n)
	if err != nil {
		t.Fatalf("the page counts %q", n)
	}
	return count
}

type step = chromedp.Action[chromedp.Void]

// run runs the steps, and names the step that did not end in time.
func run(t *testing.T, ctx context.Context, what string, steps ...step) {
	t.Helper()
	value(t, ctx, what, chromedp.Steps(steps...))
}

func value[T any](t *testing.T, ctx context.Context, what string, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return v
}

// client requests the expected state from the API directly.
type client struct {
	t           *testing.T
	base, token string
}

func newClient(t *testing.T, base, email, password string) *client {
	t.Helper()
	c := &client{t: t, base: base}
	var tokens struct{ AccessToken string }
	c.do(t.Context(), http.MethodPost, "/v1/auth/login", map[string]string{"email": email, "password": password}, &tokens)
	c.token = tokens.AccessToken
	return c
}

// settled waits until the order is PROCESSING and returns its events' ids.
func (c *client) settled(ctx context.Context, order string) []string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for poll := time.NewTicker(50 * time.Millisecond); ; {
		var history struct{ Data []struct{ ID, Type string } }
		c.do(ctx, http.MethodGet, "/v1/orders/"+order+"/events", nil, &history)
		var ids []string
		done := false
		for _, e := range history.Data {
			ids = append(ids, e.ID)
			done = done || e.Type == "order.processing"
		}
		if done {
			return ids
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			c.t.Fatalf("order %s does not get to PROCESSING: %v", order, ids)
		}
	}
}

func (c *client) do(ctx context.Context, method, path string, in, out any) {
	c.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			c.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, &body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		c.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
}
