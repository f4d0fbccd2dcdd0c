package orderflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/orderflow-dev/orderflow/clients/go/api"
)

// script is a server of events. Each connection plays the next part and then ends.
type script struct {
	*httptest.Server
	mu      sync.Mutex
	parts   []part
	queries []string // after= of each connection
}

// part is what happens on one connection.
type part struct {
	status int      // refuses the connection
	body   string   // of the refusal
	frames []string // sent in order
	stay   bool     // open until the client leaves
}

var transports = map[string]Transport{"socket": WebSocket, "stream": ServerSentEvents}

func play(t *testing.T, parts ...part) *script {
	t.Helper()
	s := &script{parts: parts}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.queries = append(s.queries, r.URL.Query().Get("after"))
	p := part{status: http.StatusGone}
	if len(s.parts) > 0 {
		p, s.parts = s.parts[0], s.parts[1:]
	}
	s.mu.Unlock()
	switch {
	case p.status != 0:
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(p.status)
		fmt.Fprint(w, p.body)
	case r.URL.Path == socketPath:
		p.socket(w, r)
	default:
		p.stream(w, r)
	}
}

func (p part) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for _, frame := range p.frames {
		_ = conn.Write(r.Context(), websocket.MessageText, []byte(frame))
	}
	if p.stay {
		<-conn.CloseRead(r.Context()).Done()
	}
	_ = conn.Close(websocket.StatusGoingAway, "the server is stopping")
}

func (p part) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	fmt.Fprint(w, "retry: 1000\n")
	for _, frame := range p.frames {
		kind := decodeText(frame).Type
		if kind == frameReady || kind == frameReset || kind == frameUnread {
			fmt.Fprintf(w, "event: %s\n", kind)
		}
		fmt.Fprintf(w, ": ping\n\nid: x\ndata: %s\n\n", frame)
	}
	w.(http.Flusher).Flush()
	if p.stay {
		<-r.Context().Done()
	}
	fmt.Fprint(w, "event: close\ndata: {\"code\":1001,\"reason\":\"the server is stopping\"}\n\n")
}

func decodeText(text string) (e Event) {
	_ = e.UnmarshalJSON([]byte(text))
	return e
}

func ready(cursor string) string { return fmt.Sprintf(`{"type":"ready","cursor":%q}`, cursor) }

