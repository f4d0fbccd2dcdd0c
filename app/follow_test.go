package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/events"
)

// a followed command, listen or events tail, of a user at a terminal.
type followed struct {
	out  *syncbuf.Buffer
	stop func() error
}

// followerOf is a command line with these variables, a data folder of its own, and answers to prompts.
func followerOf(t *testing.T, variables map[string]string, answer func(string) (string, error)) commandLine {
	t.Helper()
	if answer == nil {
		answer = func(question string) (string, error) { return "", errors.New("asked: " + question) }
	}
	return commandLine{
		name: productName, fixed: &program{cfg: &config.Config{DataDir: t.TempDir()}}, questions: answer,
		environment: func(name string) string { return variables[name] },
	}
}

// begin runs a command and waits until it listens.
func (c commandLine) begin(t *testing.T, args ...string) *followed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &syncbuf.Buffer{}, make(chan error, 1)
	root := c.root(out)
	root.SetErr(out)
	root.SetArgs(args)
	go func() { done <- root.ExecuteContext(ctx) }()
	f := &followed{out: out, stop: sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() { _ = f.stop() })
	f.says(t, "Listening")
	return f
}

func (f *followed) says(t *testing.T, text string) {
	t.Helper()
	testwait.Until(t, text+" to be printed", func() bool { return strings.Contains(f.out.String(), text) })
}

