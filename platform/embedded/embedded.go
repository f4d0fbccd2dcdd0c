// Package embedded runs a private PostgreSQL and an in-process Redis for machines that have none (F1).
//
// The server is a child of this process and its data outlive it. Whoever holds the lock in the data
// folder owns the server, and the kernel drops that lock however the owner dies, so the next start
// may stop what an owner left behind. Data are never deleted, except by Remove.
package embedded

import (
	"errors"
	"fmt"
	"io"
)

// Options says where a private PostgreSQL keeps its data and how it runs.
type Options struct {
	Dir      string            // data folder, created when absent; required
	Database string            // created when absent; "orderflow" by default
	Settings map[string]string // PostgreSQL settings, over the defaults of this package
	Log      io.Writer         // the server's own log; server.log beside the data by default
	NoSync   bool              // skip the fsyncs of initdb, for clusters that are thrown away
	Port     string            // a free one by default; for a server that must come back where it was
	Follow   string            // the URL of a primary: start as its standby, on a Copy of it; Promote ends that
}

// ErrInUse is what errors.Is finds in an *InUseError.
var ErrInUse = errors.New("data folder is in use")

// InUseError reports that another live process owns the folder. That process is left alone.
type InUseError struct {
	Dir string
	PID int // 0 while the owner has not yet written it down
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("already in use by process %d", e.PID)
}

func (e *InUseError) Unwrap() error { return ErrInUse }

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("embedded: Options.Dir is empty")
	}
	if o.Database == "" {
		o.Database = "orderflow"
	}

	return o, nil
}
