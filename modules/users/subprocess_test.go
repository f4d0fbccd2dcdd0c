package users

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// asChild is how this test program becomes the child.
const asChild = "-hash-for-parent"

func childOfTests(t *testing.T, places int, out *bytes.Buffer) *subprocess {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := newSubprocess([]string{program, asChild}, places, slog.New(slog.NewTextHandler(out, nil)))
	t.Cleanup(func() {
		for range places {
			if c := <-a.idle; c != nil {
				c.end()
			}
		}
	})
	return a
}

// SPEC A2: a child returns the same results as bcrypt, also for concurrent calls.
func TestAside(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	a := childOfTests(t, 2, &said)
	h := newHasher(4, nil, nil)
	h.wait, h.capacity, h.compare, h.generate = testwait.Limit, newCapacity(2), a.compare, a.generate

	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			hash, err := h.make(t.Context(), known, goodPassword)
			if err != nil {
				t.Error(err)
				return
			}
			if cost, err := bcrypt.Cost([]byte(hash)); cost != 4 || err != nil {
				t.Error(cost, err)
			}
			if same, err := h.matches(t.Context(), hash, goodPassword); !same || err != nil {
				t.Error("the right one", same, err)
			}
			if same, err := h.matches(t.Context(), hash, goodPassword+"!"); same || err != nil {
				t.Error("a wrong one", same, err)
			}
		})
	}
	all.Wait()
	if err := a.compare([]byte("no hash"), []byte("x")); err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Error(err)
	}
	if said.Len() > 0 {
		t.Errorf("it was not the child that answered: %s", &said)
	}
}

// A child that dies is replaced, and what it was asked is answered all the same; so it
// is where no child can be started.
func TestAsideWithoutChild(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	a := childOfTests(t, 1, &said)
	hash, err := a.generate([]byte(goodPassword), 4)
	if err != nil {
		t.Fatal(err)
	}
	c := <-a.idle
	c.end()
	a.idle <- c

	for range 3 {
		if err := a.compare(hash, []byte(goodPassword)); err != nil {
			t.Error(err)
		}
	}
	if strings.Count(said.String(), "a hashing child failed") != 1 {
		t.Errorf("said %s", &said)
	}

	none := newSubprocess([]string{"/nowhere/orderflow"}, 1, slog.New(slog.DiscardHandler))
	if err := none.compare(hash, []byte(goodPassword)); err != nil {
		t.Error(err)
	}
	if err := none.compare(hash, []byte("x")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Error(err)
	}
}
