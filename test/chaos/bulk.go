package main

import (
	"bytes"
	"context"
	"net/http"
)

// bulk places many orders at once, atomically or independently; some of the independent ones are
// invalid. Its key is repeated as well.
func (c *client) bulk(ctx context.Context) {
	atomic := c.rng.IntN(2) == 0
	list := make([]wanted, 1+c.rng.IntN(12))
	wrong := map[int]bool{}
	for i := range list {
		list[i] = basket(c.rng)
		if !atomic && c.rng.IntN(6) == 0 {
			list[i].Items[0].SKU = "NO-SUCH-SKU"
			wrong[i] = true
		}
	}
	mode := map[bool]string{true: "atomic", false: "independent"}[atomic]
	r := &request{
		method: http.MethodPost, path: "/v1/orders/bulk", key: c.name("bulk"),
		body: body(map[string]any{"mode": mode, "orders": list}),
	}
	a := c.settle(ctx, r)
	if !c.must(r, a, http.StatusOK) {
		return
	}
	var page struct {
		Data []struct {
			Index, Status int
			Order         order
		}
	}
	if err := a.into(&page); err != nil || len(page.Data) != len(list) {
		c.breaches.add("unexpected answer", "bulk of %d: %s, %v", len(list), a, err)
		return
	}
	for _, one := range page.Data {
		if placed := one.Status == http.StatusCreated; placed == wrong[one.Index] {
			c.breaches.add("unexpected answer", "bulk, order %d: %s", one.Index, a)
		} else if placed {
			c.noteOfBulk(r, list[one.Index], one.Order)
		}
	}
	if c.rng.IntN(3) == 0 {
		again := *r
		b := c.settle(ctx, &again)
		if b != nil && bytes.Contains(b.body, []byte(`"order-deleted"`)) {
			return // an administrator has already changed it
		}
		if b != nil && (!bytes.Equal(a.body, b.body) || !b.replayed) {
			c.breaches.add("replay", "bulk key %s: first %s, then %s", r.key, a, b)
		}
	}
}

func (c *client) noteOfBulk(r *request, w wanted, o order) {
	c.judgePlaced(r, w, o)
	if !c.journal.place(&placed{id: o.ID, by: c.person, asked: *r, wanted: w, version: o.Version}) {
		c.breaches.add("one order for two requests", "%s, the second time for bulk key %s", o.ID, r.key)
	}
	c.report.count("orders acknowledged", 1)
}
