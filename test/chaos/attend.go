package main

import (
	"context"
	"net/http"
	"slices"
	"sync"
)

// attend performs one of the actions that the order lists for an administrator or for its owner
// (SPEC C10).
func (c *client) attend(ctx context.Context) {
	p := c.journal.recent(c.rng, nil)
	if p == nil {
		return
	}
	var o order
	etag, absent, err := c.admin.get(ctx, "/v1/orders/"+p.id, &o)
	if err != nil || absent {
		return
	}
	moves := slices.DeleteFunc(slices.Clone(o.AllowedActions), func(name string) bool { return moves[name] == nil })
	if len(moves) == 0 {
		return
	}
	name := moves[c.rng.IntN(len(moves))]
	if (name == "delete" || name == "cancel") && c.rng.IntN(4) > 0 { // most orders should continue
		return
	}
	move(name)(c, ctx, p, o, etag)
}

// move is the request for one of the allowed actions of an order.
type moveFunc func(c *client, ctx context.Context, p *placed, o order, etag string)

var moves map[string]moveFunc

func move(name string) moveFunc { return moves[name] }

func init() { //nolint:gochecknoinits // the functions refer to the table
	moves = map[string]moveFunc{
		"ship":     toStatus("SHIPPED"),
		"complete": toStatus("COMPLETED"),
		"reopen":   toStatus("PENDING"),
		"hold":     post("hold", map[string]any{"reason": "a person must look"}),
		"release":  post("release", nil),
		"cancel":   post("cancel", map[string]any{"reason": "changed my mind"}),
		"delete":   (*client).remove,
		"refund":   (*client).refund,
	}
}

func toStatus(status string) moveFunc {
	return func(c *client, ctx context.Context, p *placed, o order, etag string) {
		in := map[string]any{"status": status, "reason": "chaos"}
		if status == "SHIPPED" {
			in["tracking"] = c.name("track")
		}
		r := &request{method: http.MethodPatch, path: "/v1/orders/" + p.id + "/status", body: body(in)}
		c.moved(ctx, p, o, etag, r)
	}
}

func post(what string, in map[string]any) moveFunc {
	return func(c *client, ctx context.Context, p *placed, o order, etag string) {
		r := &request{method: http.MethodPost, path: "/v1/orders/" + p.id + "/" + what}
		if in != nil {
			r.body = body(in)
		}
		if c.rng.IntN(3) > 0 {
			r.key = c.name(what)
		}
		c.moved(ctx, p, o, etag, r)
	}
}

// moved sends a move, sometimes with If-Match for the version that was read. That version lists
// the action, so the response must not be that it is illegal.
func (c *client) moved(ctx context.Context, p *placed, o order, etag string, r *request) {
	if c.rng.IntN(2) == 0 {
		r.ifMatch = etag
	}
	a := c.admin.settle(ctx, r)
	if !c.must(r, a, http.StatusOK, http.StatusConflict, http.StatusPreconditionFailed, http.StatusNotFound) {
		return
	}
	switch {
	case a.ok():
		c.noteMove(r, a)
	case a.status == http.StatusNotFound && !p.mayBeGone():
		c.breaches.add("acknowledged and not there", "order %s: %s", p.id, a)
	case a.status == http.StatusConflict && r.ifMatch != "" && !r.maybe:
		c.breaches.add("listed and refused", "order %s at version %d lists %v, but %s %s: %s", p.id, o.Version, o.AllowedActions, r.path, r.body, a)
	case a.status == http.StatusPreconditionFailed && r.ifMatch == "":
		c.breaches.add("unexpected answer", "%s without If-Match: %s", r.path, a)
	}
}

func (c *client) noteMove(r *request, a *answer) {
	var o order
	if err := a.into(&o); err != nil {
		c.breaches.add("unexpected answer", "%s: %v", a, err)
		return
	}
	c.journal.act(acked{order: o.ID, what: r.method + " " + r.path, version: o.Version, status: o.Status})
	c.report.count("moves acknowledged", 1)
}

// cancel is sent by the owner.
func (c *client) cancel(ctx context.Context) {
	p := c.journal.recent(c.rng, c.person)
	if p == nil {
		return
	}
	r := &request{method: http.MethodPost, path: "/v1/orders/" + p.id + "/cancel"}
	if c.rng.IntN(3) > 0 {
		r.key = c.name("cancel")
	}
	a := c.settle(ctx, r)
	if c.must(r, a, http.StatusOK, http.StatusConflict, http.StatusNotFound) && a.ok() {
		c.noteMove(r, a)
	}
}

func (c *client) remove(ctx context.Context, p *placed, _ order, _ string) {
	p.delete()
	r := &request{method: http.MethodDelete, path: "/v1/orders/" + p.id}
	a := c.admin.settle(ctx, r)
	if c.must(r, a, http.StatusNoContent, http.StatusNotFound, http.StatusConflict) && a.ok() {
		c.report.count("orders deleted", 1)
		if _, absent, err := c.get(ctx, "/v1/orders/"+p.id, &order{}); err == nil && !absent {
			c.breaches.add("deleted and there", "order %s", p.id)
		}
	}
}

func (c *client) refund(ctx context.Context, p *placed, o order, _ string) {
	in := map[string]any{"reason": "it leaks"}
	if c.rng.IntN(2) == 0 {
		line := o.Items[c.rng.IntN(len(o.Items))]
		in["items"] = []item{{line.SKU, 1}}
	} else {
		in["amount"] = amount{1 + c.rng.Int64N(max(o.Captured.Amount, 1)), o.Total.Currency}
	}
	c.refunded(ctx, p, in)
}

// twoFullRefunds requests two full refunds at the same time: one of them must be rejected.
func (c *client) twoFullRefunds(ctx context.Context) {
	p := c.journal.recent(c.rng, nil)
	if p == nil {
		return
	}
	var o order
	if _, absent, err := c.admin.get(ctx, "/v1/orders/"+p.id, &o); err != nil || absent || o.Captured.Amount == 0 {
		return
	}
	var both sync.WaitGroup
	var granted [2]bool
	in := map[string]any{"amount": o.Captured, "reason": "all of it"}
	keys := [2]string{c.name("refund"), c.name("refund")}
	for i := range granted {
		both.Go(func() { granted[i] = c.refundOnce(ctx, p, in, keys[i]) })
	}
	both.Wait()
	if granted[0] && granted[1] {
		c.breaches.add("refunded twice", "order %s: two refunds of %d", p.id, o.Captured.Amount)
	}
}

func (c *client) refunded(ctx context.Context, p *placed, in map[string]any) {
	c.refundOnce(ctx, p, in, c.name("refund"))
}

func (c *client) refundOnce(ctx context.Context, p *placed, in map[string]any, key string) (granted bool) {
	r := &request{method: http.MethodPost, path: "/v1/orders/" + p.id + "/refunds", key: key, body: body(in)}
	a := c.admin.settle(ctx, r)
	// 422: a line without a price cannot be refunded.
	if !c.must(r, a, http.StatusCreated, http.StatusConflict, http.StatusNotFound, http.StatusUnprocessableEntity) || !a.ok() {
		return false
	}
	var out struct {
		ID     string
		Amount amount
	}
	if err := a.into(&out); err != nil || !c.journal.refund(out.ID, p.id, out.Amount.Amount) {
		c.breaches.add("unexpected answer", "refund %s: %v", a, err)
	}
	c.report.count("refunds acknowledged", 1)
	return true
}
