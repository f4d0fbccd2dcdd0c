package payments

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/orderflow-dev/orderflow/modules/payments/settlement"
	"github.com/orderflow-dev/orderflow/platform/fault"
	"github.com/orderflow-dev/orderflow/platform/idempotency"
	"github.com/orderflow-dev/orderflow/platform/identity"
	"github.com/orderflow-dev/orderflow/platform/money"
	"github.com/orderflow-dev/orderflow/platform/postgres"
	"github.com/orderflow-dev/orderflow/platform/web"
)

// settled makes an order whose payment of 10.00 EUR was captured and of which 4.00
// went back, by the way of any order.
func (m *Module) settled(t *testing.T) uuid.UUID {
	t.Helper()
	order := uuid.Must(uuid.NewV7())
	ask := func(goal settlement.Goal) {
		m.within(t, order, func(s *Settlement) {
			c := s.Next(order, goal)
			if err := c.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if change, err := s.Apply(order, settlement.Answer{Call: c}); err != nil || change.Outcome == settlement.None {
				t.Fatalf("%s changes nothing: %v", c.Step(), err)
			}
		})
	}
	m.within(t, order, func(s *Settlement) {
		if _, err := s.Apply(order, settlement.Begin{Total: money.Money{Amount: 1000, Currency: "EUR"}, Method: new("pm")}); err != nil {
			t.Fatal(err)
		}
	})
	ask(settlement.Authorize)
	ask(settlement.Capture)
	m.within(t, order, func(s *Settlement) {
		if _, err := s.Apply(order, settlement.RequestRefund{
			Amount: 400, Items: map[string]int64{"A": 2}, Ordered: map[string]int64{"A": 2}, Reason: "broken", By: "admin:x",
		}); err != nil {
			t.Fatal(err)
		}
	})
	ask(settlement.Capture)
	return order
}

// D3: what is written is what is read.
func TestBooksAreKept(t *testing.T) {
	t.Parallel()
	m := open(t)
	order := m.settled(t)

	m.within(t, order, func(s *Settlement) {
		p, r := s.payments[order][0], s.refunds[order][0]
		if p.state != captured || p.reference != "ref" || p.amount != 1000 || p.currency != "EUR" || *p.method != "pm" || p.provider != "till" || p.code != nil {
			t.Errorf("payment %+v", p)
		}
		if r.state != done || *r.reference != "back" || r.amount != 400 || !reflect.DeepEqual(r.items, map[string]int64{"A": 2}) || r.reason != "broken" || r.actor != "admin:x" || r.payment != p.id {
			t.Errorf("refund %+v", r)
		}
	})
	m.within(t, uuid.New(), func(s *Settlement) {
		if len(s.payments) != 0 || s.Next(order, settlement.Void) != nil {
			t.Error("the settlement of another order is not empty")
		}
	})
}

