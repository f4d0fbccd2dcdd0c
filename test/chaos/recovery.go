package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// recoverWithin is the maximum time without progress of orders after a fault (SPEC D5).
const recoverWithin = 2 * time.Minute

// recovery measures the time from a fault until an order that was placed after it is being
// fulfilled. Other faults may kill the worker of the first such order, so another order is placed
// every few seconds.
func (l *lab) recovery(ctx context.Context, canary *person, kind string, since time.Time) {
	ctx, cancel := context.WithDeadline(ctx, since.Add(recoverWithin))
	defer cancel()
	var sent []order
	for ctx.Err() == nil {
		if int(time.Since(since)/(5*time.Second)) >= len(sent) {
			if o, ok := l.release(ctx, canary, fmt.Sprintf("canary-%d-%d", since.UnixNano(), len(sent))); ok {
				sent = append(sent, o)
			}
		}
		for i := range sent {
			_, _, _ = canary.get(ctx, "/v1/orders/"+sent[i].ID, &sent[i]) // an error is retried in the next round
		}
		if slices.ContainsFunc(sent, func(o order) bool { return o.Status == "PROCESSING" }) {
			l.report.sample("recovery from: "+kind, time.Since(since))
			return
		}
		pause(ctx, 50*time.Millisecond)
	}
	said := make([]string, len(sent))
	for i, o := range sent {
		said[i] = o.ID + " " + o.Status
	}
	l.breaches.add("no recovery", "no order was processed within %s of: %s; there are %s", recoverWithin, kind, strings.Join(said, ", "))
}

// release places an order that no other client changes.
func (l *lab) release(ctx context.Context, canary *person, key string) (o order, ok bool) {
	w := wanted{Items: []item{{"BEANS", 1}}}
	r := &request{method: http.MethodPost, path: "/v1/orders", key: key, body: body(w)}
	a := canary.settle(ctx, r)
	if a == nil || a.status != http.StatusCreated || a.into(&o) != nil {
		return o, false
	}
	l.journal.place(&placed{id: o.ID, by: canary, apart: true, asked: *r, answer: a.body, wanted: w, version: 1})
	return o, true
}
