package program

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

// Databases creates databases on one PostgreSQL server.
type Databases struct {
	Admin   *pgx.Conn // to the server's own database; not safe for concurrent use
	Prefix  string    // of the names of the databases, different in each run
	Private bool      // whether the server was started for this run

	base  url.URL
	made  atomic.Int64
	stops []func() error
}

// OpenDatabases connects to the server of DATABASE_URL. Without one it starts a server below dir,
// with these settings. The names of the databases begin with orderflow_ and the name of the
// calling program. Close releases everything.
func OpenDatabases(ctx context.Context, dir, name string, settings map[string]string) (_ *Databases, err error) {
	d := &Databases{Prefix: "orderflow_" + name + "_" + strings.ToLower(rand.Text()[:8])}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	address := os.Getenv("DATABASE_URL")
	if address == "" {
		if address, err = d.start(ctx, dir, settings); err != nil {
			return nil, err
		}
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not a URL") // the cause would print its password
	}
	d.base = *base
	if d.Admin, err = pgx.Connect(ctx, address); err != nil {
		return nil, err
	}
	d.stops = append(d.stops, func() error { return d.Admin.Close(context.Background()) })
	return d, nil
}

func (d *Databases) start(ctx context.Context, dir string, settings map[string]string) (address string, err error) {
	// Run by root, the server is another user and must pass through.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		return "", err
	}
	dir = filepath.Join(dir, "postgres")
	pg, err := embedded.Start(ctx, embedded.Options{Dir: dir, Settings: settings})
	if err != nil {
		return "", err
	}
	d.Private = true
	d.stops = append(d.stops, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return errors.Join(pg.Stop(ctx), embedded.Remove(ctx, dir))
	})
	return pg.URL(), nil
}

// Close closes the connection and stops a private server.
func (d *Databases) Close() error {
	var errs []error
	for _, stop := range slices.Backward(d.stops) {
		errs = append(errs, stop())
	}
	d.stops = nil
	return errors.Join(errs...)
}

// Create creates an empty database. The caller must call drop, whose error says that the database is
// left behind.
func (d *Databases) Create(ctx context.Context) (address string, drop func() error, err error) {
	name := d.Prefix + "_" + strconv.FormatInt(d.made.Add(1), 10)
	quoted := pgx.Identifier{name}.Sanitize()
	drop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// Admin may be in use, and a canceled query has closed it, so drop uses a new connection.
		conn, err := pgx.Connect(ctx, d.base.String())
		if err == nil {
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "drop database if exists "+quoted+" with (force)")
		}
		if err != nil {
			return fmt.Errorf("drop database %s: %w", name, err)
		}
		return nil
	}
	if _, err := d.Admin.Exec(ctx, "create database "+quoted); err != nil {
		// An interrupted statement may have created it.
		return "", nil, errors.Join(fmt.Errorf("create database %s: %w", name, err), drop())
	}
	u := d.base
	u.Path = "/" + name
	return u.String(), drop, nil
}

// Made returns the number of databases that were created so far.
func (d *Databases) Made() int64 { return d.made.Load() }

// ErrNoRedis says that this machine has no redis-server.
var ErrNoRedis = errors.New("there is no redis-server")

// StartRedis starts redis-server with its files in dir and returns its address, host:port, once it
// answers. It returns ErrNoRedis if there is no such program.
func StartRedis(ctx context.Context, dir string, args ...string) (address string, stop func() error, err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, ErrNoRedis
	}
	port, err := testport.Reserve()
	if err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	args = append([]string{"--bind", "127.0.0.1", "--port", port.String(), "--save", "", "--appendonly", "no", "--dir", dir}, args...)
	cmd := exec.Command(program, args...) //nolint:noctx // stopped by hand
	cmd.Stdout = &out
	exited, err := embedded.Spawn(cmd)
	if err != nil {
		return "", nil, err
	}
	stop = func() error {
		_ = cmd.Process.Kill()
		<-exited
		return nil
	}
	if err := answers(ctx, port.Address(), exited); err != nil {
		_ = stop()
		return "", nil, fmt.Errorf("%w\n%s", err, out.String())
	}
	return port.Address(), stop, nil
}

func answers(ctx context.Context, address string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			return errors.New("redis-server exited")
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
