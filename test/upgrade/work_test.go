package upgrade_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// work makes requests of every kind, alternately at two nodes: one continues what the other began.
func (s *scene) work(t *testing.T, name string, first, second *node) {
	t.Helper()
	if t.Failed() {
		return // the first difference tells most
	}
	t.Run(name, func(t *testing.T) {
		t.Run("fulfilment and refunds", func(t *testing.T) { s.fulfil(t, first, second) })
		t.Run("cancellation and deletion", func(t *testing.T) { s.cancel(t, first, second) })
		t.Run("failures", func(t *testing.T) { s.failures(t, first, second) })
		t.Run("bulk, lists and export", func(t *testing.T) { s.lists(t, first, second) })
		t.Run("catalogue", func(t *testing.T) { s.catalogue(t, first, second) })
		t.Run("sessions", func(t *testing.T) { s.sessions(t, first, second) })
		t.Run("API keys", func(t *testing.T) { s.keys(t, first, second) })
		t.Run("webhooks", func(t *testing.T) { s.webhooks(t, first, second) })
		t.Run("notifications", func(t *testing.T) { s.notifications(t, first, second) })
	})
}

// place places an order at first and repeats the request at second, which answers with the stored
// response (SPEC C3).
func (s *scene) place(t *testing.T, c caller, first, second *node, body string) (path string) {
	t.Helper()
	key := "Idempotency-Key: " + s.name("key")
	placed := c.want(t, first, http.StatusCreated, "POST", "/v1/orders", body, key)
	again := c.want(t, second, http.StatusCreated, "POST", "/v1/orders", body, key)
	if !bytes.Equal(again.raw, placed.raw) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the response was %s, and is %s at the %s", placed, again, second.name)
	}
	return "/v1/orders/" + placed.text("id")
}

func (s *scene) fulfil(t *testing.T, first, second *node) {
	order := s.place(t, s.root, first, second, items(s.product(t, first, 10), 3))
	s.root.until(t, second, order, "status", "PROCESSING")
	s.root.want(t, first, 200, "POST", order+"/hold", `{"reason":"A check."}`)
	s.root.want(t, second, 409, "PATCH", order+"/status", `{"status":"SHIPPED"}`)
	s.root.want(t, second, 200, "POST", order+"/release", "")
	etag := s.root.want(t, first, 200, "GET", order, "").header.Get("ETag")
	s.root.want(t, second, 200, "PATCH", order+"/status", `{"status":"SHIPPED","tracking":"T-1"}`, "If-Match: "+etag)
	s.root.want(t, first, 412, "PATCH", order+"/status", `{"status":"COMPLETED"}`, "If-Match: "+etag)
	s.root.until(t, first, order, "paymentStatus", "CAPTURED")

	refund, key := `{"amount":{"amount":500,"currency":"EUR"},"reason":"A scratch."}`, "Idempotency-Key: "+s.name("key")
	s.root.want(t, second, 201, "POST", order+"/refunds", refund, key)
	s.root.until(t, first, order, "paymentStatus", "PARTIALLY_REFUNDED")
	if again := s.root.want(t, first, 201, "POST", order+"/refunds", refund, key); again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the refund was repeated: %s", again)
	}
	s.root.want(t, first, 409, "POST", order+"/refunds", `{"amount":{"amount":2501,"currency":"EUR"},"reason":"Too much."}`)
	s.root.want(t, first, 201, "POST", order+"/refunds", `{"amount":{"amount":2500,"currency":"EUR"},"reason":"All of it."}`)
	s.root.until(t, second, order, "paymentStatus", "REFUNDED")
	s.root.want(t, first, 200, "PATCH", order+"/status", `{"status":"COMPLETED"}`)

	for _, path := range []string{order + "/ledger", order + "/refunds", order + "/events"} {
		a, b := s.root.want(t, first, 200, "GET", path, ""), s.root.want(t, second, 200, "GET", path, "")
		one, _ := a.at("data").([]any)
		two, _ := b.at("data").([]any)
		if len(one) == 0 || len(one) != len(two) {
			t.Errorf("GET %s: %s at the %s, %s at the %s", path, a, first.name, b, second.name)
		}
	}
}