// SPEC F16, E8: listen posts what a webhook of the same account gets: the same bodies, numbers and headers,
// with an id of the same form, and a valid signature. Counts of unread notifications are no events.
func TestListenPostsWhatWebhooksGet_F16(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 100)
	ann := s.user("ann")
	hookURL, toHook := receiver(t)
	ann.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q}`, hookURL))
	url, got := receiver(t)
	f := followerOf(t, map[string]string{"ORDERFLOW_PASSWORD": userPassword}, nil).
		begin(t, "listen", "--forward="+url, "--server="+s.base, "--email="+ann.email)
	secret := regexp.MustCompile(`whsec_\S+`).FindString(f.out.String())
	socket := ann.socket("")

	id := ann.order("KETTLE", 1)
	ann.becomes(id, "PROCESSING")

	want, last := map[string]told{}, ""
	for last != "order.processing" {
		in := nextTold(t, got)
		last = in.Type
		want[in.ID] = in
		verified(t, secret, in)
	}
	for range len(want) {
		hook := nextTold(t, toHook)
		mine, ok := want[hook.ID]
		if !ok || !bytes.Equal(hook.raw, mine.raw) {
			t.Errorf("a webhook gets\n%s\nlisten posts\n%s", hook.raw, mine.raw)
		}
		if a, b := slices.Sorted(maps.Keys(hook.header)), slices.Sorted(maps.Keys(mine.header)); !slices.Equal(a, b) {
			t.Errorf("a webhook has the headers %v, listen %v", a, b)
		}
		for _, name := range []string{"Content-Type", "User-Agent", "Content-Length"} {
			if hook.header.Get(name) != mine.header.Get(name) {
				t.Errorf("%s: a webhook has %q, listen %q", name, hook.header.Get(name), mine.header.Get(name))
			}
		}
		form := regexp.MustCompile(`^msg_[0-9a-f]{32}$`)
		if a, b := hook.header.Get("webhook-id"), mine.header.Get("webhook-id"); !form.MatchString(a) || !form.MatchString(b) {
			t.Errorf("the ids are %q and %q", a, b)
		}
	}
	testwait.Until(t, "a count of unread notifications", func() bool { m, _ := socket.next(); return m.Type == "notifications.unread" })
	if err := f.stop(); err != nil || len(got) != 0 || !strings.Contains(f.out.String(), "--after=") {
		t.Errorf("%v, %d more messages; it says\n%s", err, len(got), f.out)
	}
}

// SPEC F2, E8, F16: listen forwards in order and goes on after the server was away; its secret is kept between
// starts in a file that only its owner reads.
func TestListenResumes_F16(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 100)
	ann := s.user("ann")
	url, got := receiver(t)
	network := newRelay(t, strings.TrimPrefix(s.base, "http://"))
	args := []string{"listen", "--forward=" + url, "--server=http://" + network.address, "--email=" + ann.email, "--types=order.created,order.processing"}
	c := followerOf(t, map[string]string{"ORDERFLOW_PASSWORD": userPassword}, nil)
	f := c.begin(t, args...)
	secret := regexp.MustCompile(`whsec_\S+`).FindString(f.out.String())
	expect := func(order string) {
		t.Helper()
		for _, kind := range []string{"order.created", "order.processing"} {
			in := nextTold(t, got)
			if verified(t, secret, in); in.Type != kind || in.Subject != order {
				t.Errorf("forwarded %s", in.raw)
			}
		}
	}
	expect(ann.order("KETTLE", 1))

	network.stop()
	second := ann.order("KETTLE", 1)
	ann.becomes(second, "PROCESSING")
	network.start()

	expect(second)
	testwait.Until(t, "the outcomes", func() bool { return strings.Count(f.out.String(), "-> 200 OK") == 4 })
	if err := f.stop(); err != nil || !strings.Contains(f.out.String(), "Cut off") {
		t.Errorf("%v; it says\n%s", err, f.out)
	}
	after := regexp.MustCompile(`--after=\S+`).FindString(f.out.String())
	third := ann.order("KETTLE", 1)
	ann.becomes(third, "PROCESSING")
	again := c.begin(t, append(args, after)...)
	expect(third)
	if !strings.Contains(again.out.String(), secret) {
		t.Errorf("another secret after a restart:\n%s", again.out)
	}
	path := filepath.Join(c.fixed.cfg.DataDir, "listen-secret")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the secret: %v, %v", info, err)
	}
}

// SPEC F16: without --forward, events are printed, and there is no secret. The receiver's own secret is used
// when it is set.
func TestListenPrints_F16(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 100)
	ann := s.user("ann")
	variables := map[string]string{"ORDERFLOW_PASSWORD": userPassword}
	c := followerOf(t, variables, nil)
	f := c.begin(t, "listen", "--server="+s.base, "--email="+ann.email)

	id := ann.order("KETTLE", 1)

	f.says(t, "order.created              "+id+"  version 1")
	if err := f.stop(); err != nil || strings.Contains(f.out.String(), "whsec_") {
		t.Errorf("%v; it says\n%s", err, f.out)
	}
	if list, _ := os.ReadDir(c.fixed.cfg.DataDir); len(list) > 0 {
		t.Errorf("it has written %v", list)
	}
	variables["ORDERFLOW_WEBHOOK_SECRET"] = signature.NewSecret().Reveal()
	if got, err := c.listenSecret(); err != nil || got.Reveal() != variables["ORDERFLOW_WEBHOOK_SECRET"] {
		t.Errorf("the secret of the environment is not used: %v", err)
	}
	variables["ORDERFLOW_WEBHOOK_SECRET"] = "whsec_short"
	if _, err := c.listenSecret(); err == nil || !strings.Contains(err.Error(), "ORDERFLOW_WEBHOOK_SECRET") || strings.Contains(err.Error(), "short") {
		t.Errorf("a secret that is none: %v", err)
	}
}

// SPEC F16: a receiver that is down is waited for; one that answers with an error gets the message three times
// under the same id, then the next one; 410 is not repeated.
func TestForwarderRetries_F16(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	answers := []int{500, 302, 404, 503, 204, 410, 200}
	var ids []string
	var numbers []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, r.Header.Get("webhook-id"))
		numbers = append(numbers, string(raw[bytes.LastIndexByte(raw, ':')+1:len(raw)-1]))
		w.WriteHeader(answers[0])
		answers = answers[1:]
	})
	address := testport.For(t).Address()
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	defer server.Close()
	out := &syncbuf.Buffer{}
	f := newForwarder("http://"+address, signature.NewSecret(), func(format string, args ...any) { fmt.Fprintf(out, format, args...) })
	f.wait = time.Millisecond
	done := make(chan error, 1)
	go func() {
		for _, id := range []string{"a/1", "a/2", "a/3", "a/4"} {
			if err := f.take(t.Context(), events.Message{ID: id, Type: "order.created"}, []byte(`{"id":"`+id+`"}`)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	testwait.Until(t, "the receiver to be missed", func() bool { return strings.Contains(out.String(), "not reached, waiting") })
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()

	if err := testwait.For(t, "the end", done); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(numbers, " "); got != "1 1 1 2 2 3 4" || ids[0] != ids[2] || ids[0] == ids[3] || ids[3] != ids[4] {
		t.Errorf("deliveries %s, ids %v", got, ids)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.take(ctx, events.Message{ID: "a/5"}, []byte(`{}`)); !errors.Is(err, context.Canceled) || f.number != 4 {
		t.Errorf("asked to stop: %v, number %d", err, f.number)
	}
}

// SPEC F16: events tail prints lines or JSON, filters, and resumes after a disconnect.
func TestEventsTail_F16(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	root := s.admin()
	root.product("KETTLE", 100)
	ann := s.user("ann")
	_, machine := ann.key("events:read")
	network := newRelay(t, strings.TrimPrefix(s.base, "http://"))
	way := "--server=http://" + network.address
	c := followerOf(t, map[string]string{"ORDERFLOW_API_KEY": machine.token, "ORDERFLOW_PASSWORD": adminPassword}, nil)
	lines := c.begin(t, "events", "tail", way)
	asJSON := c.begin(t, "events", "tail", way, "--json", "--types=order.created,order.processing", "--email="+adminEmail)
	first := ann.order("KETTLE", 1)
	ann.becomes(first, "PROCESSING")
	lines.says(t, "order.processing           "+first)
	one := c.begin(t, "events", "tail", way, "--order="+first)

	network.stop()
	second := ann.order("KETTLE", 1)
	ann.becomes(second, "PROCESSING")
	network.start()
	lines.says(t, "order.processing           "+second)
	asJSON.says(t, `"id":"`+second+`/1"`)
	root.want(200, "POST", "/v1/orders/"+first+"/hold", `{"reason":"to be asked"}`)
	one.says(t, "order.held                 "+first)

	if text := one.out.String(); strings.Contains(text, second) {
		t.Errorf("events of another order:\n%s", text)
	}
	if n := strings.Count(lines.out.String(), second+"  version 1,"); n != 1 {
		t.Errorf("an event was printed %d times:\n%s", n, lines.out)
	}
	if text := asJSON.out.String(); strings.Contains(text, "order.confirmed") || !strings.Contains(text, `{"specversion":"1.0","id":"`+first+`/1",`) {
		t.Errorf("as JSON:\n%s", text)
	}
	for _, f := range []*followed{lines, asJSON, one} {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	}
	if a := root.want(200, "GET", "/v1/auth/sessions", ""); strings.Contains(a.String(), "Go-http-client") && len(a.at("data").([]any)) > 1 {
		t.Errorf("the session of events tail did not end: %s", a)
	}
}

// SPEC F16, A13: an account with a second factor gives a code as a flag or at the prompt, once: the session goes
// on after a disconnect.
func TestFollowWithSecondFactor_F16(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	s.admin().product("KETTLE", 100)
	ann := s.user("ann")
	factor := ann.enrols()
	network := newRelay(t, strings.TrimPrefix(s.base, "http://"))
	args := []string{"events", "tail", "--server=http://" + network.address, "--email=" + ann.email}
	variables := map[string]string{"ORDERFLOW_PASSWORD": userPassword}

	byFlag := followerOf(t, variables, nil).begin(t, append(args, "--code="+factor.recovery[0])...)
	asked := ""
	byPrompt := followerOf(t, nil, func(question string) (string, error) {
		if asked += question; strings.HasPrefix(question, "Password") {
			return userPassword, nil
		}
		return factor.recovery[1], nil
	}).begin(t, args...)
	network.stop()
	network.start()
	id := ann.order("KETTLE", 1)

	byFlag.says(t, "order.created              "+id)
	byPrompt.says(t, "order.created              "+id)
	if strings.Count(asked, "Password") != 1 || strings.Count(asked, "Code") != 1 {
		t.Errorf("asked %q", asked)
	}
	err := followerOf(t, variables, nil).execute(t.Context(), args, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "asked: Code") {
		t.Errorf("without a code: %v", err)
	}
}

// SPEC F16: what can never work ends at once and says why.
func TestFollowRefuses_F16(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	for _, c := range []struct {
		args, key, password, want string
		code                      int
	}{
		{"listen --forward=localhost --server=@", "x", "", `--forward: "localhost" is not a URL`, 2},
		{"listen --forward= --server=@", "x", "", `--forward: "" is not a URL`, 2},
		{"listen --server=localhost", "x", "", `--server: "localhost" is not a URL`, 2},
		{"events tail --order=7 --server=@", "x", "", `--order: "7" is not the id of an order`, 2},
		{"listen --server=@", "", "", "there are no credentials", 2},
		{"events tail --server=@", "ofk_nothing", "", "invalid-api-key", 1},
		{"events tail --server=@ --email=nobody@example.com", "", "another", "invalid-credentials", 1},
		{"events tail --server=@ --after=x --email=" + adminEmail, "", adminPassword, "is not a cursor", 1},
		{"events tail --server=@ --types=order.flown --email=" + adminEmail, "", adminPassword, "order.flown", 1},
	} {
		cl := followerOf(t, map[string]string{"ORDERFLOW_API_KEY": c.key, "ORDERFLOW_PASSWORD": c.password}, nil)
		err := cl.execute(t.Context(), strings.Fields(strings.ReplaceAll(c.args, "--server=@", "--server="+s.base)), io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != c.code {
			t.Errorf("%s: %v, exit code %d, want %s, %d", c.args, err, exitCode(err), c.want, c.code)
		}
	}
}
