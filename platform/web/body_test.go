package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/identity"
)

// bodies serves a route that takes little and one that takes more, and tells of every
// path that it was asked for.
func bodies(t *testing.T, o Options) (addr string, paths func() []string) {
	t.Helper()
	asked := make(chan string, 1000)
	app := fiber.New(Config(o))
	app.Use(Recover(nil), RequestID(), func(c *fiber.Ctx) error {
		asked <- c.Path()
		return c.Next()
	}, ClientAddress(nil), JSONOnly(), Deadline(5*time.Second), asRole)
	api := New(app, o)
	take := func(_ context.Context, in *struct{ Body []string }) (*struct{ Body int }, error) {
		return &struct{ Body int }{len(in.Body)}, nil
	}
	Handle(api, Route{Method: "POST", Path: "/v1/some", Name: "some", Role: identity.User, Status: 200}, take)
	Handle(api, Route{Method: "POST", Path: "/v1/much", Name: "much", Role: identity.User, Status: 200, MaxBody: 4 << 20}, take)
	Handle(api, Route{Method: "GET", Path: "/v1/read", Name: "read", Role: identity.Anyone},
		func(context.Context, *struct{}) (*struct{ Body string }, error) {
			return &struct{ Body string }{"read"}, nil
		})
	return listen(t, app), func() (list []string) {
		for len(asked) > 0 {
			list = append(list, <-asked)
		}
		return list
	}
}

const smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// framed is a request with a body, with its length ahead or in chunks.
func framed(method, path, headers, body string, chunk int) string {
	head := method + " " + path + " HTTP/1.1\r\nHost: x\r\n" + headers
	if chunk == 0 {
		return head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	var s strings.Builder
	s.WriteString(head + "Transfer-Encoding: chunked\r\n\r\n")
	for part := range slices.Chunk([]byte(body), chunk) {
		fmt.Fprintf(&s, "%x\r\n%s\r\n", len(part), part)
	}
	return s.String() + "0\r\n\r\n"
}

// conversation sends everything, and then reads every answer.
func conversation(t *testing.T, addr, sent string) (statuses []int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Errorf("the client was cut off while it sent: %v", err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("after %v: %v", statuses, err)
			}
			return statuses, closed
		}
		_, _ = io.Copy(io.Discard, res.Body)
		statuses, closed = append(statuses, res.StatusCode), closed || res.Close
	}
}

// ASVS 5.0 4.2.1, RFC 9112 section 9.3: what a refusal leaves unread of a body is never
// the next request, regardless of which check refuses it and of its length; and a client that sends
// everything before it reads gets its answer.
func TestUnreadBodiesAreNoRequests(t *testing.T) {
	t.Parallel()
	const user, isJSON = "X-Role: user\r\n", "Content-Type: application/json\r\n"
	const next = "GET /v1/read HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, row := range map[string]struct {
		method, path, headers string
		status                int
	}{
		"anonymous":            {"POST", "/v1/some", isJSON, 401},
		"anonymous, much":      {"POST", "/v1/much", isJSON, 401},
		"nowhere":              {"POST", "/v1/nowhere", user + isJSON, 404},
		"another method":       {"PUT", "/v1/some", user + isJSON, 405},
		"a strange method":     {"BREW", "/v1/some", user + isJSON, 405},
		"another type":         {"POST", "/v1/some", user + "Content-Type: text/plain\r\n", 415},
		"another type, much":   {"POST", "/v1/much", user + "Content-Type: text/plain\r\n", 415},
		"another coding":       {"POST", "/v1/much", user + isJSON + "Content-Encoding: br\r\n", 415},
		"for a GET":            {"GET", "/v1/read", isJSON, 200},
		"no JSON":              {"POST", "/v1/much", user + isJSON, 400},
		"as the client closes": {"POST", "/v1/some", isJSON + "Connection: close\r\n", 401},
	} {
		for _, size := range []int{1, 100, 20 << 10, 200 << 10, 300 << 10, 900 << 10} {
			for _, chunk := range []int{0, 7000} {
				t.Run(fmt.Sprintf("%s, %d bytes in %d", name, size, chunk), func(t *testing.T) {
					t.Parallel()
					addr, paths := bodies(t, Options{})
					body := strings.Repeat(smuggled, size/len(smuggled)+1)[:size]

					sent := framed(row.method, row.path, row.headers, body, chunk)
					if !strings.Contains(row.headers, "close") {
						sent += next
					}
					statuses, closed := conversation(t, addr, sent)

					status := row.status
					if row.method == "GET" && size > BodyLimit {
						status = 413
					}
					want := []int{status}
					if !closed {
						want = append(want, 200)
					}
					if !slices.Equal(statuses, want) {
						t.Errorf("%v, closed %v, want %v", statuses, closed, want)
					}
					if list := paths(); slices.Contains(list, "/v1/smuggled") {
						t.Errorf("asked for %v", list)
					}
				})
			}
		}
	}
}

