package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/money"
)

// forever keeps a node from looking at the version by itself.
func forever(m *Module) *Module {
	m.prices.life = time.Hour
	return m
}

func (s *bundle) price(m *Module, sku string) (amount int64, active, ok bool) {
	s.t.Helper()
	offer, _, err := m.Offers(context.Background(), []string{sku})
	must(s.t, err)
	_, price, active, ok := offer(sku)
	return price.Amount, active, ok
}

func (s *bundle) reprice(m *Module, sku string, amount int64) {
	s.t.Helper()
	_, err := m.change(context.Background(), s.admin, sku, always, change{price: priced(amount)})
	must(s.t, err)
}

// SPEC F9: another node may answer with an outdated price. The version of the catalogue
// shows that to the writing transaction, and a message updates the node.
func TestStalePriceIsFoundOut_F9(t *testing.T) {
	t.Parallel()
	s := setup(t)
	here, there := forever(s.Module), forever(s.node())
	s.stock(nil, "a")
	s.price(here, "a")
	s.price(there, "a")

	s.reprice(here, "a", 2000)

	if amount, _, _ := s.price(here, "a"); amount != 2000 {
		t.Errorf("the writer's node says %d", amount)
	}
	offer, version, err := there.Offers(t.Context(), []string{"a"})
	must(t, err)
	if _, price, _, _ := offer("a"); price.Amount != 1000 {
		t.Fatalf("the other node says %d: this test is of no use", price.Amount)
	}
	s.tx(there, func(tx pgx.Tx) error {
		var current int64
		b := &pgx.Batch{}
		there.QueueVersion(b, &current)
		must(t, tx.SendBatch(t.Context(), b).Close())
		if current == version {
			t.Error("the stale price goes by the current version")
		}
		offer, fresh, err := there.OffersIn(t.Context(), tx, []string{"a"})
		must(t, err)
		if _, price, _, _ := offer("a"); price.Amount != 2000 || fresh != current {
			t.Errorf("in the transaction: %d of version %d, want 2000 of %d", price.Amount, fresh, current)
		}
		return nil
	})

	there.Forget()
	if amount, _, _ := s.price(there, "a"); amount != 2000 {
		t.Errorf("after the message the other node says %d", amount)
	}
}

// SPEC F9: what a customer is refused for is never a memory.
func TestRefusalsAreNeverRemembered_F9(t *testing.T) {
	t.Parallel()
	s := setup(t)
	there := forever(s.node())
	yes, no := true, false

	if _, _, ok := s.price(there, "a"); ok {
		t.Fatal("a is there already")
	}
	s.stock(nil, "a")
	if _, active, ok := s.price(there, "a"); !ok || !active {
		t.Error("a new product is not seen")
	}
	_, err := s.change(t.Context(), s.admin, "a", always, change{active: &no})
	must(t, err)
	there.Forget()
	if _, active, ok := s.price(there, "a"); !ok || active {
		t.Error("it still seems active")
	}
	_, err = s.change(t.Context(), s.admin, "a", always, change{active: &yes})
	must(t, err)
	if _, active, _ := s.price(there, "a"); !active {
		t.Error("it still seems inactive")
	}
	must(t, s.remove(t.Context(), "a", always))
	there.Forget()
	if _, _, ok := s.price(there, "a"); ok {
		t.Error("it is still sold")
	}
	s.stock(nil, "a")
	if _, _, ok := s.price(there, "a"); !ok {
		t.Error("what came back is not seen")
	}
}

// The catalogue's version moves with what an order copies, and with nothing else.
func TestWhatMovesTheVersion_F9(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.stock(new(int64(9)), "a")
	version := func() int64 { return s.count(`select version from catalogue`) }
	edit := func(c change) func() {
		return func() {
			_, err := s.change(t.Context(), s.admin, "a", always, c)
			must(t, err)
		}
	}
	name, no, five := "New name", false, new(int64(5))

	for _, row := range []struct {
		what  string
		moves int64
		do    func()
	}{
		{"name", 1, edit(change{name: &name})},
		{"the same name", 0, edit(change{name: &name})},
		{"price", 1, edit(change{price: priced(1)})},
		{"currency", 1, edit(change{price: &money.Money{Amount: 1, Currency: "USD"}})},
		{"stock", 0, edit(change{stock: &five})},
		{"active", 1, edit(change{active: &no})},
		{"reservation", 0, func() { _, err := reserve(s.Module, want("a", 1)); must(t, err) }},
		{"deletion", 1, func() { must(t, s.remove(t.Context(), "a", always)) }},
		{"creation", 1, func() { s.stock(new(int64(1)), "a") }},
	} {
		before := version()
		row.do()
		if moved := version() - before; moved != row.moves {
			t.Errorf("%s moves the version by %d", row.what, moved)
		}
	}
}

// source is a catalogue of one product in memory, which counts its readers.
type source struct {
	version, amount atomic.Int64
	reads           atomic.Int64
	away            atomic.Bool
	gate            chan struct{} // when not nil, a read waits here with its answer in hand
}

