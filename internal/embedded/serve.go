//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	readyWithin = 30 * time.Second // includes crash recovery after a kill
	retryWithin = 10 * time.Second // for a port or a postmaster.pid that another process still holds
)

// serve starts the server, and retries if another process took the chosen port first or a killed
// server had not yet released the folder.
func (p *Postgres) serve(ctx context.Context, in programs, o Options) error {
	for deadline := time.Now().Add(retryWithin); ; {
		err := p.attempt(ctx, in, o)
		if err == nil || !p.log.isTransient() || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		if err := stopOrphan(ctx, p.cluster.data()); err != nil {
			return err
		}
	}
}

// isTransient reports whether the server failed for one of the two reasons that go away by themselves.
func (t *tail) isTransient() bool {
	said := t.recent()

	return strings.Contains(said, "could not create any TCP/IP sockets") ||
		strings.Contains(said, `lock file "postmaster.pid" already exists`) ||
		strings.Contains(said, "pre-existing shared memory block")
}

func (p *Postgres) attempt(ctx context.Context, in programs, o Options) (err error) {
	p.port = o.Port
	if p.port == "" {
		if p.port, err = freePort(); err != nil {
			return err
		}
	}
	p.log.forget()
	// The server must outlive ctx, which covers the start only.
	p.cmd = p.cluster.as.command(context.WithoutCancel(ctx), in.path("postgres"), p.cluster.args(p.port, o.Settings)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.exited, err = Spawn(p.cmd)
	if err != nil {
		return err
	}
	if err := p.ready(ctx); err != nil {
		p.abort()

		return err
	}

	return nil
}

func (p *Postgres) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		conn, err := pgx.Connect(ctx, p.address("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if refusal := new(pgconn.PgError); errors.As(err, &refusal) && refusal.Code == "28P01" {
			return fmt.Errorf("the password in %s is not the server's: %w", p.cluster.passwordFile(), err)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the server exited (%s):\n%s", p.cmd.ProcessState, p.log.recent())
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w (%w):\n%s", ctx.Err(), err, p.log.recent())
		case <-every.C:
		}
	}
}

// abort ends a server that did not start. An immediate shutdown loses nothing; it only requires a
// recovery at the next start.
func (p *Postgres) abort() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.exited
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()

	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
