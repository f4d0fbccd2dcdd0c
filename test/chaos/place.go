package main

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
)

// order has the members of an order that the clients use.
type order struct {
	ID             string
	Status         string
	Version        int64
	Reference      *string
	Items          []item
	Total          amount
	Captured       amount
	Refunded       amount
	Refunding      amount
	AllowedActions []string
}

type amount struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// place places an order with a key or a reference, and repeats the request until its outcome is
// known.
func (c *client) place(ctx context.Context) {
	w := basket(c.rng)
	r := &request{method: http.MethodPost, path: "/v1/orders"}
	if c.rng.IntN(7) == 0 {
		w.Reference = new(c.name("ref"))
	} else {
		r.key = c.name("key")
		if c.rng.IntN(4) == 0 {
			w.Reference = new(c.name("ref"))
		}
	}
	r.body = body(w)
	c.ordered(ctx, r, w)
}

// ordered places an order and records it.
func (c *client) ordered(ctx context.Context, r *request, w wanted) {
	a := c.settle(ctx, r)
	if !c.must(r, a, http.StatusCreated, http.StatusConflict) {
		return
	}
	if a.status == http.StatusConflict {
		c.alreadyThere(ctx, r, a, w)
		return
	}
	var o order
	if err := a.into(&o); err != nil {
		c.breaches.add("unexpected answer", "%s: %v", a, err)
		return
	}
	c.judgePlaced(r, w, o)
	p := &placed{id: o.ID, by: c.person, asked: *r, answer: a.body, wanted: w, version: o.Version}
	if !c.journal.place(p) {
		c.breaches.add("one order for two requests", "%s, the second time for key %s", o.ID, r.key)
	}
	c.report.count("orders acknowledged", 1)
	if c.rng.IntN(8) == 0 {
		c.replay(ctx, p)
	}
	if c.rng.IntN(8) == 0 {
		c.readBack(ctx, p)
	}
}

// alreadyThere handles the response to a reference that an earlier attempt has used.
func (c *client) alreadyThere(ctx context.Context, r *request, a *answer, w wanted) {
	var taken struct{ Code, OrderID string }
	if err := a.into(&taken); err != nil || taken.Code != "reference-taken" || !r.maybe || r.key != "" {
		c.breaches.add("unexpected answer", "%s %s after %d tries: %s", r.path, r.body, r.tries, a)
		return
	}
	p := &placed{id: taken.OrderID, by: c.person, asked: *r, wanted: w, version: 1}
	if !c.journal.place(p) {
		c.breaches.add("one order for two requests", "%s, the second time for reference %s", p.id, *w.Reference)
	}
	c.report.count("orders found by their reference after an unknown outcome", 1)
	c.readBack(ctx, p)
}

func (c *client) judgePlaced(r *request, w wanted, o order) {
	if o.Status != "PENDING" || o.Version != 1 || o.Total.Amount != w.total() || len(o.Items) != len(w.Items) {
		c.breaches.add("another order than asked for", "%s was answered with %+v", r.body, o)
	}
}

// replay repeats a request: the response must have the same status and body, and be marked as a
// replay. The response about an order that has been deleted since is no longer returned.
func (c *client) replay(ctx context.Context, p *placed) {
	if p.asked.key == "" || p.answer == nil {
		return
	}
	again := p.asked
	a := c.settle(ctx, &again)
	if a == nil {
		return // only the first response counts
	}
	c.report.count("replays compared", 1)
	if a.status == http.StatusConflict && a.code() == "order-deleted" && p.mayBeGone() {
		return
	}
	if a.status != http.StatusCreated || !bytes.Equal(a.body, p.answer) || !a.replayed {
		c.breaches.add("replay", "key %s: first %s, then %s (replayed: %t)", p.asked.key, p.answer, a, a.replayed)
	}
}

// readBack reads an order on any node immediately after its acknowledgement.
func (c *client) readBack(ctx context.Context, p *placed) {
	before := p.newest()
	var o order
	_, absent, err := c.get(ctx, "/v1/orders/"+p.id, &o)
	switch {
	case err != nil:
	case absent && !p.mayBeGone():
		c.breaches.add("acknowledged and not there", "order %s", p.id)
	case !absent && o.Version < before:
		c.breaches.add("stale read", "order %s at version %d after %d was acknowledged", p.id, o.Version, before)
	}
}

// placeWrongly sends an invalid request twice with the same key.
func (c *client) placeWrongly(ctx context.Context) {
	r := &request{method: http.MethodPost, path: "/v1/orders", key: c.name("bad"), body: body(wanted{Items: []item{{"NO-SUCH-SKU", 1}}})}
	for range 2 {
		again := *r
		if a := c.settle(ctx, &again); a != nil && a.status != http.StatusUnprocessableEntity {
			c.breaches.add("unexpected answer", "an unknown sku: %s", a)
		}
	}
}

func (c *client) read(ctx context.Context) {
	if p := c.journal.recent(c.rng, c.person); p != nil {
		c.readBack(ctx, p)
	}
}

func (c *client) list(ctx context.Context) {
	r := &request{method: http.MethodGet, path: "/v1/orders?limit=20&status=" + url.QueryEscape("PROCESSING")}
	if a := c.settle(ctx, r); a != nil && !a.ok() {
		c.breaches.add("unexpected answer", "%s: %s", r.path, a)
	}
}

// history must have every version up to the newest one that a client has received.
func (c *client) history(ctx context.Context) {
	p := c.journal.recent(c.rng, c.person)
	if p == nil {
		return
	}
	before := p.newest()
	var page struct{ Data []struct{ Version int64 } }
	_, absent, err := c.get(ctx, "/v1/orders/"+p.id+"/events", &page)
	if err != nil || absent {
		return // readBack reports a missing order
	}
	for i, e := range page.Data {
		if e.Version != int64(i+1) {
			c.breaches.add("history", "order %s: event %d has version %d", p.id, i+1, e.Version)
			return
		}
	}
	if int64(len(page.Data)) < before {
		c.breaches.add("history", "order %s has %d events after version %d was acknowledged", p.id, len(page.Data), before)
	}
}