func shipped(n int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"o/%d","type":"order.shipped","subject":"o","time":"2026-01-31T12:00:00Z","cursor":"c%d","version":%d,`+
		`"data":{"orderId":"0192f0c1-3b6e-7c7a-9d62-0d8f3f0f6a11","status":"SHIPPED","previousStatus":"PROCESSING","tracking":"T%d"}}`, n, n, n, n)
}

func (s *script) client(t *testing.T, credentials Credentials) (c *Client, waits *[]time.Duration) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := New(s.URL, credentials, WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	waits = &[]time.Duration{}
	c.sleep = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	return c, waits
}

// collect follows until the last error, and returns the ids of the events and all errors.
func collect(ctx context.Context, c *Client, o FollowOptions) (ids []string, errs []error) {
	for e, err := range c.Follow(ctx, o) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ids = append(ids, e.ID)
	}
	return ids, errs
}

// SPEC G11: a follower resumes after the last event, over both transports.
func TestFollowResumes(t *testing.T) {
	t.Parallel()
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t,
				part{frames: []string{ready("c0"), shipped(1), `{"type":"notifications.unread","cursor":"c1","unread":3}`, shipped(2)}},
				part{status: 503},
				part{frames: []string{ready("c2")}},
				part{frames: []string{ready("c2"), shipped(3)}},
				part{status: 403, body: problem("forbidden")},
			)
			c, waits := s.client(t, APIKey("k"))
			var unread []int64
			var at []string
			retries := 0

			ids, errs := collect(t.Context(), c, FollowOptions{
				Transport: transport, After: Start, OnUnread: func(n int64) { unread = append(unread, n) },
				OnReady: func(cursor string) { at = append(at, cursor) },
				OnRetry: func(error, time.Duration) { retries++ },
			})

			if !slices.Equal(ids, []string{"o/1", "o/2", "o/3"}) || !slices.Equal(s.queries, []string{"start", "c2", "c2", "c2", "c3"}) {
				t.Errorf("events %v, cursors %v", ids, s.queries)
			}
			if len(errs) != 1 || !IsCode(errs[0], "forbidden") || !slices.Equal(unread, []int64{3}) || !slices.Equal(at, []string{"c0", "c2", "c2"}) || retries != 4 {
				t.Errorf("errors %v, unread %v, ready %v, %d retries", errs, unread, at, retries)
			}
			if (*waits)[1] < 7*time.Second {
				t.Errorf("the Retry-After of 7 s was not waited for: %v", *waits)
			}
		})
	}
}

// SPEC G11: a reset is seen by the caller, who may go on.
func TestFollowReset(t *testing.T) {
	t.Parallel()
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reset := `{"type":"reset","cursor":"c7"}`
			s := play(t, part{frames: []string{reset}}, part{frames: []string{ready("c7"), shipped(8)}}, part{status: 401, body: problem("invalid-token")})
			c, _ := s.client(t, APIKey("k"))

			ids, errs := collect(t.Context(), c, FollowOptions{Transport: transport, After: "old"})

			var r *ResetError
			if len(errs) != 2 || !errors.As(errs[0], &r) || r.Cursor != "c7" || !IsStatus(errs[1], 401) || !slices.Equal(ids, []string{"o/8"}) {
				t.Errorf("errors %v, events %v", errs, ids)
			}
			if want := []string{"old", "c7", "c8"}; !slices.Equal(s.queries, want) {
				t.Errorf("cursors %v, want %v", s.queries, want)
			}
		})
	}
}

// SPEC G11: leaving the loop at a reset, at an event or by the context ends the connection.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t,
				part{frames: []string{`{"type":"reset","cursor":"c7"}`}, stay: true},
				part{frames: []string{ready("c0"), shipped(1)}, stay: true},
				part{frames: []string{ready("c0")}, stay: true},
			)
			c, _ := s.client(t, APIKey("k"))
			for range 2 {
				for e, err := range c.Follow(t.Context(), FollowOptions{Transport: transport}) {
					if e == nil && !errors.As(err, new(*ResetError)) {
						t.Errorf("the first element is %v", err)
					}
					break
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			enough := errors.New("enough")

			_, errs := collect(ctx, c, FollowOptions{Transport: transport, OnReady: func(string) { cancel(enough) }})

			if len(errs) != 1 || !errors.Is(errs[0], enough) || len(s.queries) != 3 {
				t.Errorf("errors %v after %d connections", errs, len(s.queries))
			}
		})
	}
}

// SPEC G11: what a follower asks for.
func TestFollowAsks(t *testing.T) {
	t.Parallel()
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan *http.Request, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- r
				w.WriteHeader(http.StatusForbidden)
			}))
			defer s.Close()
			c, err := New(s.URL+"/shop", APIKey("k"), WithUserAgent("tester"))
			if err != nil {
				t.Fatal(err)
			}

			_, errs := collect(t.Context(), c, FollowOptions{Transport: transport, After: "c1", Types: []string{TypeOrderShipped, TypeOrderFailed}, OrderID: "o", UserID: "u"})

			r := <-got
			if want := "after=c1&orderId=o&types=order.shipped%2Corder.failed&userId=u"; r.URL.RawQuery != want || !strings.HasPrefix(r.URL.Path, "/shop/v1/events/") {
				t.Errorf("%s, want %s", r.URL, want)
			}
			if r.Header.Get("Authorization") != "Bearer k" || r.Header.Get("User-Agent") != "tester" || len(errs) != 1 || !IsStatus(errs[0], 403) {
				t.Errorf("%v %v", r.Header, errs)
			}
		})
	}
}

// SPEC G11: an expired token is renewed once; a token that is refused again is the end.
func TestFollowRenews(t *testing.T) {
	t.Parallel()
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t,
				part{status: 401, body: problem("token-expired")}, part{frames: []string{ready("c0"), shipped(1)}},
				part{status: 401, body: problem("token-expired")}, part{status: 401, body: problem("token-expired")},
			)
			renewals := &renewable{}
			c, _ := s.client(t, renewals)

			ids, errs := collect(t.Context(), c, FollowOptions{Transport: transport})

			if len(errs) != 1 || !IsCode(errs[0], "token-expired") || !slices.Equal(ids, []string{"o/1"}) {
				t.Errorf("errors %v, events %v", errs, ids)
			}
			if want := []string{"", "t1", "", "t3"}; !slices.Equal(renewals.refused, want) {
				t.Errorf("refused tokens %q, want %q", renewals.refused, want)
			}
		})
	}
}

// renewable gives another token each time.
type renewable struct{ refused []string }

func (r *renewable) token(_ context.Context, _ *Client, refused string) (string, error) {
	r.refused = append(r.refused, refused)
	return fmt.Sprintf("t%d", len(r.refused)), nil
}

// SPEC G11: an event that cannot be decoded is not left out.
func TestFollowUndecodable(t *testing.T) {
	t.Parallel()
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t, part{frames: []string{ready("c0"), shipped(1), `{"type":"order.shipped","id":"o/2","cursor":"c2","data":{"status":7}}`, shipped(3)}})
			c, _ := s.client(t, APIKey("k"))

			ids, errs := collect(t.Context(), c, FollowOptions{Transport: transport})

			if len(errs) != 1 || !strings.Contains(errs[0].Error(), "o/2") || !strings.Contains(errs[0].Error(), "c2") || !slices.Equal(ids, []string{"o/1"}) {
				t.Errorf("errors %v, events %v", errs, ids)
			}
		})
	}
}

// SPEC G11: a connection without a sign of life is given up; pings are signs of life.
func TestWatch(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	w := newWatch(time.Nanosecond, func() { close(gone) })
	<-gone
	w.stop()

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errSilence)
	if err := causeOf(ctx, context.Canceled); !errors.Is(err, errSilence) {
		t.Errorf("%v", err)
	}
	if err := causeOf(t.Context(), errStop); !errors.Is(err, errStop) {
		t.Errorf("%v", err)
	}
}

// SPEC G11: the data have the struct of their type, and an unknown type has its text.
func TestEventData(t *testing.T) {
	t.Parallel()
	e := decodeText(shipped(4))
	data, ok := e.Data.(*OrderShipped)
	if !ok || data.Tracking == nil || *data.Tracking != "T4" || data.Status != api.OrderStatusSHIPPED || e.Version != 4 || e.Cursor != "c4" {
		t.Errorf("%+v %+v", e, data)
	}
	unknown := decodeText(`{"type":"order.framed","id":"o/5","cursor":"c5","data":{"frame":"oak"}}`)
	if unknown.Data != nil || unknown.ID != "o/5" || !strings.Contains(string(unknown.Raw), "oak") {
		t.Errorf("%+v", unknown)
	}
	var page api.EventPage
	if err := json.Unmarshal([]byte(`{"data":[`+shipped(6)+`],"nextCursor":"c6"}`), &page); err != nil {
		t.Fatal(err)
	}
	of, err := EventOf(page.Data[0])
	if err != nil || of.ID != "o/6" {
		t.Errorf("%+v %v", of, err)
	}
	for _, kind := range []string{TypeOrderCreated, TypePaymentDeclined, TypeStockReserved} {
		if newData(kind) == nil {
			t.Errorf("%s has no struct", kind)
		}
	}
}
