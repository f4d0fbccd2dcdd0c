//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Postgres is a server that this process owns.
type Postgres struct {
	cluster  cluster
	db       string
	options  Options
	sources  sources
	password string

	mu         sync.Mutex // held while the server is started again
	lock       io.Closer  // of the folder; nil after its release
	supervised bool       // Run keeps the lock when the server exits
	stopped    bool       // Stop or Crash was called
	*server
}

// server is one process of the server, from its start to its exit.
type server struct {
	cmd  *exec.Cmd
	log  *tail
	port string

	exited <-chan struct{} // closed when the process has exited
	done   chan struct{}   // closed when the lock and the log file are closed too
}

// Start runs the server on o.Dir and returns when it accepts connections. It creates the cluster
// and the database if they do not exist, and stops a server whose owner was killed. It returns an
// *InUseError if another live process owns the folder. It fails without changing anything if the
// data have another major version than the programs. The context covers the start only; the caller
// must call Stop.
func Start(ctx context.Context, o Options) (*Postgres, error) {
	return start(ctx, o, defaultSources())
}

func start(ctx context.Context, o Options, from sources) (_ *Postgres, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	home, as, err := chooseHome(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("postgres in %s: %w", o.Dir, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("postgres in %s: %w", home, err)
		}
	}()

	p := &Postgres{cluster: cluster{home: home, as: as}, db: o.Database, options: o, sources: from}
	if p.lock, err = acquire(home); err != nil {
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		p.release()

		return nil, err
	}

	return p, nil
}

// open starts the server. The caller holds the lock of the folder.
func (p *Postgres) open(ctx context.Context) (err error) {
	s := &server{done: make(chan struct{})}
	p.server = s
	if s.log, err = openLog(p.options.Log, filepath.Join(p.cluster.home, "server.log")); err != nil {
		return err
	}
	if err := p.start(ctx, p.options, p.sources); err != nil {
		s.log.Close()

		return err
	}
	go p.watch(s)

	return nil
}

// start starts the server and waits until it is ready. On error no process is left.
func (p *Postgres) start(ctx context.Context, o Options, from sources) error {
	if err := stopOrphan(ctx, p.cluster.data()); err != nil {
		return err
	}
	major, err := p.cluster.major()
	if err != nil {
		return err
	}
	programs, err := from.find(ctx, p.cluster.as, major)
	if err != nil {
		return err
	}
	if err := p.cluster.create(ctx, programs, o.NoSync); err != nil {
		return err
	}
	if p.password, err = p.cluster.password(); err != nil {
		return err
	}
	if err := p.cluster.configureStandby(o.Primary); err != nil {
		return err
	}
	if err := p.serve(ctx, programs, o); err != nil {
		return err
	}
	if err := p.createDatabase(ctx); err != nil {
		p.abort()

		return err
	}

	return nil
}

func (p *Postgres) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.address("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)

	var exists bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", p.db).Scan(&exists)
	if err != nil || exists {
		return err
	}
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{p.db}.Sanitize()); err != nil {
		return fmt.Errorf("create database %s: %w", p.db, err)
	}

	return nil
}

// watch keeps the lock while the server runs, so that no other process can start a second one.
func (p *Postgres) watch(s *server) {
	<-s.exited
	s.log.Close()
	p.mu.Lock()
	if p.stopped || !p.supervised {
		p.release()
	}
	p.mu.Unlock()
	close(s.done)
}

// release releases the lock of the folder.
func (p *Postgres) release() {
	if p.lock != nil {
		p.lock.Close()
		p.lock = nil
	}
}

// URL returns the URL of the database. It contains the password, so do not log it.
func (p *Postgres) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.address(p.db)
}

func (p *Postgres) address(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, p.password),
		Host: net.JoinHostPort("127.0.0.1", p.port), Path: "/" + database, RawQuery: "sslmode=disable",
	}

	return u.String()
}

// Dir returns the actual data folder: Options.Dir, or another folder if this process runs as root
// and the user of the server cannot enter Options.Dir. A file in Options.Dir names it too. Show it
// to the user.
func (p *Postgres) Dir() string { return p.cluster.home }

// Done returns a channel that is closed when the present process of the server has exited for any
// reason.
func (p *Postgres) Done() <-chan struct{} { return p.running().done }

func (p *Postgres) running() *server {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.server
}

// end returns the running server and prevents that Run starts another one.
func (p *Postgres) end() *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true

	return p.server
}

// Stop disconnects all clients, shuts the server down and waits for it. If ctx ends first, the
// server stops immediately, which requires a recovery at the next start but loses no committed
// data. It returns nil when it is called again or after the server has exited.
func (p *Postgres) Stop(ctx context.Context) error {
	s := p.end()
	_ = s.cmd.Process.Signal(syscall.SIGINT) // an error means that the process has exited
	select {
	case <-s.done:
		return nil
	default:
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.done

		return fmt.Errorf("stop postgres in %s: %w", p.cluster.home, ctx.Err())
	}
}

// Crash stops the server immediately, as close to a power failure as possible: it disconnects
// clients and writes no checkpoint, so the next Start runs a recovery. It is for tests of crash
// recovery.
func (p *Postgres) Crash() {
	s := p.end()
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.done
}

// Promote turns a standby into a primary with the data received so far, and returns when it accepts
// writes.
func (p *Postgres) Promote(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return fmt.Errorf("promote the standby in %s: %w", p.cluster.home, err)
	}
	defer conn.Close(ctx)

	var done bool
	err = conn.QueryRow(ctx, "select pg_promote()").Scan(&done)
	if err == nil && !done {
		err = errors.New("it did not finish in a minute")
	}
	if err != nil {
		return fmt.Errorf("promote the standby in %s: %w", p.cluster.home, err)
	}

	return nil
}

// Remove deletes a stopped cluster and its folder. It returns an *InUseError while a live process
// owns it.
func Remove(ctx context.Context, dir string) error {
	home, _, err := chooseHome(dir)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	lock, err := acquire(home)
	if err != nil {
		return fmt.Errorf("remove %s: %w", home, err)
	}
	defer lock.Close()
	if err := stopOrphan(ctx, filepath.Join(home, dataName)); err != nil {
		return err
	}

	return errors.Join(os.RemoveAll(home), os.RemoveAll(dir))
}
