package app

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	progressAfter = time.Second // shorter commands show nothing
	progressEvery = 200 * time.Millisecond
)

// progress shows on a terminal what a command is doing and for how long, in one line that is overwritten and in
// the end removed. Elsewhere, and during the first second, it writes nothing. Its methods can be called on nil.
//
// One line needs no library: those for progress bars bring colours and widths of characters along.
type progress struct {
	out   io.Writer
	began time.Time
	stop  func() // closes the channel that show waits for
	ended sync.WaitGroup

	mu   sync.Mutex
	text string
}

// newProgress returns nil unless out is a terminal. The caller must call end.
func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return startProgress(out, progressAfter, progressEvery)
}

func startProgress(out io.Writer, after, every time.Duration) *progress {
	stop := make(chan struct{})
	p := &progress{out: out, began: time.Now(), stop: sync.OnceFunc(func() { close(stop) })}
	p.ended.Go(func() { p.show(stop, after, every) })
	return p
}

// now sets what the line says.
func (p *progress) now(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
}

// end removes the line. It can be called twice.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.stop()
	p.ended.Wait()
}

func (p *progress) show(stop <-chan struct{}, after, every time.Duration) {
	wait := time.NewTimer(after)
	defer wait.Stop()
	for shown := false; ; shown = true {
		select {
		case <-stop:
			if shown {
				_, _ = io.WriteString(p.out, "\r\x1b[K") // to the start of the line, and erase it
			}
			return
		case <-wait.C:
		}
		p.mu.Lock()
		text := p.text
		p.mu.Unlock()
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s, %s", text, time.Since(p.began).Round(time.Second))
		wait.Reset(every)
	}
}