func (s *source) read(_ context.Context, skus []string) (snapshot, error) {
	s.reads.Add(1)
	answer := snapshot{s.version.Load(), map[string]article{}}
	for _, sku := range skus {
		answer.articles[sku] = article{sku, *priced(s.amount.Load()), true}
	}
	if gate := s.gate; gate != nil {
		<-gate
	}
	if s.away.Load() {
		return snapshot{}, errors.New("away")
	}
	return answer, nil
}

func ask(t *testing.T, c *cache, skus ...string) int64 {
	t.Helper()
	s, err := c.get(t.Context(), skus)
	must(t, err)
	_, price, _, _ := s.offer(skus[0])
	return price.Amount
}

// pass lets time go by on the clock of a synctest bubble.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's clock jumps, so the test does not wait
}

// SPEC F9: without any message, a price is a second old at most.
func TestShortLifeIsTheBound_F9(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		c := newCache(src.read)
		ask(t, c, "a")
		src.amount.Store(7)
		src.version.Store(1)

		pass(cacheLife - time.Nanosecond)
		if got := ask(t, c, "a"); got != 0 || src.reads.Load() != 1 {
			t.Errorf("within its life: %d after %d reads", got, src.reads.Load())
		}
		pass(time.Nanosecond)
		if got := ask(t, c, "a"); got != 7 {
			t.Errorf("after its life: %d", got)
		}

		pass(cacheLife)
		reads := src.reads.Load()
		ask(t, c, "a")
		if n := src.reads.Load() - reads; n != 1 { // the version alone, as nothing changed
			t.Errorf("%d reads although nothing changed", n)
		}
		pass(cacheLife)
		src.away.Store(true)
		if _, err := c.get(t.Context(), []string{"a"}); err == nil {
			t.Error("it answers from an expired memory")
		}
	})
}

func TestReadsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &source{gate: make(chan struct{})}
		c := newCache(src.read)

		for range 50 {
			go func() { _, _ = c.get(context.Background(), []string{"b", "a"}) }()
		}
		synctest.Wait()
		close(src.gate)
		synctest.Wait()

		if n := src.reads.Load(); n != 1 {
			t.Errorf("%d reads for 50 callers", n)
		}
	})
}

// SPEC F9: a read that began before the write must not answer, or be remembered,
// after its acknowledgement, whichever of the two reads comes back first.
func TestReadInFlightDuringForget_F9(t *testing.T) {
	t.Parallel()
	for _, oldFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			before, after := make(chan struct{}), make(chan struct{})
			src := &source{gate: before}
			c := newCache(src.read)
			go func() { _, _ = c.get(context.Background(), []string{"a"}) }()
			synctest.Wait() // it holds the old price

			src.amount.Store(7)
			src.version.Store(1)
			src.gate = after
			c.forget()
			if oldFirst {
				close(before)
				synctest.Wait()
			}
			got := make(chan int64, 1)
			go func() {
				s, _ := c.get(context.Background(), []string{"a"})
				_, price, _, _ := s.offer("a")
				got <- price.Amount
			}()
			synctest.Wait()
			close(after)
			if amount := <-got; amount != 7 {
				t.Errorf("after the write: %d", amount)
			}
			if !oldFirst {
				close(before)
				synctest.Wait()
			}
			if amount := ask(t, c, "a"); amount != 7 {
				t.Errorf("remembered: %d", amount)
			}
		})
	}
}

// Of two reads under way, the one that began later is right, also when it comes
// back first.
func TestReadsOvertake_F9(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		src := &source{gate: slow}
		c := newCache(src.read)
		go func() { _, _ = c.get(context.Background(), []string{"a", "b"}) }()
		synctest.Wait() // it holds the old prices

		pass(time.Millisecond)
		src.amount.Store(7)
		src.version.Store(1)
		src.gate = nil
		ask(t, c, "a")
		close(slow)
		synctest.Wait()

		if amount := ask(t, c, "a"); amount != 7 {
			t.Errorf("a late reader brought %d back", amount)
		}
	})
}

// SPEC F9: a caller who joins an older read and finds its product missing there
// looks again: it may have been created in between, on another node.
func TestSharedRefusalIsReadAgain_F9(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var there atomic.Bool
		slow := make(chan struct{})
		c := newCache(func(context.Context, []string) (snapshot, error) {
			known := there.Load()
			if !known {
				<-slow
			}
			return snapshot{1, map[string]article{"a": {active: known}}}, nil
		})
		go func() { _, _ = c.get(context.Background(), []string{"a"}) }()
		synctest.Wait()

		there.Store(true)
		got := make(chan bool, 1)
		go func() {
			s, _ := c.get(context.Background(), []string{"a"})
			got <- s.sells([]string{"a"})
		}()
		synctest.Wait()
		close(slow)

		if !<-got {
			t.Error("refused over what was read before")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache((&source{}).read)
	c.size = 100

	for i := range 1000 {
		ask(t, c, fmt.Sprint(i), fmt.Sprint(i+1))
	}

	if n := len(c.articles); n != 100 {
		t.Errorf("%d articles are kept", n)
	}
}
