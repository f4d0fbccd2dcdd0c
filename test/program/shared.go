package program

import (
	"context"
	"os"
	"path/filepath"
	"sync"
)

// Shared is a program that several tests of a package run. The zero value is ready for use.
type Shared struct {
	once sync.Once
	dir  string
	err  error
}

// Path builds the program at the first call and returns the path of the file.
func (s *Shared) Path(ctx context.Context) (string, error) {
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "orderflow-program-"); s.err == nil {
			s.err = Build(ctx, s.file())
		}
	})
	return s.file(), s.err
}

// Remove removes the file. TestMain calls it after the tests.
func (s *Shared) Remove() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func (s *Shared) file() string { return filepath.Join(s.dir, "orderflow") }
