package main

import (
	"math/rand/v2"
	"sync"
)

// journal holds the responses that the clients have received and may rely on.
type journal struct {
	mu      sync.Mutex
	placed  []*placed
	byID    map[string]*placed
	acts    []acked
	refunds map[string]refundSeen
	restock []int64 // deltas of acknowledged adjustments
	open    []string
}

// placed is an order that a client has received a response about.
type placed struct {
	id     string
	by     *person
	apart  bool // no client changes it: it shows how an order is processed without actions
	asked  request
	answer []byte // the first one; nil if the response only said that the order exists
	wanted wanted

	mu      sync.Mutex
	version int64 // the newest one that a client has received
	deleted bool  // it may have been deleted
}

// acked is an act whose response was the order.
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

// place records an order. A second record of one order is a breach, which the caller reports.
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

// unanswered records a request whose outcome is unknown at the end.
func (j *journal) unanswered(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open = append(j.open, what)
}

// recent usually returns one of the newest orders.
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

// seen records that a client has received a version, and returns the newest one before.
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
