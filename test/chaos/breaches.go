package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// shown is how many breaches of one kind are printed; the others are counted.
const shown = 5

// breaches are violations of the guarantees.
type breaches struct {
	mu    sync.Mutex
	out   *output
	began time.Time
	kinds map[string]int
}

// add records a breach of a kind, with a description.
func (b *breaches) add(kind, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.kinds[kind]++
	if n := b.kinds[kind]; n <= shown {
		fmt.Fprintf(b.out, "%s BREACH  %s: %s\n", stamp(b.began), kind, fmt.Sprintf(format, args...))
	}
}

func (b *breaches) count() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, of := range b.kinds {
		n += of
	}
	return n
}

// output is the log of a run, and a file in its folder.
type output struct {
	mu   sync.Mutex
	to   io.Writer
	also io.Writer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.also != nil {
		_, _ = o.also.Write(p)
	}
	return o.to.Write(p)
}

func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.out, "%s %s\n", stamp(l.breaches.began), fmt.Sprintf(format, args...))
}

func stamp(began time.Time) string {
	return fmt.Sprintf("%7.2fs", time.Since(began).Seconds())
}
