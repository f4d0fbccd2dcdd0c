package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// told is what a receiver got.
type told struct {
	header http.Header
	raw    []byte
	message
	DeliveryNumber int
}

// receiver is the server of a third party that accepts every message.
func receiver(t *testing.T) (url string, got chan told) {
	t.Helper()
	got = make(chan told, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		in := told{header: r.Header, raw: raw}
		_ = json.Unmarshal(raw, &in)
		got <- in
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func nextTold(t *testing.T, got <-chan told) told {
	t.Helper()
	return testwait.For(t, "a delivery", got)
}

func verified(t *testing.T, secret string, in told) {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = w.Verify(in.raw, in.header)
	}
	if err != nil {
		t.Errorf("%v: %s", err, in.raw)
	}
}

// SPEC E8, G1, A5: one node delivers the events of orders that another node accepted; a user
// who loses the role admin gets no further events of other users: their webhook for all orders is disabled,
// the one for their own orders continues.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.Roles = []string{"api"}
	front := serveTest(t, cfg)
	cfg.Roles = []string{"worker"}
	serveTest(t, cfg)
	root, ann, second := front.admin(), front.user("ann"), front.user("second")
	root.product("KETTLE", 100)
	id := second.want(200, "GET", "/v1/users/me", "").text("id")
	root.want(200, "PATCH", "/v1/users/"+id, `{"role":"admin"}`)
	anns, toAnn := receiver(t)
	seconds, toSecond := receiver(t)
	secret := ann.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"ordering":"order"}`, anns)).text("secret")
	second = front.logIn(second.email, userPassword)
	all := second.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"types":["order.created"]}`, seconds)).text("id")
	owns, toOwn := receiver(t)
	second.want(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"types":["order.created"],"userId":%q}`, owns, id))

	order := ann.order("KETTLE", 1)
	var types []string
	for number := 1; !slices.Contains(types, "order.processing"); number++ {
		in := nextTold(t, toAnn)
		verified(t, secret, in)
		if in.Subject != order || in.DeliveryNumber != number || in.Version != number {
			t.Fatalf("told %s", in.raw)
		}
		types = append(types, in.Type)
	}
	if in := nextTold(t, toSecond); in.Subject != order || types[0] != "order.created" {
		t.Errorf("told %s; %v", in.raw, types)
	}

	root.want(200, "PATCH", "/v1/users/"+id, `{"role":"user"}`)
	ann.becomes(ann.order("KETTLE", 1), "PROCESSING")
	second = front.logIn(second.email, userPassword)
	mine := second.order("KETTLE", 1)

	if in := nextTold(t, toOwn); in.Subject != mine || in.DeliveryNumber != 1 {
		t.Errorf("told %s", in.raw)
	}
	if len(toSecond) > 0 {
		t.Errorf("told %s", (<-toSecond).raw)
	}
	if a := second.want(200, "GET", "/v1/webhooks/"+all, ""); a.at("enabled") != false || a.text("disabledReason") != "account" {
		t.Errorf("%s", a)
	}
}

// SPEC F2, E8: listen forwards what comes over the socket, in order, signed with the
// secret that it prints, and goes on after the server was away.
func TestListen(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 100)
	ann := s.user("ann")
	url, got := receiver(t)
	network := newRelay(t, strings.TrimPrefix(s.base, "http://"))
	way := "http://" + network.address

	l := &listening{password: userPassword}
	out := &syncbuf.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- l.listen(ctx, []string{"--forward=" + url, "--server=" + way, "--email=" + ann.email, "--types=order.created,order.processing"}, out)
	}()
	testwait.Until(t, "it to listen", func() bool { return strings.Contains(out.String(), "Listening") })
	first := ann.order("KETTLE", 1)
	secret := regexp.MustCompile(`whsec_\S+`).FindString(out.String())
	for i, kind := range []string{"order.created", "order.processing"} {
		in := nextTold(t, got)
		verified(t, secret, in)
		if in.Type != kind || in.Subject != first || in.DeliveryNumber != i+1 {
			t.Errorf("forwarded %s", in.raw)
		}
	}
	testwait.Until(t, "the outcome to be printed", func() bool { return strings.Count(out.String(), "200 OK") == 2 })

	network.stop()
	second := ann.order("KETTLE", 1)
	ann.becomes(second, "PROCESSING")
	network.start()

	for _, kind := range []string{"order.created", "order.processing"} {
		if in := nextTold(t, got); in.Type != kind || in.Subject != second {
			t.Errorf("forwarded %s", in.raw)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(got) != 0 || !strings.Contains(out.String(), "Cut off") {
		t.Errorf("%d more; it says\n%s", len(got), out)
	}
}

// What can never work ends at once and says why.
func TestListenRefuses(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	for want, args := range map[string][]string{
		"--forward:":          {"--server=" + s.base},
		"--server:":           {"--forward=http://localhost:4000", "--server=localhost"},
		"who is listening":    {"--forward=http://localhost:4000"},
		"401":                 {"--forward=http://localhost:4000", "--server=" + s.base, "--email=nobody@example.com"},
		"flag provided but":   {"--port=1"},
		"invalid-api-key":     {"--forward=http://localhost:4000", "--server=" + s.base},
		"is not a cursor":     {"--forward=http://localhost:4000", "--server=" + s.base, "--email=" + adminEmail, "--after=x"},
		"invalid-credentials": {"--forward=http://localhost:4000", "--server=" + s.base, "--email=" + adminEmail},
	} {
		l := &listening{password: adminPassword}
		switch want {
		case "invalid-api-key":
			l.key = "ofk_nothing"
		case "invalid-credentials":
			l.password = "another"
		}
		if err := l.listen(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
