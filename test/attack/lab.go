package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/test/program"
)

// lab holds what all attacks of a run use: the program, the database server, the Redis and the
// network addresses of the attackers.
type lab struct {
	opt options

	dir    string // deleted at the end
	binary string
	dbs    *program.Databases
	redis  string        // REDIS_URL without a database
	from   atomic.Uint32 // the last local address that was given out
	locals bool          // several local addresses can be used
	cert   string        // file with the certificate of receivers

	receivers *receivers // nil for a server at -url

	shared *node // the server of the attacks that leave others undisturbed; started on first use
	stops  []func() error
}

// open prepares a run. Against a server at -url nothing is started.
func open(ctx context.Context, o options) (_ *lab, err error) {
	l := &lab{opt: o}
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
	if l.dbs, err = program.OpenDatabases(ctx, l.dir, "attack", map[string]string{"max_connections": "200"}); err != nil {
		return nil, err
	}
	l.stops = append(l.stops, l.dbs.Close)
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

// database creates an empty database. The caller must call drop.
func (l *lab) database(ctx context.Context) (address string, drop func(), err error) {
	address, remove, err := l.dbs.Create(ctx)
	return address, func() {
		if err := remove(); err != nil {
			fmt.Fprintln(os.Stderr, "attack: a database is left behind:", err)
		}
	}, err
}

// openRedis starts redis-server where there is one, and otherwise a Redis in this process.
func (l *lab) openRedis(ctx context.Context) error {
	password := rand.Text()
	address, stop, err := program.StartRedis(ctx, l.dir, "--requirepass", password, "--databases", "200")
	if errors.Is(err, program.ErrNoRedis) {
		r, err := embedded.StartRedis()
		if err != nil {
			return err
		}
		l.redis = r.URL()
		l.stops = append(l.stops, func() error { r.Close(); return nil })
		return nil
	}
	if err != nil {
		return err
	}
	l.stops = append(l.stops, stop)
	l.redis = "redis://:" + password + "@" + address
	return nil
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
