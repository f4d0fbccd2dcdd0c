package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// Unavailable reports whether err means that the database cannot serve any request at present: it
// cannot be reached, is stopping, starting, read-only or a standby, or is out of disk space, memory
// or connections. The same request may succeed later or on another server. Nothing has been
// committed, unless the error is a CommitError.
//
// Errors that the statement itself may have caused do not count: lock timeouts, deadlocks and
// statement timeouts.
func Unavailable(err error) bool {
	var (
		connect *pgconn.ConnectError
		acquire *AcquireError
	)
	if errors.As(err, &connect) || errors.As(err, &acquire) || errors.Is(err, puddle.ErrClosedPool) || errors.Is(err, pgconn.ErrConnClosed) {
		return true
	}
	code := Code(err)
	for _, prefix := range unavailable {
		if code != "" && strings.HasPrefix(code, prefix) {
			return true
		}
	}
	return false
}

// SQLSTATEs and classes (PostgreSQL documentation, appendix A).
var unavailable = []string{
	"08",    // connection exception
	"25006", // read_only_sql_transaction: a demoted primary, a standby, default_transaction_read_only
	"25P03", // idle_in_transaction_session_timeout: this node was too slow
	"25P04", // transaction_timeout
	"53",    // insufficient resources: disk full, out of memory, too many connections
	"55000", // object_not_in_prerequisite_state: recovery is in progress
	"55006", // object_in_use: the database is being dropped or copied
	"57P",   // shutdown, crash of another backend, cannot connect now, database dropped
	"57000", // operator_intervention
	"58",    // system error: input and output
	"F0",    // configuration file
	"XX",    // internal error, corrupted data or index
}

const (
	resetInterval = time.Second     // at most one reset of the pool in this time
	probeInterval = 3 * time.Second // after a write that found no disk space, before the next attempt
)

// health is the state of the database that the connections of a pool have observed.
type health struct {
	readOnly atomic.Bool  // some sessions may be read-only; they remain so when the database is writable again
	full     atomic.Int64 // time of the last write that found no disk space, in Unix nanoseconds; 0 after a success
	reset    atomic.Int64 // time of the last reset of the pool
	probing  sync.Mutex   // held by the caller that tries to write
}

// observe receives every error on a connection of the pool, also on those that River uses.
func (p *Pool) observe(err *pgconn.PgError) {
	switch err.Code {
	case "25006":
		p.health.readOnly.Store(true)
		p.resetPool()
	case "53100", "58030": // disk_full, io_error
		p.health.full.Store(time.Now().UnixNano())
	}
}

// resetPool replaces the connections of the pool. A session keeps its server and the
// default_transaction_read_only with which it began. A new one connects to the new primary, if the
// URL names several hosts with target_session_attrs=read-write.
func (p *Pool) resetPool() {
	now, last := time.Now().UnixNano(), p.health.reset.Load()
	if now-last < int64(resetInterval) || !p.health.reset.CompareAndSwap(last, now) {
		return
	}
	if pool := p.Pool; pool != nil { // nil only while the first connection is made
		pool.Reset()
	}
}

// CannotWrite returns the reason why no write can succeed at present: "the database is read-only",
// "the database is a standby", "the disk of the database is full", or "". It returns an error if
// the database cannot be queried. It detects a recovery without other traffic.
//
// It costs one round trip and writes nothing, except after a write of this process found no disk
// space: then one caller every three seconds writes 256 KiB and rolls them back.
func (p *Pool) CannotWrite(ctx context.Context) (why string, err error) {
	var isReadOnly, isStandby bool
	err = p.QueryRow(ctx, "select current_setting('transaction_read_only')::bool, pg_is_in_recovery()").Scan(&isReadOnly, &isStandby)
	if err != nil {
		return "", err
	}
	if isReadOnly {
		p.health.readOnly.Store(true)
		p.resetPool() // the database may be writable again, and only this session read-only
	} else if p.health.readOnly.Swap(false) {
		p.Reset() // the database is writable again: later callers must not get an old session
	}
	switch {
	case isStandby:
		return "the database is a standby", nil
	case isReadOnly:
		return "the database is read-only", nil
	case p.diskFull(ctx):
		return "the disk of the database is full", nil
	}
	return "", nil
}

func (p *Pool) diskFull(ctx context.Context) bool {
	since := p.health.full.Load()
	if since == 0 {
		return false
	}
	if time.Since(time.Unix(0, since)) < probeInterval || !p.health.probing.TryLock() {
		return true
	}
	defer p.health.probing.Unlock()

	err := p.probeDisk(ctx)
	if Code(err) == "42501" { // this role may not create temporary tables: let requests find out
		err = nil
	}
	if err != nil {
		p.health.full.Store(time.Now().UnixNano())
		return true
	}
	return !p.health.full.CompareAndSwap(since, 0)
}

var errRollback = errors.New("roll back")

// probeDisk writes new pages in the database's default tablespace and rolls them back. It needs new
// pages, because writes into the free space of existing ones still succeed on a full disk.
func (p *Pool) probeDisk(ctx context.Context) error {
	err := runOnce(ctx, p, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "create temporary table orderflow_room (page text) on commit drop", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "insert into orderflow_room select repeat('x', 1900) from generate_series(1, 128)", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}
