//go:build unix

package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A server that exits more than maxRestarts times within restartWindow has a lasting fault, such as a
// full disk or too little memory.
const (
	maxRestarts   = 5
	restartWindow = time.Minute
)

// Run starts the server again at the same URL whenever it exits unasked, for example because the
// kernel killed it for its memory. It returns nil when ctx ends, or after Stop or Crash. It returns an
// error if the server cannot be started or keeps exiting; its log is in the error. The data are
// those of a crash: PostgreSQL recovers every committed transaction. The folder stays locked meanwhile.
// Call Run once.
func (p *Postgres) Run(ctx context.Context, log *slog.Logger) error {
	p.supervise(true)
	defer p.supervise(false)
	var exits []time.Time
	for {
		s := p.running()
		select {
		case <-ctx.Done():
			return nil
		case <-s.done:
		}
		exits = append(exits, time.Now())
		if len(exits) > maxRestarts {
			if time.Since(exits[0]) < restartWindow {
				return fmt.Errorf("postgres in %s exited %d times within %s, at last with %s:\n%s", p.cluster.home, len(exits), restartWindow, s.cmd.ProcessState, s.log.recent())
			}
			exits = exits[1:]
		}
		restarted, err := p.restart(ctx)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("postgres in %s exited (%s) and cannot be started again: %w", p.cluster.home, s.cmd.ProcessState, err)
		}
		if !restarted {
			return nil
		}
		log.WarnContext(ctx, "the private database exited and was started again", "status", s.cmd.ProcessState.String())
	}
}

// supervise sets whether the lock is kept when the server exits.
func (p *Postgres) supervise(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.supervised = on
	select {
	case <-p.done:
		if !on {
			p.release()
		}
	default:
	}
}

// restart starts another process of the server unless it was stopped.
func (p *Postgres) restart(ctx context.Context) (restarted bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.stopped || ctx.Err() != nil {
		return false, nil
	}
	if p.lock == nil { // it exited before Run was called
		if p.lock, err = acquire(p.cluster.home); err != nil {
			return false, err
		}
	}
	gone := p.server
	p.options.Port = gone.port // clients keep the URL
	if err := p.open(ctx); err != nil {
		p.server = gone // which Stop finds ended

		return false, err
	}

	return true, nil
}
