package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

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
