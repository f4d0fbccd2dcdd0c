package upgrade_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// follower reads the event stream of all orders. It changes the node and the transport after every
// few events and resumes after the cursor of the last one (SPEC E3).
type follower struct {
	root  caller
	some  func(turn int) *node // the node of the next connection
	begin string               // the cursor at which it began

	mu    sync.Mutex
	last  string         // the cursor of the last frame
	ids   []string       // of the events, in the order of arrival
	heard map[string]int // connections by transport and node
	fault string
}

// perConnection is the number of events after which it changes the node.
const perConnection = 5

// frame has the members of a frame that are compared.
type frame struct{ ID, Type, Cursor string }

// follow starts to read now. The returned function ends it, as does the end of the test.
func follow(t *testing.T, root caller, n *node, some func(turn int) *node) (*follower, func()) {
	t.Helper()
	page := root.want(t, n, http.StatusOK, http.MethodGet, "/v1/events?limit=1", "")
	f := &follower{root: root, some: some, last: page.text("nextCursor"), begin: page.text("nextCursor"), heard: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for turn := 0; ctx.Err() == nil; turn++ {
			hear, name := f.hearStream, "stream"
			if turn/2%2 == 1 {
				hear, name = f.hearSocket, "socket"
			}
			n := some(turn)
			if hear(ctx, n) == 0 {
				pause(ctx, 20*time.Millisecond) // the connection failed
				continue
			}
			f.mu.Lock()
			f.heard[name+" at the "+n.name]++
			f.mu.Unlock()
		}
	}()
	return f, func() { cancel(); <-done }
}

func (f *follower) cursor() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// take records a frame and reports whether the connection goes on.
func (f *follower) take(text []byte, heard *int) bool {
	var e frame
	if err := json.Unmarshal(text, &e); err != nil {
		f.fail("a frame is not JSON: " + string(text))
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Cursor != "" {
		f.last = e.Cursor
	}
	switch e.Type {
	case "ready", "notifications.unread":
		return true
	case "reset":
		f.fault = "a cursor was answered with reset"
		return false
	}
	f.ids = append(f.ids, e.ID)
	*heard++
	return *heard < perConnection
}

func (f *follower) fail(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = text
}

func (f *follower) hearSocket(ctx context.Context, n *node) (heard int) {
	u := "ws" + strings.TrimPrefix(n.base, "http") + "/v1/events/ws?after=" + url.QueryEscape(f.cursor())
	conn, res, err := websocket.DefaultDialer.DialContext(ctx, u, http.Header{"Authorization": {"Bearer " + f.root.token}})
	if res != nil {
		defer res.Body.Close()
	}
	if err != nil {
		return 0 // the node is stopping
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil || !f.take(text, &heard) {
			return heard
		}
	}
}

func (f *follower) hearStream(ctx context.Context, n *node) (heard int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.base+"/v1/events/stream?after="+url.QueryEscape(f.cursor()), http.NoBody)
	if err != nil {
		f.fail(err.Error())
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+f.root.token)
	res, err := web.Do(req)
	if err != nil {
		return 0 // the node is stopping
	}
	defer res.Body.Close()
	all := bufio.NewScanner(res.Body)
	all.Buffer(nil, 4<<20)
	var name string
	for all.Scan() {
		if event, ok := strings.CutPrefix(all.Text(), "event: "); ok {
			name = event
		}
		if data, ok := strings.CutPrefix(all.Text(), "data: "); ok && name != "close" && !f.take([]byte(data), &heard) {
			return heard
		}
	}
	return heard
}

// judge compares the events with the log: every event once, in the order of the log.
func (f *follower) judge(t *testing.T, n *node) {
	t.Helper()
	log := f.log(t, n)
	testwait.Until(t, "the follower to have all events", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.fault != "" || len(f.ids) >= len(log)
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != "" {
		t.Error(f.fault)
	}
	if !slices.Equal(f.ids, log) {
		t.Errorf("the follower has %d events, the log has %d:\n%v\n%v", len(f.ids), len(log), f.ids, log)
	}
	t.Logf("%d events over connections: %v", len(log), f.heard)
	if len(f.heard) < 4 {
		t.Errorf("the follower did not use both transports at both versions: %v", f.heard)
	}
}

// log reads the ids of all events since the follower began.
func (f *follower) log(t *testing.T, n *node) (ids []string) {
	t.Helper()
	for after := f.begin; ; {
		a := f.root.want(t, n, http.StatusOK, http.MethodGet, "/v1/events?limit=200&after="+url.QueryEscape(after), "")
		var page struct {
			Data       []frame
			NextCursor string
			Reset      bool
		}
		if err := json.Unmarshal(a.raw, &page); err != nil || page.Reset {
			t.Fatalf("a page of the log: %v, %s", err, a)
		}
		for _, e := range page.Data {
			ids = append(ids, e.ID)
		}
		if len(page.Data) == 0 {
			return ids
		}
		after = page.NextCursor
	}
}
