package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/signature"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// fraudService decides by the note of an order: it fails orders that are suspicious, and is
// away while down is set.
type fraudService struct {
	down  atomic.Bool
	asked atomic.Int32 // while it was down
}

func (f *fraudService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Step, Key string
		Order     struct{ Note string }
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Key != r.Header.Get("Idempotency-Key") || asked.Step != "fraud" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.down.Load() {
		f.asked.Add(1)
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	verdict := `{"verdict":"continue"}`
	if asked.Order.Note == "suspicious" {
		verdict = `{"verdict":"fail","code":"fraud-suspected","reason":"The card was reported."}`
	}
	_, _ = io.WriteString(w, verdict)
}

// served is a node with the steps fraud, over HTTP, and approval, which a person completes.
func (f *fraudService) served(t *testing.T) *server {
	t.Helper()
	service := httptest.NewServer(f)
	t.Cleanup(service.Close)
	cfg := settings(t)
	cfg.StepsSecret = config.Secret(signature.NewSecret().Reveal())
	if err := cfg.Steps.UnmarshalText([]byte("fraud=" + service.URL + ",approval=manual")); err != nil {
		t.Fatal(err)
	}
	s := serveTest(t, cfg)
	s.admin().product("KETTLE", 100)
	return s
}

// statuses are those of an order's steps, by name, such as "fraud passed".
func statuses(a answer) (list []string) {
	for _, s := range a.at("steps").([]any) {
		s := s.(map[string]any)
		list = append(list, fmt.Sprint(s["name"], " ", s["status"]))
	}
	return list
}

// SPEC D8, D10: an order that a service lets through and a person must approve is held with its
// stock, is completed by an administrator, and then goes on. All followers receive each verdict.
func TestStepsAreServed(t *testing.T) {
	t.Parallel()
	s := (&fraudService{}).served(t)
	root, ann, bob := s.admin(), s.user("ann"), s.user("bob")
	events := ann.socket("")
	keyOf := func(owner *client, scope string) *client {
		made := owner.want(201, "POST", "/v1/api-keys", fmt.Sprintf(`{"name":"k","scopes":[%q]}`, scope))
		return &client{server: s, token: made.text("secret")}
	}

	id := ann.order("KETTLE", 3)
	ann.becomes(id, "ON_HOLD")

	held := ann.want(200, "GET", "/v1/orders/"+id, "")
	if got := statuses(held); !slices.Equal(got, []string{"fraud passed", "approval held"}) || held.text("heldFrom") != "PENDING" ||
		held.text("reason") != "approval: The step approval must be completed." || held.text("paymentStatus") != "NONE" {
		t.Errorf("the order is %s", held)
	}
	if left := root.want(200, "GET", "/v1/products/KETTLE", "").at("available"); fmt.Sprint(left) != "97" {
		t.Errorf("%v are available: the order does not keep its stock", left)
	}
	complete := "/v1/orders/" + id + "/steps/approval/complete"
	for name, refused := range map[string]*client{
		"the owner": ann, "another": bob, "the owner's key": keyOf(ann, "orders:steps"), "a key with another scope": keyOf(root, "orders:write"),
	} {
		if a := refused.send("POST", complete, ""); a.status != 403 {
			t.Errorf("%s: %s", name, a)
		}
	}
	root.want(404, "POST", "/v1/orders/"+id+"/steps/unknown/complete", "")

	approver := keyOf(root, "orders:steps")
	done := approver.want(200, "POST", complete, `{"reason":"Called the customer."}`)
	approver.want(403, "GET", "/v1/orders/"+id, "")
	ann.becomes(id, "PROCESSING")

	if got := statuses(done); !slices.Equal(got, []string{"fraud passed", "approval passed"}) || done.text("steps.1.reason") != "Called the customer." {
		t.Errorf("the completed order is %s", done)
	}
	if again := root.want(200, "POST", complete, ""); again.text("status") != "PROCESSING" {
		t.Errorf("completing it again answers %s", again)
	}
	seen, _ := events.until("order.processing", id)
	seen = slices.DeleteFunc(seen, func(kind string) bool {
		return !strings.HasPrefix(kind, "order.") && !strings.HasPrefix(kind, "stock.") && !strings.HasPrefix(kind, "payment.")
	})
	want := []string{
		"order.created", "stock.reserved", "order.checked", "order.checked", "order.held", "order.checked", "order.released",
		"payment.authorized", "order.confirmed", "order.processing",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("the socket sent %q", seen)
	}
	if types := root.types(id); !slices.Equal(types, want) {
		t.Errorf("the history is %q", types)
	}
}

// SPEC D9: the code and the reason of a service that fails an order are the order's failure, and
// its stock is returned.
func TestServiceFailsAnOrder(t *testing.T) {
	t.Parallel()
	s := (&fraudService{}).served(t)
	root, ann := s.admin(), s.user("ann")

	id := ann.want(201, "POST", "/v1/orders", `{"note":"suspicious","items":[{"sku":"KETTLE","quantity":3}]}`).text("id")
	ann.becomes(id, "FAILED")

	failed := ann.want(200, "GET", "/v1/orders/"+id, "")
	if failed.text("failure.code") != "fraud-suspected" || failed.text("failure.detail") != "The card was reported." {
		t.Errorf("the order is %s", failed)
	}
	if got := statuses(failed); !slices.Equal(got, []string{"fraud failed", "approval pending"}) {
		t.Errorf("the steps are %q", got)
	}
	if left := root.want(200, "GET", "/v1/products/KETTLE", "").at("available"); fmt.Sprint(left) != "100" {
		t.Errorf("%v are available", left)
	}
}

// SPEC D9: while the service of a step is away, an order waits as PENDING, and it goes on once the
// service is back, as if nothing had happened.
func TestOrderWaitsForTheService(t *testing.T) {
	t.Parallel()
	fraud := &fraudService{}
	s := fraud.served(t)
	root, ann := s.admin(), s.user("ann")
	fraud.down.Store(true)

	id := ann.order("KETTLE", 1)
	testwait.Until(t, "a second request to the service", func() bool { return fraud.asked.Load() >= 2 })
	waiting := ann.want(200, "GET", "/v1/orders/"+id, "")
	fraud.down.Store(false)
	ann.becomes(id, "ON_HOLD")

	if waiting.text("status") != "PENDING" || !slices.Equal(statuses(waiting), []string{"fraud pending", "approval pending"}) {
		t.Errorf("meanwhile the order is %s", waiting)
	}
	if letters := root.want(200, "GET", "/v1/dead-letters", "").at("data").([]any); len(letters) != 0 {
		t.Errorf("dead letters: %v", letters)
	}
	root.want(200, "POST", "/v1/orders/"+id+"/release", "")
	ann.becomes(id, "PROCESSING")
}
