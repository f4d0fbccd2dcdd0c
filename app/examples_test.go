package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/config"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// exampleRun sends the examples of the document.
type exampleRun struct {
	*server
	t    *testing.T
	left map[string]web.Route // whose example was not sent yet
}

// sends sends the example of an operation, which must succeed, with the id in the path and with members
// of the body replaced.
func (e *exampleRun) sends(c *client, name, id string, replaced ...string) answer {
	e.t.Helper()
	r, ok := e.left[name]
	if !ok {
		e.t.Fatalf("%s has no example, or it was sent already", name)
	}
	delete(e.left, name)
	var body map[string]any
	if err := json.Unmarshal([]byte(r.Example), &body); err != nil {
		e.t.Fatal(err)
	}
	for i := 0; i < len(replaced); i += 2 {
		if body[replaced[i]] == nil {
			e.t.Errorf("the example of %s has no %s", name, replaced[i])
		}
		body[replaced[i]] = replaced[i+1]
	}
	raw, err := json.Marshal(body)
	if err != nil {
		e.t.Fatal(err)
	}
	path := strings.NewReplacer("{id}", id, "{sku}", id).Replace(r.Path)
	a := c.send(r.Method, path, string(raw))
	if a.status < 200 || a.status > 299 {
		e.t.Errorf("%s: the server answers the example %s with %s", name, raw, a)
	}
	return a
}