// RFC 9112 section 6.3, RFC 9110 section 10.1.1.
func TestBodiesInManyForms(t *testing.T) {
	t.Parallel()
	addr, paths := bodies(t, Options{})
	const headers = "X-Role: user\r\nContent-Type: application/json\r\n"
	const next = "GET /v1/read HTTP/1.1\r\nHost: x\r\n\r\n"
	padded := func(size int) string { return `["a",` + strings.Repeat(" ", size-10) + `"b"]` + strings.Repeat(" ", 1) }
	for name, row := range map[string]struct {
		sent string
		want []int
	}{
		"at once":                 {framed("POST", "/v1/some", headers, `["a","b"]`, 0) + next, []int{200, 200}},
		"byte by byte":            {framed("POST", "/v1/some", headers, `["a","b"]`, 1) + next, []int{200, 200}},
		"empty chunks":            {framed("POST", "/v1/some", headers, ``, 1) + next, []int{400, 200}},
		"empty chunks of no type": {framed("GET", "/v1/read", "", ``, 1) + next, []int{200, 200}},
		"pipelined":               {strings.Repeat(framed("POST", "/v1/some", headers, `["a"]`, 0)+framed("POST", "/v1/some", headers, `["a"]`, 2), 9) + next, slices.Repeat([]int{200}, 19)},
		"all that fits":           {framed("POST", "/v1/some", headers, padded(BodyLimit), 0) + next, []int{200, 200}},
		"all that fits, chunks":   {framed("POST", "/v1/some", headers, padded(BodyLimit), 9999) + next, []int{200, 200}},
		"one more":                {framed("POST", "/v1/some", headers, padded(BodyLimit+1), 0) + next, []int{413, 200}},
		"one more, chunks":        {framed("POST", "/v1/some", headers, padded(BodyLimit+1), 9999) + next, []int{413, 200}},
		"much":                    {framed("POST", "/v1/much", headers, padded(4<<20), 0) + next, []int{200, 200}},
		"much, chunks":            {framed("POST", "/v1/much", headers, padded(4<<20), 99999) + next, []int{200, 200}},
		"too much":                {framed("POST", "/v1/much", headers, padded(4<<20+1), 0) + next, []int{413, 200}},
		"too much, chunks":        {framed("POST", "/v1/much", headers, padded(4<<20+1), 99999) + next, []int{413, 200}},
		"expected":                {framed("POST", "/v1/some", headers+"Expect: 100-continue\r\n", `["a"]`, 0) + next, []int{100, 200, 200}},
		"expected, chunks":        {framed("POST", "/v1/some", headers+"Expect: 100-continue\r\n", `["a"]`, 3) + next, []int{100, 200, 200}},
		"expected, anonymous":     {framed("POST", "/v1/some", "Content-Type: application/json\r\nExpect: 100-continue\r\n", `["a"]`, 0) + next, []int{100, 401, 200}},
		"for a HEAD":              {framed("HEAD", "/v1/read", "Content-Type: application/json\r\nConnection: close\r\n", smuggled, 0), []int{200}},
		"a client's own mark":     {framed("POST", "/v1/some", headers+oversized+": 1\r\n", `["a"]`, 0), []int{413}},
		"cut":                     {framed("POST", "/v1/some", headers, `["a","b"]`, 0)[:len(framed("POST", "/v1/some", headers, `["a","b"]`, 0))-4], []int{400}},
		"a broken chunk":          {strings.Replace(framed("POST", "/v1/some", headers, `["a"]`, 3), "3\r\n", "2\r\n", 1) + next, []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			statuses, _ := conversation(t, addr, row.sent)

			if !slices.Equal(statuses, row.want) {
				t.Errorf("%v, want %v", statuses, row.want)
			}
		})
	}
	if list := paths(); slices.Contains(list, "/v1/smuggled") {
		t.Errorf("asked for %v", list)
	}
}

// What is too large by its own word is refused before any of it is sent, also where the
// client waits to be asked for it.
func TestAnnouncedTooLarge(t *testing.T) {
	t.Parallel()
	addr, _ := bodies(t, Options{})
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		for path, size := range map[string]int{"/v1/some": readLimit + 1, "/v1/much": 5 << 20, "/v1/nowhere": 1 << 40} {
			res := send(t, addr, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nX-Role: user\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n", path, expect, size))

			if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close || res.Header.Get("Content-Type") != problemType {
				t.Errorf("%s %q: %d, closes %v, %v", path, expect, res.StatusCode, res.Close, res.Header)
			}
		}
	}
}

