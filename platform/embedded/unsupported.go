//go:build !unix

package embedded

import (
	"context"
	"errors"
	"os/exec"
)

var errUnsupported = errors.New("a private PostgreSQL runs on Linux and macOS only: set DATABASE_URL to a server")

// Postgres cannot exist on this system: its account, lock and signal handling are those of Unix.
type Postgres struct{}

// Start fails and says what to do instead.
func Start(_ context.Context, o Options) (*Postgres, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}

	return nil, errUnsupported
}

func (*Postgres) URL() string                { return "" }
func (*Postgres) Dir() string                { return "" }
func (*Postgres) Done() <-chan struct{}      { return nil }
func (*Postgres) Stop(context.Context) error { return nil }
func (*Postgres) Crash()                     {}

// Promote fails, as Start does.
func (*Postgres) Promote(context.Context) error { return errUnsupported }

// Copy fails, as Start does.
func Copy(context.Context, string, string) error { return errUnsupported }

// Remove fails, as Start does.
func Remove(context.Context, string) error { return errUnsupported }

// Spawn starts cmd; nothing here ends it together with this process.
func Spawn(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()

	return done, nil
}