// E1: debits equal credits, each movement has both its sides, a hold is settled
// before it is captured, and no line is changed.
func TestLedger(t *testing.T) {
	t.Parallel()
	m := open(t)
	order := m.settled(t)

	list, err := m.ledger(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}

	var lines []string
	sides := map[string]int64{}
	for _, e := range list {
		lines = append(lines, fmt.Sprint(e.Type, " ", e.Direction, " ", e.Account, " ", e.Amount.Amount, e.Amount.Currency))
		sides[e.Direction] += e.Amount.Amount
	}
	want := []string{
		"authorize debit authorized-funds 1000EUR", "authorize credit customer-holds 1000EUR",
		"settle debit customer-holds 1000EUR", "settle credit authorized-funds 1000EUR",
		"capture debit provider-balance 1000EUR", "capture credit sales 1000EUR",
		"refund debit refunds 400EUR", "refund credit provider-balance 400EUR",
	}
	if !reflect.DeepEqual(lines, want) || sides["debit"] != sides["credit"] {
		t.Errorf("the ledger is\n%s", strings.Join(lines, "\n"))
	}
	for _, sql := range []string{`update ledger set amount = 1`, `delete from ledger`, `truncate ledger`} {
		if _, err := m.pool.Exec(t.Context(), sql); postgres.Code(err) != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	_, err = m.pool.Exec(t.Context(), `insert into ledger select * from ledger where kind = 'refund'`)
	if postgres.Code(err) != "23505" {
		t.Errorf("a movement was made twice: %v", err)
	}
}

// owned is the orders module for one order, as far as payments ask it.
type owned struct{ owner, order uuid.UUID }

func (o owned) Visible(_ context.Context, c identity.Caller, order uuid.UUID) error {
	if order != o.order || !c.IsAdmin() && c.UserID != o.owner {
		return fault.NotFound("order")
	}
	return nil
}

func (o owned) Refund(context.Context, identity.Caller, uuid.UUID, *money.Money, []string, []int64, string, idempotency.Key[settlement.Refund]) (idempotency.Result[settlement.Refund], error) {
	return idempotency.Result[settlement.Refund]{}, fault.New(fault.KindConflict, "asked", "A request was made.")
}

var volatile = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// Decisions, C8: the owner and administrators read an order's refunds and ledger;
// for all other callers the order is absent. Only administrators refund.
func TestWhoSeesTheMoney(t *testing.T) {
	t.Parallel()
	m := open(t)
	o := owned{uuid.New(), m.settled(t)}
	app := fiber.New(web.Config())
	app.Use(web.JSONOnly(), func(c *fiber.Ctx) error {
		if role, id, given := strings.Cut(c.Get("X-Caller"), ":"); given {
			c.SetUserContext(identity.NewContext(c.UserContext(), identity.Caller{UserID: uuid.MustParse(id), Role: identity.Role(role)}))
		}
		return c.Next()
	})
	m.Routes(web.New(app, web.Options{}), o)

	const page = `{"data":[{"id":"ID","orderId":"ID","status":"DONE","amount":{"amount":400,"currency":"EUR"},"items":[{"sku":"A","quantity":2}],"reason":"broken","failure":null,"createdAt":"ID"}],"nextCursor":null}`
	const entry = `{"id":"ID:authorize:debit","at":"ID","type":"authorize","source":"ID","account":"authorized-funds","direction":"debit","amount":{"amount":1000,"currency":"EUR"}}`
	refund, body := "POST /v1/orders/"+o.order.String()+"/refunds", `{"amount":{"amount":1,"currency":"EUR"},"reason":"x"}`
	refunds, ledger := "GET /v1/orders/"+o.order.String()+"/refunds", "GET /v1/orders/"+o.order.String()+"/ledger"
	owner, stranger, admin := "user:"+o.owner.String(), "user:"+uuid.NewString(), "admin:"+uuid.NewString()
	for _, row := range []struct {
		what, who, body string
		status          int
		want            string
	}{
		{refunds, owner, "", 200, page}, {refunds, admin, "", 200, page}, {refunds, stranger, "", 404, "not-found"}, {refunds, "", "", 401, ""},
		{ledger, owner, "", 200, entry}, {ledger, admin, "", 200, entry}, {ledger, stranger, "", 404, "not-found"}, {ledger, "", "", 401, ""},
		{"GET /v1/orders/" + uuid.NewString() + "/ledger", admin, "", 404, "not-found"},
		{"GET /v1/orders/x/ledger", admin, "", 400, "malformed"},
		{refund, owner, body, 403, "forbidden"}, {refund, stranger, body, 403, "forbidden"}, {refund, admin, body, 409, "asked"}, {refund, "", body, 401, ""},
		{refund, admin, `{"amount":{"amount":1,"currency":"euro"},"reason":"x"}`, 422, "/amount/currency"},
		{refund, admin, `{"amount":{"amount":1,"currency":"EUR"},"reason":""}`, 422, "/reason"},
		{refund, admin, `{"items":[{"sku":"A","quantity":0}],"reason":"x"}`, 422, "/items/0/quantity"},
		{refund, admin, `{"items":[{"sku":"A","quantity":1}],"reason":"x","all":true}`, 422, "/all"},
	} {
		method, target, _ := strings.Cut(row.what, " ")
		req := httptest.NewRequest(method, "http://test/", strings.NewReader(row.body))
		req.RequestURI = target
		req.Header.Set("X-Caller", row.who)
		if row.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := app.Test(req, -1)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()

		got := volatile.ReplaceAllString(string(raw), "ID")
		if err != nil || res.StatusCode != row.status || !strings.Contains(got, row.want) || res.StatusCode == http.StatusInternalServerError {
			t.Errorf("%s %s by %q is answered %d %s", row.what, row.body, row.who, res.StatusCode, got)
		}
	}
}
