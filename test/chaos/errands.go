package main

import (
	"context"
	"net/http"
)

// restock adds stock of the hot product.
func (c *client) restock(ctx context.Context) {
	delta := 1 + c.rng.Int64N(10)
	r := &request{
		method: http.MethodPost, path: "/v1/products/" + hot + "/adjustments", key: c.name("restock"),
		body: body(map[string]any{"delta": delta, "reason": restocked}),
	}
	a := c.admin.settle(ctx, r)
	if c.must(r, a, http.StatusCreated) {
		c.journal.adjusted(delta)
		c.report.count("adjustments acknowledged", 1)
	}
}

const restocked = "restocked by chaos"

func (c *client) quote(ctx context.Context) {
	w := basket(c.rng)
	r := &request{method: http.MethodPost, path: "/v1/orders/quote", body: body(map[string]any{"items": w.Items})}
	a := c.settle(ctx, r)
	if !c.must(r, a, http.StatusOK) {
		return
	}
	var out struct{ Total amount }
	if err := a.into(&out); err != nil || out.Total.Amount != w.total() {
		c.breaches.add("quote", "%s was quoted %s", r.body, a)
	}
}

func (c *client) stats(ctx context.Context) {
	r := &request{method: http.MethodGet, path: "/v1/orders/stats"}
	c.must(r, c.settle(ctx, r), http.StatusOK)
}

// settleLetters resolves dead letters as an operator does.
func (c *client) settleLetters(ctx context.Context) { c.retryLetters(ctx, c.admin) }

func (l *lab) retryLetters(ctx context.Context, admin *person) {
	var page struct {
		Data []struct{ ID, OrderID, Step string }
	}
	if _, _, err := admin.get(ctx, "/v1/dead-letters?limit=50", &page); err != nil {
		return
	}
	for _, letter := range page.Data {
		a := admin.settle(ctx, &request{method: http.MethodPost, path: "/v1/dead-letters/" + letter.ID + "/retry", key: "retry-" + letter.ID})
		if a == nil {
			return
		}
		if a.status != http.StatusOK && a.status != http.StatusConflict && a.status != http.StatusNotFound {
			l.breaches.add("unexpected answer", "retry of a dead letter: %s", a)
		}
		l.report.count("dead letters retried", 1)
	}
}
