package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
)

// The walk covers the bytes that one order exchanges between the product and PostgreSQL. It closes
// the connection at one of them while a client places an order, and the client repeats its key:
// there must be one order, and the response must equal the first one, if there was one. The walk
// covers every byte of the commit and its confirmation.
var passages = []struct {
	stream string
	text   string // the commit in the protocol
	from   int    // first byte of the commit, relative to the end of the text
	to     int
	stride int // between the other bytes
	short  int // the same, for -short
}{
	// Q, length, "commit", zero.
	{"upstream", "commit\x00", -13, 2, 41, 307},
	// C, length, "COMMIT", zero; Z, length, T.
	{"downstream", "COMMIT\x00", -13, 8, 3, 29},
}

const walkerName = "walker"

var sample = wanted{Items: []item{{"SAMPLE", 1}}}

type walk struct {
	*person
	steps, orders, unknown int
}

func (l *lab) walk(ctx context.Context) error {
	w := &walk{person: &person{lab: l, email: walkerName + "@chaos.example", via: l.walker}}
	if err := w.login(ctx); err != nil {
		return err
	}
	for _, p := range passages {
		size, err := w.measure(ctx, p.stream, p.text)
		if err != nil {
			return err
		}
		stride := p.stride
		if l.short {
			stride = p.short
		}
		before := w.steps
		for n := 0; n <= size; n += stride {
			poison := func() (func(), error) { return l.walker.proxy.limit(p.stream, n) }
			if err := w.step(ctx, fmt.Sprintf("%s-%d", p.stream, n), poison); err != nil {
				return err
			}
		}
		for n := p.from; n <= p.to; n++ {
			poison := func() (func(), error) {
				lift, _, err := l.walker.proxy.poison("snip", p.stream, string(body(map[string]any{"text": p.text, "after": n})))
				return lift, err
			}
			if err := w.step(ctx, fmt.Sprintf("%s-commit%+d", p.stream, n), poison); err != nil {
				return err
			}
		}
		l.say("walked %s: %d steps over %d bytes and each byte of the commit", p.stream, w.steps-before, size)
	}
	return w.judge(ctx)
}

// place places an order without a fault.
func (w *walk) place(ctx context.Context, key string) error {
	r := walkRequest(key)
	a := w.settle(ctx, r)
	if a == nil || a.status != http.StatusCreated {
		return fmt.Errorf("order %s: %v", key, a)
	}
	w.note(r, a)
	return nil
}

func walkRequest(key string) *request {
	return &request{method: http.MethodPost, path: "/v1/orders", key: "walk-" + key, body: body(sample)}
}

func (w *walk) note(r *request, a *answer) {
	var o order
	if err := a.into(&o); err != nil {
		w.breaches.add("unexpected answer", "%s: %v", a, err)
	}
	p := &placed{id: o.ID, by: w.person, apart: true, asked: *r, answer: a.body, wanted: sample, version: 1}
	if !w.journal.place(p) {
		w.breaches.add("one order for two requests", "%s, the second time for key %s", o.ID, r.key)
	}
	w.orders++
}

// measure returns the number of bytes of an order on a connection that has already carried one.
func (w *walk) measure(ctx context.Context, stream, commit string) (size int, err error) {
	if err := w.place(ctx, "warm-"+stream); err != nil {
		return 0, err
	}
	lift, toxic, err := w.walker.proxy.poison("tap", stream, `{}`)
	if err != nil {
		return 0, err
	}
	defer lift()
	if err := w.place(ctx, "measure-"+stream); err != nil {
		return 0, err
	}
	tapped, ok := toxic.(*tap)
	if !ok {
		return 0, fmt.Errorf("a tap is a %T", toxic)
	}
	if size = tapped.with(commit); size == 0 {
		return 0, fmt.Errorf("no commit went %s", stream)
	}
	return size, nil
}

// step closes the connection at a position while one order is placed. An order before it brings
// the connection into the usual state.
func (w *walk) step(ctx context.Context, key string, poison func() (lift func(), err error)) error {
	w.steps++
	if err := w.place(ctx, key+"-before"); err != nil {
		return err
	}
	r := walkRequest(key)
	lift, err := poison()
	if err != nil {
		return err
	}
	first, err := w.ask(ctx, r)
	lift()
	told := err == nil && first.status == http.StatusCreated
	a := w.settle(ctx, r)
	if a == nil {
		return errOver
	}
	if a.status != http.StatusCreated || told && (!bytes.Equal(a.body, first.body) || !a.replayed) {
		w.breaches.add("walk", "%s: first %v %v, then %s (replayed: %t)", key, first, err, a, a.replayed)
	}
	w.note(r, a)
	switch {
	case told:
		w.report.count("walk: answered 201 at once", 1)
	case a.replayed:
		w.unknown++
		w.report.count("walk: not answered, but committed", 1)
	default:
		w.report.count("walk: not answered, and not committed", 1)
	}
	return nil
}

// judge checks that every key has one order. A walk without an unknown outcome has missed the
// commit.
func (w *walk) judge(ctx context.Context) error {
	var there int
	err := w.db.direct.QueryRow(ctx, `select count(*) from orders where user_id = $1`, w.id).Scan(&there)
	if err != nil {
		return err
	}
	if there != w.orders {
		w.breaches.add("walk", "%d keys, %d orders", w.orders, there)
	}
	if w.unknown < 12 {
		return errors.New("the connection never broke between a commit and its confirmation")
	}
	return nil
}