// API4:2023, ASVS 5.0 15.2.2: all bodies together are bounded, and those of one caller
// are a part of that; small ones are not counted.
func TestBodiesShareABudget(t *testing.T) {
	t.Parallel()
	addr, _ := bodies(t, Options{BodyBudget: 300 << 10})
	post := func(path, role string, size int) int {
		statuses, _ := conversation(t, addr, framed("POST", path, "X-Role: "+role+"\r\nContent-Type: application/json\r\nConnection: close\r\n", `["a"`+strings.Repeat(" ", size)+`]`, 0))
		return statuses[len(statuses)-1]
	}
	for i, row := range []struct{ size, want int }{{50 << 10, 200}, {90 << 10, 200}, {150 << 10, 429}, {90 << 10, 200}, {10, 200}} {
		if got := post("/v1/some", "user", row.size); got != row.want {
			t.Errorf("%d: %d bytes: %d, want %d", i, row.size, got, row.want)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the callers do not wait
	code := func(err error) string {
		f, _ := fault.As(err)
		if f == nil {
			return ""
		}
		return fmt.Sprint(f.Code, " ", f.RetryAfter)
	}
	b := newBudget(900)
	for i, row := range []struct {
		caller string
		n      int
		want   string
	}{
		{"user:a", 200, ""},
		{"user:a", 101, "too-many-bodies 1s"},
		{"user:a", 100, ""},
		{anonymousPrefix + "1", 150, ""},
		{anonymousPrefix + "2", 150, ""},
		{anonymousPrefix + "3", 1, "busy 1s"},
		{"user:b", 300, ""},
		{"user:c", 1, "busy 1s"},
	} {
		if got := code(b.take(ctx, row.caller, row.n)); got != row.want {
			t.Errorf("%d: %s takes %d: %q, want %q", i, row.caller, row.n, got, row.want)
		}
	}
	b.give(anonymousPrefix+"2", 150)
	waited := make(chan error)
	go func() { waited <- b.take(t.Context(), anonymousPrefix+"3", 301) }() // more than its share, for ever
	if err := b.take(ctx, "user:c", 150); err != nil {
		t.Error(err)
	}
	if got := code(<-waited); got != "too-many-bodies 1s" {
		t.Error(got)
	}
	go func() { waited <- b.take(t.Context(), "user:d", 1) }()
	b.give("user:c", 150)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	for caller, n := range map[string]int{"user:a": 300, "user:b": 300, "user:d": 1, anonymousPrefix + "1": 150} {
		b.give(caller, n)
	}
	if b.used != 0 || b.anonymous != 0 || len(b.held) != 0 {
		t.Errorf("%d and %d are left, of %v", b.used, b.anonymous, b.held)
	}
}

// F10: one large body of a caller is received at a time, and a few of all are decoded.
func TestLargeBodiesAreBounded(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithTimeout(t.Context(), time.Nanosecond) // the callers hardly wait
	defer cancel()
	<-over.Done()
	l := newLargeBodies(LargeBodies)

	release, err := l.receive(t.Context(), "a")
	brief, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	_, second := l.receive(brief, "a")
	other, third := l.receive(t.Context(), "b")
	if err != nil || !fault.Is(second, "too-many-bodies") || third != nil {
		t.Fatal(err, second, third)
	}
	entered := make(chan func())
	go func() {
		release, err := l.receive(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		entered <- release
	}()
	release()
	(<-entered)()
	other()

	var slots []func()
	for range LargeBodies {
		release, err := l.process(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, release)
	}
	if _, err := l.process(over, "b"); !fault.Is(err, "busy") {
		t.Error(err)
	}
	for _, release := range slots {
		release()
	}
	if release, err := l.process(t.Context(), "b"); err != nil {
		t.Error(err)
	} else {
		release()
	}
}

// F10: a large body keeps its slot until its response is complete; a small one only while it is decoded.
func TestLargeBodiesAreProcessedInTurn_F10(t *testing.T) {
	t.Parallel()
	entered, proceed := make(chan struct{}), make(chan struct{})
	app := fiber.New(Config())
	app.Use(RequestID(), func(c *fiber.Ctx) error {
		caller := identity.Caller{UserID: uuid.NewSHA1(uuid.Nil, []byte(c.Get("X-Account"))), Role: identity.User}
		c.SetUserContext(identity.NewContext(c.UserContext(), caller))
		return c.Next()
	})
	api := New(app, Options{LargeBodies: 1})
	Handle(api, Route{Method: "POST", Path: "/v1/bulk", Name: "bulk", Role: identity.User, Status: 200, MaxBody: 4 << 20},
		func(_ context.Context, in *struct{ Body []string }) (*struct{ Body line }, error) {
			if in.Body[0] == "slow" {
				entered <- struct{}{}
				<-proceed
			}
			return &struct{ Body line }{}, nil
		})
	post := func(account, word string, size int) int {
		req := httptest.NewRequest(http.MethodPost, "/v1/bulk", strings.NewReader(`["`+word+`"`+strings.Repeat(" ", size)+`]`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Account", account)
		res, err := app.Test(req, -1)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	large := BodyLimit + 1

	first := make(chan int)
	go func() { first <- post("a", "slow", large) }()
	<-entered
	if got := post("b", "fast", large); got != http.StatusServiceUnavailable {
		t.Errorf("beside a large body: %d", got)
	}
	proceed <- struct{}{}
	if got := <-first; got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
	go func() { first <- post("a", "slow", 10) }()
	<-entered
	if got := post("b", "fast", large); got != http.StatusOK {
		t.Errorf("beside a small body: %d", got)
	}
	proceed <- struct{}{}
	<-first
}
