package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// client is one of the concurrent actors: a customer, and an administrator for its orders.
type client struct {
	*person
	admin *person
	rng   *rand.Rand
	n     int // number of its requests, for keys and references
}

// think is the mean pause between two acts of one client.
const think = 25 * time.Millisecond

// act is a part of the mix. It is omitted if the OpenAPI document of the product lacks its route.
type act struct {
	name   string
	weight int
	route  string
	do     func(*client, context.Context)
}

var mix = []act{
	{"place", 40, "POST /v1/orders", (*client).place},
	{"place wrongly", 2, "POST /v1/orders", (*client).placeWrongly},
	{"read", 8, "GET /v1/orders/{id}", (*client).read},
	{"list", 2, "GET /v1/orders", (*client).list},
	{"history", 3, "GET /v1/orders/{id}/events", (*client).history},
	{"cancel", 5, "POST /v1/orders/{id}/cancel", (*client).cancel},
	{"attend", 30, "PATCH /v1/orders/{id}/status", (*client).attend},
	{"two full refunds", 3, "POST /v1/orders/{id}/refunds", (*client).twoFullRefunds},
	{"restock", 3, "POST /v1/products/{sku}/adjustments", (*client).restock},
	{"bulk", 2, "POST /v1/orders/bulk", (*client).bulk},
	{"quote", 2, "POST /v1/orders/quote", (*client).quote},
	{"stats", 1, "GET /v1/orders/stats", (*client).stats},
	{"settle dead letters", 2, "POST /v1/dead-letters/{id}/retry", (*client).settleLetters},
}

// available returns the mix without the acts that this product does not support.
func (l *lab) available(ctx context.Context, p *person) (list []act, err error) {
	var doc struct{ Paths map[string]map[string]any }
	if _, _, err := p.get(ctx, "/openapi.json", &doc); err != nil {
		return nil, err
	}
	routes := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			routes[fmt.Sprintf("%s %s", strings.ToUpper(method), path)] = true
		}
	}
	for _, a := range mix {
		if routes[a.route] {
			list = append(list, a)
		} else {
			l.say("left out of the mix: %s, there is no %s", a.name, a.route)
		}
	}
	return list, nil
}

// load runs the clients until busy ends. Requests without a response are then repeated until ctx
// ends.
func (l *lab) load(ctx, busy context.Context, people []*person, admin *person, acts []act) {
	var all sync.WaitGroup
	for i, p := range people {
		c := &client{person: p, admin: admin, rng: l.rng(uint64(100 + i))}
		all.Go(func() {
			for pause(busy, time.Duration(c.rng.ExpFloat64()*float64(think))) {
				a := choose(c.rng, acts)
				l.report.count("acts: "+a.name, 1)
				a.do(c, ctx)
			}
		})
	}
	all.Wait()
}

func choose(rng *rand.Rand, acts []act) act {
	total := 0
	for _, a := range acts {
		total += a.weight
	}
	at := rng.IntN(total)
	for _, a := range acts {
		if at -= a.weight; at < 0 {
			return a
		}
	}
	return acts[0]
}

// name returns a text that is unique to this run, for keys and references.
func (c *client) name(what string) string {
	c.n++
	return fmt.Sprintf("%s-%s-%d", what, c.id[len(c.id)-6:], c.n)
}

// must records a breach unless the response has one of the statuses.
func (c *client) must(r *request, a *answer, statuses ...int) bool {
	if a == nil {
		c.journal.unanswered(r.method + " " + r.path + " " + r.key)
		return false
	}
	if slices.Contains(statuses, a.status) {
		return true
	}
	c.breaches.add("unexpected answer", "%s %s %s %s after %d tries: %s", r.method, r.path, r.key, r.body, r.tries, a)
	return false
}
