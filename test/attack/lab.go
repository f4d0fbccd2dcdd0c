package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/test/program"
)

// lab holds what all attacks of a run use: the program, the database server, the Redis and the
// network addresses of the attackers.
type lab struct {
	opt options

	dir    string // deleted at the end
	binary string
	base   url.URL // of the PostgreSQL server
	admin  *pgx.Conn
	redis  string // REDIS_URL without a database
	prefix string // of the databases of this run
	made   atomic.Int64
	from   atomic.Uint32 // the last local address that was given out
	locals bool          // several local addresses can be used
	cert   string        // file with the certificate of receivers

	receivers *receivers // nil for a server at -url

	shared *node // the server of the attacks that leave others undisturbed; started on first use
	stops  []func() error
}

// open prepares a run. Against a server at -url nothing is started.
func open(ctx context.Context, o options) (_ *lab, err error) {
	l := &lab{opt: o, prefix: "orderflow_attack_" + strings.ToLower(rand.Text()[:8])}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "orderflow-attack-*"); err != nil {
		return nil, err
	}
	l.stops = append(l.stops, func() error { return os.RemoveAll(l.dir) })
	if o.url != "" {
		l.shared, err = remote(o)
		return l, err
	}
	l.locals = runtime.GOOS == "linux" // the whole of 127.0.0.0/8 is this machine
	if l.binary, err = filepath.Abs(o.binary); err != nil {
		return nil, err
	}
	if o.binary == "" {
		l.binary = filepath.Join(l.dir, "orderflow")
		if err := program.Build(ctx, l.binary); err != nil {
			return nil, err
		}
	}
	if err := l.openReceivers(); err != nil {
		return nil, err
	}
	if err := l.openPostgres(ctx); err != nil {
		return nil, err
	}
	return l, l.openRedis(ctx)
}

// what names the target for the head of the table.
func (l *lab) what() string {
	if l.opt.url != "" {
		return "target " + l.opt.url
	}
	program := "these sources"
	if l.opt.binary != "" {
		program = filepath.Base(l.opt.binary)
	}
	return fmt.Sprintf("target: a private server of %s in production mode, %s/%s, %d cores shared with the attacker", program, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// close stops everything that open started, in reverse order.
func (l *lab) close() error {
	var errs []error
	if l.shared != nil {
		l.shared.stop()
	}
	for _, stop := range slices.Backward(l.stops) {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

func (l *lab) openPostgres(ctx context.Context) error {
	address := os.Getenv("DATABASE_URL")
	if address == "" {
		// Run by root, the server is another user and must pass through.
		if err := os.Chmod(l.dir, 0o711); err != nil { //nolint:gosec // see above
			return err
		}
		dir := filepath.Join(l.dir, "postgres")
		pg, err := embedded.Start(ctx, embedded.Options{Dir: dir, Settings: map[string]string{"max_connections": "200"}})
		if err != nil {
			return err
		}
		l.stops = append(l.stops, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return errors.Join(pg.Stop(ctx), embedded.Remove(ctx, dir))
		})
		address = pg.URL()
	}
	base, err := url.Parse(address)
	if err != nil {
		return errors.New("DATABASE_URL is not a URL") // the cause would print its password
	}
	l.base = *base
	if l.admin, err = pgx.Connect(ctx, address); err != nil {
		return err
	}
	l.stops = append(l.stops, func() error { return l.admin.Close(context.Background()) })
	return nil
}

// database creates an empty database. The caller must call drop.
func (l *lab) database(ctx context.Context) (address string, drop func(), err error) {
	name := l.prefix + "_" + strconv.FormatInt(l.made.Add(1), 10)
	quoted := pgx.Identifier{name}.Sanitize()
	if _, err := l.admin.Exec(ctx, "create database "+quoted); err != nil {
		return "", nil, fmt.Errorf("create database %s: %w", name, err)
	}
	drop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if conn, err := pgx.Connect(ctx, l.base.String()); err == nil { // the other one may be in use
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "drop database if exists "+quoted+" with (force)")
			if err != nil {
				fmt.Fprintln(os.Stderr, "attack: a database is left behind:", name)
			}
		}
	}
	u := l.base
	u.Path = "/" + name
	return u.String(), drop, nil
}

// openRedis starts redis-server where there is one, and otherwise a Redis in this process.
func (l *lab) openRedis(ctx context.Context) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		r, err := embedded.StartRedis()
		if err != nil {
			return err
		}
		l.redis = r.URL()
		l.stops = append(l.stops, func() error { r.Close(); return nil })
		return nil
	}
	port, err := testport.Reserve()
	if err != nil {
		return err
	}
	password := rand.Text()
	var out bytes.Buffer
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port.String(), "--save", "", "--appendonly", "no", //nolint:noctx // stopped by hand
		"--dir", l.dir, "--requirepass", password, "--databases", "200")
	cmd.Stdout = &out
	exited, err := embedded.Spawn(cmd)
	if err != nil {
		return err
	}
	l.stops = append(l.stops, func() error {
		_ = cmd.Process.Kill()
		<-exited
		return nil
	})
	l.redis = "redis://:" + password + "@" + port.Address()
	for end := time.Now().Add(10 * time.Second); ; wait(ctx, 5*time.Millisecond) {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", port.Address()); err == nil {
			return conn.Close()
		} else if time.Now().After(end) {
			return fmt.Errorf("redis-server does not answer: %w\n%s", err, out.String())
		}
	}
}

// address returns a local address that no other caller has used, or nil where there is only one.
func (l *lab) address() net.IP {
	if !l.locals {
		return nil
	}
	n := l.from.Add(1)
	return net.IPv4(127, byte(10+n>>16), byte(n>>8), byte(n)).To4()
}

// secret returns a random value for settings and passwords.
func secret() string {
	raw := make([]byte, 33)
	_, _ = rand.Read(raw) // never fails
	return base64.URLEncoding.EncodeToString(raw)
}
