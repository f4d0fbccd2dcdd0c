//go:build unix

package embedded

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Attach returns the URL of a database of the server that another live process runs on o.Dir. It waits up to
// 30 seconds for a server that is starting. It starts, stops and creates nothing: the error is ErrNotRunning when
// there is no owner. The owner may stop the server at any time. The URL contains the password, so do not log it.
func Attach(ctx context.Context, o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		url, err := attach(ctx, o)
		if err == nil || errors.Is(err, ErrNotRunning) || errors.Is(err, fs.ErrPermission) {
			return url, err
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return "", fmt.Errorf("postgres in %s: %w", o.Dir, err)
		}
	}
}

func attach(ctx context.Context, o Options) (string, error) {
	home, err := homeOf(o.Dir)
	if err != nil {
		return "", err
	}
	if free, err := isFree(home); free || err != nil {
		return "", cmp.Or(err, ErrNotRunning)
	}
	c := cluster{home: home}
	p := &Postgres{cluster: c, db: o.Database, server: &server{}}
	if p.password, err = c.password(); err != nil {
		return "", err
	}
	if p.port, err = c.runningPort(); err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, p.URL()) // the file may be that of a server that was killed
	if err != nil {
		return "", err
	}
	return p.URL(), conn.Close(ctx)
}

// homeOf returns the folder with the files of a data folder, which note names if it is another one.
func homeOf(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotRunning
	}
	if err != nil {
		return "", err
	}
	said, err := os.ReadFile(filepath.Join(dir, note))
	if errors.Is(err, fs.ErrNotExist) {
		return dir, nil
	}
	if err != nil {
		return "", err
	}
	lines := bytes.Split(bytes.TrimSpace(said), []byte("\n"))
	return string(lines[len(lines)-1]), nil
}

// isFree reports whether no live process owns the folder. It does not change the file of the lock.
func isFree(home string) (bool, error) {
	f, err := os.Open(filepath.Join(home, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // which releases the lock
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// runningPort returns the TCP port of the running server: line 4 of postmaster.pid.
func (c cluster) runningPort() (string, error) {
	raw, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return "", err
	}
	lines := bytes.Split(raw, []byte("\n"))
	if len(lines) < 4 {
		return "", errors.New("the server is starting")
	}
	port := string(bytes.TrimSpace(lines[3]))
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errors.New("postmaster.pid has no port")
	}
	return port, nil
}