// SPEC R22: the server accepts the example of every operation, with ids and codes of its own.
func TestExamplesAreAccepted_R22(t *testing.T) {
	t.Parallel()
	cfg := settings(t)
	cfg.EmailVerification = config.VerificationRequired
	s := serveTest(t, cfg)
	e := &exampleRun{server: s, t: t, left: map[string]web.Route{}}
	for _, r := range described().Routes() {
		if r.Example != "" {
			e.left[r.Name] = r
		}
	}
	delete(e.left, "complete-order-step") // needs an added step; app/steps_test.go completes one
	for _, how := range []string{"retry", "skip", "cancel"} {
		delete(e.left, how+"-dead-letter") // have one body, which modules/orders tests
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	t.Cleanup(receiver.Close)

	e.account()
	admin := s.admin()
	e.catalogue(admin)
	ada := s.logIn("ada@example.com", userPassword)
	e.orders(ada, admin)
	e.programs(ada, receiver.URL)
	e.sends(admin, "resolve-dead-letters", "")
	e.sends(admin, "create-invitation", "")
	grace := s.user("linus").want(200, "GET", "/v1/users/me", "").text("id")
	e.sends(admin, "update-user", grace)
	e.credentials(ada)
	if len(e.left) > 0 {
		t.Errorf("no example was sent of %v", slices.Sorted(maps.Keys(e.left)))
	}
}

func (e *exampleRun) account() {
	e.sends(e.anonymous(), "register", "", "password", userPassword)
	e.sends(e.anonymous(), "confirm-verification", "", "token", e.mailedToken("ada@example.com", confirmSubject))
	tokens := e.sends(e.anonymous(), "login", "", "password", userPassword)
	e.sends(e.anonymous(), "refresh", "", "refreshToken", tokens.text("refreshToken"))
}

func (e *exampleRun) catalogue(admin *client) {
	e.sends(admin, "create-product", "")
	e.sends(admin, "change-product", "GRINDER-01")
	e.sends(admin, "adjust-stock", "GRINDER-01")
	for _, sku := range []string{"KETTLE-GOOSENECK", "SCALE-TIMER"} {
		admin.want(201, "POST", "/v1/products", fmt.Sprintf(`{"sku":%q,"name":"Demo","unitPrice":{"amount":6450,"currency":"EUR"},"stock":100}`, sku))
	}
}

func (e *exampleRun) orders(ada, admin *client) {
	e.sends(ada, "quote-order", "")
	placed := e.sends(ada, "place-order", "").text("id")
	bulk := e.sends(ada, "place-orders", "")
	first, second := bulk.text("data.0.order.id"), bulk.text("data.1.order.id")
	for _, id := range []string{placed, first, second} {
		ada.becomes(id, "PROCESSING")
	}
	e.sends(admin, "hold-order", first)
	e.sends(admin, "cancel-order", first)
	e.sends(admin, "set-order-status", placed)
	testwait.Until(e.t, "the payment is captured", func() bool {
		return ada.want(200, "GET", "/v1/orders/"+placed, "").text("paymentStatus") == "CAPTURED"
	})
	e.sends(admin, "refund-order", placed)
	testwait.Until(e.t, "a notification", func() bool { return ada.want(200, "GET", "/v1/notifications", "").text("data.0.id") != "" })
	e.sends(ada, "mark-notification", ada.want(200, "GET", "/v1/notifications", "").text("data.0.id"))
	e.sends(ada, "mark-notifications", "")
}

func (e *exampleRun) programs(ada *client, receiver string) {
	hook := e.sends(ada, "create-webhook", "", "url", receiver).text("id")
	e.sends(ada, "change-webhook", hook)
	e.sends(ada, "create-replay", hook)
	key := e.sends(ada, "create-api-key", "").text("id")
	e.sends(ada, "rotate-api-key", key)
}

func (e *exampleRun) credentials(ada *client) {
	e.sends(ada, "update-me", "")
	e.sends(ada, "confirm-password", "", "password", userPassword)
	a := &authenticator{t: e.t, secret: ada.want(200, "POST", "/v1/auth/totp", "").text("secret")}
	e.sends(ada, "activate-totp", "", "code", a.code(-1))
	codes := e.sends(ada, "replace-recovery-codes", "", "code", a.code(0))
	e.sends(ada, "remove-totp", "", "code", codes.text("recoveryCodes.0"))
	e.sends(e.anonymous(), "request-password-reset", "")
	token, next := e.mailedToken("ada@example.com", resetSubject), userPassword+" again"
	e.sends(e.anonymous(), "confirm-password-reset", "", "token", token, "newPassword", next)
	e.sends(e.logIn("ada@example.com", next), "change-password", "", "currentPassword", next, "newPassword", userPassword)
}

// SPEC R21: the codes of examples are listed in the guide with this status, every status that a route
// declares has an example, and every operation whose body is required has an example of it.
func TestExamplesAreWhole_R21_R22(t *testing.T) {
	t.Parallel()
	s := serveTest(t, settings(t))
	doc := s.anonymous().want(200, "GET", "/openapi.json", "")
	codes := map[string]bool{}
	o, err := outlineOf(&config.Config{Issuer: "test", Audience: "test", PaymentProvider: "simulated"}, extensions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.codes.Codes {
		for _, k := range c.Kinds {
			codes[fmt.Sprint(c.Name, " ", web.StatusOf(k))] = true
		}
	}
	paths, _ := doc.at("paths").(map[string]any)
	for _, r := range described().Routes() {
		item, _ := paths[r.Path].(map[string]any)
		op, _ := item[strings.ToLower(r.Method)].(map[string]any)
		responses, _ := op["responses"].(map[string]any)
		statuses := map[int]bool{304: true}
		for name, p := range problemExamples(responses) {
			statuses[p.Status] = true
			if name != p.Code || !codes[fmt.Sprint(p.Code, " ", p.Status)] || p.Title != http.StatusText(p.Status) || p.Detail == "" {
				t.Errorf("%s: the example %s is %+v", r.Name, name, p)
			}
		}
		for _, status := range r.Errors {
			if !statuses[status] {
				t.Errorf("%s declares %d and has no example of it", r.Name, status)
			}
		}
		if (op["requestBody"] != nil) != (r.Example != "") {
			t.Errorf("%s has a body, or an example, but not both", r.Name)
		}
	}
}
