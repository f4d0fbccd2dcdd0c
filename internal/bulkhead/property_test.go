package bulkhead_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/orderflow-dev/orderflow/internal/bulkhead"
)

// model counts what is held, and how long each caller has been passed over.
type model struct {
	o       bulkhead.Options
	b       *bulkhead.Bulkhead[int]
	callers []*entry
	fault   string // the first breach; reported outside of the bubble
}

func (m *model) breach(format string, args ...any) {
	if m.fault == "" {
		m.fault = fmt.Sprintf(format, args...)
	}
}

type entry struct {
	class, key int
	cancel     context.CancelFunc
	done       chan struct{}
	release    func()
	err        error
	over       bool
}

func (e *entry) waits() bool {
	select {
	case <-e.done:
		return false
	default:
		return true
	}
}

func (e *entry) holds() bool { return !e.waits() && e.err == nil && !e.over }

// In every schedule: no limit is exceeded, no slot is lost, no slot stays free that a waiting
// caller may have, and a waiting caller is passed over a bounded number of times.
func TestLimitsHoldWhateverTheSchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		small := func(name string) int { return rapid.IntRange(0, 4).Draw(r, name) }
		o := bulkhead.Options{
			Slots: rapid.IntRange(1, 6).Draw(r, "slots"), Burst: rapid.IntRange(1, 3).Draw(r, "burst"),
			Headroom: rapid.Bool().Draw(r, "headroom"), PerKey: small("of key"),
		}
		for range rapid.IntRange(1, 3).Draw(r, "classes") {
			o.Classes = append(o.Classes, bulkhead.Class{Slots: min(small("of class"), o.Slots), PerKey: small("per key"), Queue: 4 * small("queue"), QueuePerKey: small("queue per key")})
		}
		steps := rapid.SliceOfN(rapid.IntRange(0, 999), 1, 60).Draw(r, "steps")
		m := &model{o: o}
		synctest.Test(t, func(*testing.T) {
			m.b = bulkhead.New[int](o)
			for _, step := range steps {
				m.step(step)
				m.check()
			}
			m.drain()
		})
		if m.fault != "" {
			r.Fatal(m.fault)
		}
	})
}

func (m *model) step(n int) {
	switch pick := n % 100; {
	case pick < 55:
		m.call(n/100%len(m.o.Classes), n%7)
	case pick < 65:
		if e := m.some(n, (*entry).waits); e != nil {
			e.cancel()
		}
	default:
		m.end(m.some(n, (*entry).holds))
	}
	synctest.Wait()
}

func (m *model) some(n int, of func(*entry) bool) *entry {
	for i := range m.callers {
		if e := m.callers[(n+i)%len(m.callers)]; of(e) {
			return e
		}
	}
	return nil
}

func (m *model) call(class, key int) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &entry{class: class, key: key, cancel: cancel, done: make(chan struct{})}
	m.callers = append(m.callers, e)
	full := m.b.Check(class, key)
	go func() {
		defer close(e.done)
		e.release, e.err = m.b.Acquire(ctx, class, key)
	}()
	synctest.Wait()
	if (full == nil) == errors.Is(e.err, full) && full != nil || full == nil && e.err != nil {
		m.breach("there was room: %v, but it was told: %v", full, e.err)
	}
}

// end gives a slot back, and looks who got it.
func (m *model) end(e *entry) {
	if e == nil {
		return
	}
	e.over = true
	e.release()
	e.release()
}

func (m *model) check() {
	inUse, byKey, waiting := map[int]int{}, map[[2]int]int{}, 0
	holding, total := map[int]int{}, 0
	for _, e := range m.callers {
		switch {
		case e.holds():
			inUse[e.class]++
			byKey[[2]int{e.class, e.key}]++
			holding[e.key]++
			total++
		case e.waits():
			waiting++
		}
	}
	if held, wait := m.b.Usage(); held != total || wait != waiting || total > m.o.Slots {
		m.breach("%d of %d held, %d wait; counted %d and %d", held, m.o.Slots, wait, total, waiting)
	}
	for _, e := range m.callers {
		c := m.o.Classes[e.class]
		slots := c.Slots
		if slots == 0 {
			slots = m.o.Slots
		}
		perKey := c.PerKey
		if perKey == 0 {
			perKey = slots
		}
		own := byKey[[2]int{e.class, e.key}]
		ofKey := m.o.PerKey
		if ofKey == 0 {
			ofKey = m.o.Slots
		}
		if holding[e.key] > ofKey {
			m.breach("key %d holds %d of %d", e.key, holding[e.key], ofKey)
		}
		if inUse[e.class] > slots || own > perKey {
			m.breach("class %d holds %d of %d, key %d of it %d of %d", e.class, inUse[e.class], slots, e.key, own, perKey)
		}
		free := m.o.Slots - total
		if e.waits() && free > 0 && inUse[e.class] < slots && own < perKey && holding[e.key] < ofKey && (!m.o.Headroom || holding[e.key] < free) {
			m.breach("key %d waits in class %d though it may have a slot", e.key, e.class)
		}
	}
}

// drain releases slots until no caller waits: every waiting caller is served in the end.
func (m *model) drain() {
	for range m.callers {
		for _, e := range m.callers {
			if e.holds() {
				m.end(e)
				synctest.Wait()
			}
		}
	}
	for _, e := range m.callers {
		if e.waits() {
			m.breach("key %d waits for ever", e.key)
			e.cancel()
		}
	}
	m.check()
}

// Of two keys that both wait all the time, neither is served twice in a row; a class is
// passed over at most Burst times in a row.
func TestWaitersArePassedOverABoundedNumberOfTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		keys, each := rapid.IntRange(2, 5).Draw(r, "keys"), rapid.IntRange(1, 6).Draw(r, "each")
		burst := rapid.IntRange(1, 4).Draw(r, "burst")
		arrivals := rapid.Permutation(many(2*keys*each)).Draw(r, "arrivals")
		o := bulkhead.Options{Slots: 1, Burst: burst, Classes: []bulkhead.Class{{Queue: 1000}, {Queue: 1000}}}
		m := &model{o: o}
		synctest.Test(t, func(*testing.T) {
			m.b = bulkhead.New[int](o)
			m.call(0, -1)
			for _, n := range arrivals {
				m.call(n%2, n/2%keys)
			}
			row, before := 0, m.callers[0]
			last := map[int][]int{} // by class: the keys in the order of service
			for range arrivals {
				m.end(before)
				synctest.Wait()
				e := m.some(0, (*entry).holds)
				before = e
				last[e.class] = append(last[e.class], e.key)
				if row++; e.class == 1 {
					row = 0
				}
				if row > burst && len(last[1]) < keys*each {
					m.breach("%d grants in a row before the second class", row)
				}
			}
			for class, served := range last {
				for i, key := range served[:keys*(each-1)] {
					if i >= keys && key != served[i-keys] {
						m.breach("class %d was served in the order %v", class, served)
					}
				}
			}
		})
		if m.fault != "" {
			r.Fatal(m.fault)
		}
	})
}

func many(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}
