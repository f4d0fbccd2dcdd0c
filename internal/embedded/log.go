//go:build unix

package embedded

import (
	"io"
	"os"
	"sync"
)

const (
	logLimit  = 10 << 20 // a longer file is renamed at the next start
	tailLimit = 4 << 10
)

// tail forwards the log of the server and remembers its end, to explain a failed start.
type tail struct {
	to    io.Writer
	close func() error

	mu   sync.Mutex
	last []byte
}

// openLog appends to the file at path unless the caller provided a writer.
func openLog(to io.Writer, path string) (*tail, error) {
	if to != nil {
		return &tail{to: to, close: func() error { return nil }}, nil
	}
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}

	return &tail{to: f, close: f.Close}, nil
}

// Write never returns an error, because a full disk must not close the standard error of the
// server.
func (t *tail) Write(b []byte) (int, error) {
	_, _ = t.to.Write(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if over := len(t.last) - tailLimit; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}

	return len(b), nil
}

func (t *tail) recent() string {
	t.mu.Lock()
	defer t.mu.Unlock()

	return string(t.last)
}

func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = t.last[:0]
}

func (t *tail) Close() error { return t.close() }
