package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// testLog takes a run's words.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// B2, B4, C2, C3, C8, C9, D1 to D6, E1, E3, E5: the short form of the whole thing.
func TestShort(t *testing.T) {
	t.Parallel() // it waits most of the time, as TestRewind does
	if testing.Short() {
		t.Skip("takes two to three minutes")
	}
	if err := run(t.Context(), []string{"-short", "-clients", "6"}, testLog{t}); err != nil {
		t.Error(err)
	}
}

// E3: a database that goes back, or fails over, under listeners on all transports.
func TestRewind(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes one to two minutes")
	}
	if err := run(t.Context(), []string{"-rewind"}, testLog{t}); err != nil {
		t.Error(err)
	}
}

// A snip meets its byte however the stream is cut into pieces.
func TestSnip(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		after int
		in    []string
		want  string
	}{
		{0, []string{"xx", "a commit b"}, "xxa commit"},
		{-3, []string{"a commit b"}, "a com"},
		{-99, []string{"x", "a commit b", "c"}, "x"},
		{2, []string{"a commit b", "c"}, "a commit b"},
		{3, []string{"a commit b", "cd"}, "a commit bc"},
		{5, []string{"a commit b", "c", "de"}, "a commit bcde"},
		{0, []string{"nothing", " of it"}, "nothing of it"},
	} {
		in, out := make(chan *stream.StreamChunk), make(chan *stream.StreamChunk, 10)
		stub := toxics.NewToxicStub(in, out)
		s := &snip{Text: "commit", After: row.after}
		stub.State = s.NewState()
		done := make(chan struct{})
		go func() { s.Pipe(stub); close(done) }()
		for _, piece := range row.in {
			select {
			case in <- &stream.StreamChunk{Data: []byte(piece)}:
			case <-done:
			}
		}
		close(in)
		<-done

		var got bytes.Buffer
		for c := range out {
			got.Write(c.Data)
		}
		if got.String() != row.want {
			t.Errorf("%d behind in %q: %q", row.after, row.in, got.String())
		}
	}
}

// The same seed deals the same faults and the same acts.
func TestSeedRepeats(t *testing.T) {
	t.Parallel()
	deal := func(seed uint64) (list []string) {
		l := &lab{options: options{seed: seed}}
		rng := l.rng(10)
		for range 20 {
			list = append(list, choose(rng, mix).name)
		}
		return list
	}

	if !slices.Equal(deal(7), deal(7)) || slices.Equal(deal(7), deal(8)) {
		t.Error("a seed does not repeat, or two are the same")
	}
}
