// Package embedded runs a private PostgreSQL and an in-process Redis for machines that have none
// (F1).
//
// The server is a child process and its data outlive it. The holder of the lock in the data folder
// owns the server. The kernel releases this lock when the owner dies in any way, so the next start
// can stop the server of a dead owner. Only Remove deletes data, and Copy deletes those of its
// target.
package embedded

import (
	"errors"
	"fmt"
	"io"
)

// Options configure a private PostgreSQL.
type Options struct {
	Dir      string            // data folder, created when absent; required
	Database string            // created when absent; "orderflow" by default
	Settings map[string]string // PostgreSQL settings, over the defaults of this package
	Log      io.Writer         // the server's own log; server.log beside the data by default
	NoSync   bool              // skip the fsyncs of initdb, for temporary clusters
	Port     string            // a free one by default; set it for a server that must restart at the same address
	Primary  string            // URL of a primary: start as its standby, on a Copy of it, until Promote
}

// ErrInUse matches every *InUseError with errors.Is.
var ErrInUse = errors.New("data folder is in use")

// ErrNotRunning means that no live process owns the folder.
var ErrNotRunning = errors.New("no server is running")

// InUseError means that another live process owns the folder. That process is not disturbed.
type InUseError struct {
	Dir string
	PID int // 0 while the owner has not written it yet
}

// Error names the folder and the owner.
func (e *InUseError) Error() string {
	return fmt.Sprintf("already in use by process %d", e.PID)
}

// Unwrap returns ErrInUse.
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