func (s *scene) cancel(t *testing.T, first, second *node) {
	sku := s.product(t, second, 5)
	order := s.place(t, s.root, second, first, items(sku, 5))
	s.root.until(t, first, order, "status", "PROCESSING")
	if left := s.root.want(t, first, 200, "GET", "/v1/products/"+sku, "").at("available"); left != 0.0 {
		t.Errorf("%v of %s are available after its stock was reserved", left, sku)
	}
	s.root.want(t, first, 200, "POST", order+"/cancel", `{"reason":"Changed my mind."}`)
	s.root.want(t, second, 200, "POST", order+"/cancel", "")
	s.root.until(t, second, order, "paymentStatus", "VOIDED")
	if left := s.root.want(t, second, 200, "GET", "/v1/products/"+sku, "").at("available"); left != 5.0 {
		t.Errorf("%v of %s are available after the cancellation", left, sku)
	}

	open := s.place(t, s.root, first, second, items(sku, 1))
	s.root.until(t, second, open, "status", "PROCESSING")
	s.root.want(t, second, 204, "DELETE", open, "")
	s.root.want(t, first, 404, "GET", open, "")
	s.root.want(t, second, 404, "GET", open, "")
}

// failures takes orders that fail or are held for want of stock, and goes on with them.
func (s *scene) failures(t *testing.T, first, second *node) {
	sku := s.product(t, first, 0)
	body := items(sku, 2)
	failed := s.place(t, s.root, first, second, body)
	s.root.until(t, second, failed, "status", "FAILED")
	held := s.place(t, s.root, second, first, strings.TrimSuffix(body, "}")+`,"onShortage":"hold"}`)
	s.root.until(t, first, held, "status", "ON_HOLD")

	s.root.want(t, second, 201, "POST", "/v1/products/"+sku+"/adjustments", `{"delta":4,"reason":"A delivery."}`)
	s.root.want(t, first, 200, "PATCH", failed+"/status", `{"status":"PENDING"}`)
	s.root.want(t, first, 200, "POST", held+"/release", "")
	testwait.Until(t, "the reopened order to be processed", func() bool {
		return s.root.want(t, second, 200, "GET", failed, "").text("status") == "PROCESSING"
	})
	s.root.until(t, second, held, "status", "PROCESSING")

	declined := s.place(t, s.root, first, second, strings.TrimSuffix(items(s.product(t, first, 1), 1), "}")+`,"paymentMethod":"pm_card_chargeDeclined"}`)
	s.root.until(t, second, declined, "status", "FAILED")
	if code := s.root.want(t, first, 200, "GET", declined, "").text("failure.code"); code == "" {
		t.Error("the failed order has no code")
	}
}

func (s *scene) lists(t *testing.T, first, second *node) {
	user := s.register(t, first)
	one := items(s.product(t, first, 100), 1)
	bulk := user.want(t, first, 200, "POST", "/v1/orders/bulk", fmt.Sprintf(`{"orders":[%s,%s,%s]}`, one, one, one))
	user.want(t, second, 200, "POST", "/v1/orders/quote", one)
	var ids []string
	for i := range 3 {
		ids = append(ids, bulk.text(fmt.Sprintf("data.%d.order.id", i)))
		user.until(t, second, "/v1/orders/"+ids[i], "status", "PROCESSING")
	}
	page := user.want(t, second, 200, "GET", "/v1/orders?limit=2&status=PROCESSING", "")
	rest := user.want(t, first, 200, "GET", "/v1/orders?limit=2&status=PROCESSING&cursor="+page.text("nextCursor"), "")
	if rest.text("data.0.id") != ids[0] && rest.text("data.0.id") != ids[1] && rest.text("data.0.id") != ids[2] {
		t.Errorf("the pages are %s and %s", page, rest)
	}
	for _, n := range []*node{first, second} {
		export := string(user.want(t, n, 200, "GET", "/v1/orders/export?format=csv", "").raw)
		for _, id := range ids {
			if !strings.Contains(export, id) {
				t.Errorf("the export of the %s lacks order %s", n.name, id)
			}
		}
		user.want(t, n, 200, "GET", "/v1/orders/stats", "")
	}
}

