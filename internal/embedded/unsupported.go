//go:build !unix

package embedded

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
)

var errUnsupported = errors.New("a private PostgreSQL runs on Linux and macOS only: set DATABASE_URL to a server")

// Postgres is not available on this system: accounts, locks and signals are handled as on Unix.
type Postgres struct{}

// Start returns an error that names the alternative.
func Start(_ context.Context, o Options) (*Postgres, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}

	return nil, errUnsupported
}

// Attach returns the error of Start.
func Attach(context.Context, Options) (string, error) { return "", errUnsupported }

// FindClient returns the path of a client program of PostgreSQL on the PATH, or "".
func FindClient(name string) string {
	path, _ := exec.LookPath(name) // "" with an error
	return path
}

// URL returns "".
func (*Postgres) URL() string { return "" }

// Dir returns "".
func (*Postgres) Dir() string { return "" }

// Done returns nil.
func (*Postgres) Done() <-chan struct{} { return nil }

// Run returns the error of Start.
func (*Postgres) Run(context.Context, *slog.Logger) error { return errUnsupported }

// Stop does nothing.
func (*Postgres) Stop(context.Context) error { return nil }

// Crash does nothing.
func (*Postgres) Crash() {}

// Promote returns the error of Start.
func (*Postgres) Promote(context.Context) error { return errUnsupported }

// Copy returns the error of Start.
func Copy(context.Context, string, string) error { return errUnsupported }

// Remove returns the error of Start.
func Remove(context.Context, string) error { return errUnsupported }

// Spawn starts cmd. On this system cmd does not end together with this process.
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
