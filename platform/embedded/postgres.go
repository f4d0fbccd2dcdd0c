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
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Postgres is a running server that this process owns.
type Postgres struct {
	cluster cluster
	cmd     *exec.Cmd
	log     *tail
	db      string

	port, password string

	exited <-chan struct{} // the process is gone
	done   chan struct{}   // and so are our lock and log file
}

// Start runs the server on o.Dir and returns when it accepts connections. It makes the cluster and the
// database when there are none, and stops a server whose owner was killed. It fails with an
// *InUseError when another live process owns the folder, and without touching anything when the data
// are of another major version than the programs. The context covers the start only; call Stop.
func Start(ctx context.Context, o Options) (*Postgres, error) {
	return start(ctx, o, machine())
}

func start(ctx context.Context, o Options, from sources) (_ *Postgres, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	home, as, err := settle(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("postgres in %s: %w", o.Dir, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("postgres in %s: %w", home, err)
		}
	}()

	lock, err := acquire(home)
	if err != nil {
		return nil, err
	}
	p := &Postgres{cluster: cluster{home: home, as: as}, db: o.Database, done: make(chan struct{})}
	p.log, err = openLog(o.Log, filepath.Join(home, "server.log"))
	if err != nil {
		lock.Close()

		return nil, err
	}
	if err := p.up(ctx, o, from); err != nil {
		p.log.Close()
		lock.Close()

		return nil, err
	}
	go p.watch(lock)

	return p, nil
}

// up brings the server from nothing to ready; on error no process is left.
func (p *Postgres) up(ctx context.Context, o Options, from sources) error {
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
	if err := p.cluster.follow(o.Follow); err != nil {
		return err
	}
	if err := p.serve(ctx, programs, o); err != nil {
		return err
	}
	if err := p.createDatabase(ctx); err != nil {
		p.halt()

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

// watch keeps the lock for as long as the server lives, so that nobody else can start beside it.
func (p *Postgres) watch(lock io.Closer) {
	<-p.exited
	p.log.Close()
	lock.Close()
	close(p.done)
}

// URL is the address of the database, password included; do not print it.
func (p *Postgres) URL() string { return p.address(p.db) }

func (p *Postgres) address(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, p.password),
		Host: net.JoinHostPort("127.0.0.1", p.port), Path: "/" + database, RawQuery: "sslmode=disable",
	}

	return u.String()
}

// Dir is where the data really are: Options.Dir, or a folder elsewhere when we are root and the
// server's own user cannot enter Options.Dir. A file there says so too; tell the user.
func (p *Postgres) Dir() string { return p.cluster.home }

// Done is closed when the server has exited, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// Stop disconnects everybody, shuts the server down and waits for it. When ctx ends first the server
// stops at once, which costs a replay of the log at the next start and loses nothing committed. A
// second call, or one for a server that has died, returns nil.
func (p *Postgres) Stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // an error means that it is gone
	select {
	case <-p.done:
		return nil
	default:
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.done

		return fmt.Errorf("stop postgres in %s: %w", p.cluster.home, ctx.Err())
	}
}

// Crash stops the server at once, as far as it can be done without losing power:
// nobody is asked, nothing is written, and the next Start replays the log. It is
// for tests of whoever must survive that.
func (p *Postgres) Crash() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.done
}

// Promote makes a standby a primary, with what it has received, and returns when it takes writes.
func (p *Postgres) Promote(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.address("postgres"))
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

// Remove deletes a stopped cluster and its folder: for tests, and for whoever wants to begin anew.
// It fails with an *InUseError while a live process owns it.
func Remove(ctx context.Context, dir string) error {
	home, _, err := settle(dir)
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