// catalogue changes prices and products. An order has the price at the time of its commit.
func (s *scene) catalogue(t *testing.T, first, second *node) {
	sku := s.product(t, first, 10)
	path := "/v1/products/" + sku
	etag := s.root.want(t, second, 200, "GET", path, "").header.Get("ETag")
	s.root.want(t, second, 200, "PATCH", path, `{"unitPrice":{"amount":1250,"currency":"EUR"}}`, "If-Match: "+etag)
	s.root.want(t, first, 412, "PATCH", path, `{"name":"Old"}`, "If-Match: "+etag)
	for _, n := range []*node{first, second} {
		a := s.root.want(t, n, 201, "POST", "/v1/orders", items(sku, 2))
		if a.at("total.amount") != 2500.0 {
			t.Errorf("the order of the %s has another price: %s", n.name, a)
		}
		s.root.until(t, n, "/v1/orders/"+a.text("id"), "status", "PROCESSING")
	}
	s.root.want(t, second, 204, "DELETE", path, "")
	s.root.want(t, first, 422, "POST", "/v1/orders", items(sku, 1))
}

// session is a log-in.
type session struct {
	caller
	refresh string
}

func (s *scene) session(t *testing.T, n *node, email, password string) session {
	t.Helper()
	a := caller{}.want(t, n, 200, "POST", "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	return session{caller{a.text("accessToken")}, a.text("refreshToken")}
}

func (s *scene) newAccount(t *testing.T, n *node) (email, password string) {
	t.Helper()
	email, password = s.name("user")+"@upgrade.example", "an otter in a teapot"
	caller{}.want(t, n, 201, "POST", "/v1/auth/register", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	return email, password
}

func (s *scene) register(t *testing.T, n *node) session {
	t.Helper()
	email, password := s.newAccount(t, n)
	return s.session(t, n, email, password)
}

func (s *scene) sessions(t *testing.T, first, second *node) {
	const me = "/v1/users/me"
	email, password := s.newAccount(t, first)
	one := s.session(t, second, email, password)
	id := one.want(t, first, 200, "GET", me, "").text("id")

	renewed := caller{}.want(t, first, 200, "POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, one.refresh))
	// Twice: the token that was used last gets the same successor for some seconds.
	renewed = caller{}.want(t, second, 200, "POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, renewed.text("refreshToken")))
	two := session{caller{renewed.text("accessToken")}, renewed.text("refreshToken")}
	two.want(t, second, 200, "GET", me, "")
	caller{}.want(t, second, 401, "POST", "/v1/auth/refresh", fmt.Sprintf(`{"refreshToken":%q}`, one.refresh))
	two.refused(t, first, me) // a used token ended the session (SPEC A4)

	three := s.session(t, first, email, password)
	three.want(t, second, 204, "POST", "/v1/auth/logout", "")
	three.refused(t, first, me)

	four := s.session(t, second, email, password)
	four.want(t, first, 200, "POST", "/v1/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":"a heron on a ladder"}`, password))
	four.refused(t, second, me)
	five := s.session(t, second, email, "a heron on a ladder")

	s.root.want(t, first, 200, "PATCH", "/v1/users/"+id, `{"active":false}`)
	five.refused(t, second, me)
	s.root.want(t, second, 200, "PATCH", "/v1/users/"+id, `{"active":true,"role":"admin"}`)
	s.session(t, first, email, "a heron on a ladder").want(t, second, 200, "GET", "/v1/users", "")
	s.root.want(t, first, 204, "DELETE", "/v1/users/"+id, "")
	s.root.want(t, second, 404, "GET", "/v1/users/"+id, "")
}

func (s *scene) keys(t *testing.T, first, second *node) {
	user := s.register(t, first)
	made := user.want(t, first, 201, "POST", "/v1/api-keys", `{"name":"scanner","scopes":["orders:read","orders:write","products:read"]}`)
	path, key := "/v1/api-keys/"+made.text("id"), caller{made.text("secret")}
	order := s.place(t, key, second, first, items(s.product(t, first, 1), 1))
	key.until(t, first, order, "status", "PROCESSING")
	key.want(t, second, 403, "GET", "/v1/webhooks", "")

	rotated := user.want(t, second, 200, "POST", path+"/rotate", `{"graceSeconds":0}`)
	key.refused(t, first, order)
	key = caller{rotated.text("secret")}
	key.want(t, first, 200, "GET", order, "")
	user.want(t, first, 204, "DELETE", path, "")
	key.refused(t, second, order)
}

func (s *scene) webhooks(t *testing.T, first, second *node) {
	user := s.register(t, second)
	hook := user.want(t, first, 201, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"types":["order.created","order.processing"],"ordering":"order"}`, s.hooks.URL))
	path := "/v1/webhooks/" + hook.text("id")
	user.want(t, second, 200, "PATCH", path, `{"description":"The upgrade."}`)
	user.want(t, second, 200, "POST", path+"/test", "")
	user.want(t, second, 200, "POST", path+"/rotate-secret", "")

	for i, n := range []*node{first, second} {
		id := user.want(t, n, 201, "POST", "/v1/orders", items(s.product(t, n, 1), 1)).text("id")
		var all answer
		testwait.Until(t, "two deliveries of order "+id, func() bool {
			all = user.want(t, n, 200, "GET", path+"/deliveries?orderId="+id, "")
			return all.text("data.0.status") == "delivered" && all.text("data.1.status") == "delivered"
		})
		number := fmt.Sprint(all.at("data.0.number"))
		other := []*node{second, first}[i]
		one := user.want(t, other, 200, "GET", path+"/deliveries/"+number, "")
		if one.text("type") != "order.processing" {
			t.Errorf("the last delivery is %s", one)
		}
		user.want(t, other, 202, "POST", path+"/deliveries/"+number+"/resend", "")
		testwait.Until(t, "delivery "+number+" to be sent again", func() bool {
			attempts, _ := user.want(t, n, 200, "GET", path+"/deliveries/"+number, "").at("attempts").([]any)
			return len(attempts) == 2
		})
		if got := s.hooks.count(one.text("messageId")); got != 2 {
			t.Errorf("the receiver got message %s %d times", one.text("messageId"), got)
		}
	}
	user.want(t, first, 200, "PATCH", path, `{"enabled":false}`)
	user.want(t, second, 204, "DELETE", path, "")
	user.want(t, first, 404, "GET", path, "")
}

func (s *scene) notifications(t *testing.T, first, second *node) {
	user := s.register(t, first)
	order := s.place(t, user.caller, first, second, items(s.product(t, first, 1), 1))
	user.until(t, second, order, "status", "PROCESSING")
	s.root.want(t, first, 200, "POST", order+"/cancel", "")
	testwait.Until(t, "the notification of the cancellation", func() bool {
		return user.want(t, second, 200, "GET", "/v1/notifications", "").text("data.0.type") == "order.cancelled"
	})
	user.want(t, second, 200, "PATCH", "/v1/notifications", `{"read":true}`)
	if unread := user.want(t, first, 200, "GET", "/v1/notifications", "").at("unread"); unread != 0.0 {
		t.Errorf("%v are unread at the %s", unread, first.name)
	}
	user.until(t, first, order, "paymentStatus", "VOIDED")
}
