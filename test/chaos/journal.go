package main

import (
	"math/rand/v2"
	"sync"
)

// journal is what the clients were told, and therefore may rely on.
type journal struct {
	mu      sync.Mutex
	placed  []*placed
	byID    map[string]*placed
	acts    []acked
	refunds map[string]refundSeen
	restock []int64 // deltas of acknowledged adjustments
	open    []string
}

// placed is an order that a client was told of.
type placed struct {
	id     string
	by     *person
	apart  bool // nobody attends to it: it shows how an order fares that is left alone
	asked  request
	answer []byte // the first one; nil when it was only told that the order is there
	wanted wanted

	mu      sync.Mutex
	version int64 // the newest that anybody was told of
	deleted bool  // somebody may have deleted it
}

// acked is an act on an order that was answered with the order.
type acked struct {
	order, what string
	version     int64
	status      string
}

type refundSeen struct {
	order  string
	amount int64
}

func newJournal() *journal {
	return &journal{byID: map[string]*placed{}, refunds: map[string]refundSeen{}}
}

// place notes an order. A second note of one order is a breach that the caller tells of.
func (j *journal) place(p *placed) (fresh bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.byID[p.id] != nil {
		return false
	}
	j.byID[p.id] = p
	j.placed = append(j.placed, p)
	return true
}

func (j *journal) act(a acked) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acts = append(j.acts, a)
	if p := j.byID[a.order]; p != nil {
		p.seen(a.version)
	}
}

func (j *journal) refund(id, order string, amount int64) (fresh bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, there := j.refunds[id]
	j.refunds[id] = refundSeen{order, amount}
	return !there
}

func (j *journal) adjusted(delta int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.restock = append(j.restock, delta)
}

// unanswered notes a request whose outcome stayed unknown to the end.
func (j *journal) unanswered(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open = append(j.open, what)
}

// recent picks one of the newest orders, mostly.
func (j *journal) recent(rng *rand.Rand, of *person) *placed {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.placed)
	if n == 0 {
		return nil
	}
	for range 20 {
		back := rng.IntN(min(n, 100))
		if rng.IntN(5) == 0 {
			back = rng.IntN(n)
		}
		if p := j.placed[n-1-back]; !p.apart && (of == nil || p.by == of) {
			return p
		}
	}
	return nil
}

// seen notes that somebody was told of a version, and returns the newest before.
func (p *placed) seen(version int64) (before int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.version
	p.version = max(p.version, version)
	return before
}

func (p *placed) newest() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

func (p *placed) delete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deleted = true
}

func (p *placed) mayBeGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deleted
}
