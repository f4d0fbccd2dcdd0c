// Package pgtest gives each test a migrated PostgreSQL database of its own, and a Redis of its own.
//
// One server per test binary, started by the first test that asks, in a folder that is thrown away;
// one template that is migrated once; a database per test cloned from it. With TEST_DATABASE_URL set
// that server is used instead. Migrations are handed in, because platform knows no module.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A clone waits for the clones before it, so this covers a whole package's tests starting at once.
const patience = 2 * time.Minute

// Migrate brings the empty database at url to the current schema and closes what it opened.
type Migrate func(ctx context.Context, url string) error

var (
	migrate Migrate // set by Main, before any test runs
	shared  = sync.OnceValues(func() (*server, error) { return open(migrate) })
	opened  bool // by shared; Main reads it after the last test
)

// Main runs a package's tests and then removes the server. It is the whole TestMain, and does not
// return:
//
//	func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }
func Main(m *testing.M, up func(ctx context.Context, url string) error) {
	migrate = up
	code := m.Run()
	if opened {
		if s, err := shared(); err == nil {
			err = s.close()
			if err != nil {
				fmt.Fprintln(os.Stderr, "pgtest:", err)
				code = max(code, 1)
			}
		}
	}
	os.Exit(code)
}

// unhurried replaces the product's bounds on statements and on waiting (platform/postgres), so that
// a slow machine does not turn a test's request into a 503. A test of a bound sets its own.
var unhurried = map[string]time.Duration{
	"statement_timeout": patience, "lock_timeout": patience, "idle_in_transaction_session_timeout": patience,
	"orderflow.acquire_timeout": patience,
}

// URL clones a fresh database and returns its address, with bounds on statements that only a test
// that hangs exceeds. It is dropped when the test ends, even while connections are open. A clone takes
// about 20 ms, the first one 1 to 2 s more, for the server.
func URL(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(HurriedURL(t))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	q := u.Query()
	for name, limit := range unhurried {
		q.Set(name, strconv.FormatInt(limit.Milliseconds(), 10))
	}
	u.RawQuery = q.Encode()

	return u.String()
}

// HurriedURL is URL with the product's own bounds, for a test of those.
func HurriedURL(t testing.TB) string {
	t.Helper()
	if migrate == nil {
		t.Fatal("pgtest: this package needs func TestMain(m *testing.M) { pgtest.Main(m, migrations.Up) }")
	}
	s, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name, err := s.clone(ctx)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})

	return s.address(name)
}

// server is one PostgreSQL with a migrated template.
type server struct {
	base     url.URL
	template string
	strategy string       // of a clone
	stop     func() error // the private server; does nothing when it is not ours

	mu     sync.Mutex // two clones of one template get in each other's way
	admin  *pgx.Conn
	clones int
}

func open(migrate Migrate) (_ *server, err error) {
	opened = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	address, stop := os.Getenv("TEST_DATABASE_URL"), func() error { return nil }
	if address == "" {
		if address, stop, err = startPrivate(ctx); err != nil {
			return nil, err
		}
	}
	s := &server{stop: stop}
	if err := s.prepare(ctx, address, migrate); err != nil {
		return nil, errors.Join(err, s.close())
	}

	return s, nil
}

func (s *server) prepare(ctx context.Context, address string, migrate Migrate) error {
	base, err := url.Parse(address)
	if err != nil {
		return errors.New("TEST_DATABASE_URL is not a URL") // the cause would print its password
	}
	s.base = *base
	s.admin, err = pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	if err := sweepDatabases(ctx, s.admin); err != nil {
		return err
	}
	if s.strategy, err = cloneStrategy(ctx, s.admin); err != nil {
		return err
	}
	name := newName()
	if err := s.exec(ctx, "create database %s", name); err != nil {
		return err
	}
	s.template = name
	if err := migrate(ctx, s.address(name)); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	// Nobody can be connected to what is cloned.
	if err := s.exec(ctx, "alter database %s with allow_connections false", name); err != nil {
		return err
	}

	return s.disconnect(ctx, name)
}

// disconnect ends what the migration left open and waits until the server has noticed.
func (s *server) disconnect(ctx context.Context, name string) error {
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for {
		var left int
		err := s.admin.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = $1 and backend_type = 'client backend'`, name).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

func (s *server) clone(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clones++
	name := fmt.Sprintf("%s_%d", s.template, s.clones)

	return name, s.exec(ctx, "create database %s template "+pgx.Identifier{s.template}.Sanitize()+s.strategy, name)
}

// cloneStrategy picks the checkpoint and copy of files where they cost no fsync: a clone and its drop
// then take 21 ms against 29 through the write-ahead log, measured with 60 tables.
func cloneStrategy(ctx context.Context, admin *pgx.Conn) (clause string, err error) {
	var copies bool
	err = admin.QueryRow(ctx, `select current_setting('server_version_num')::int >= 150000
		and current_setting('fsync') = 'off'`).Scan(&copies)
	if err == nil && copies {
		clause = " strategy file_copy"
	}

	return clause, err
}

func (s *server) drop(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.exec(ctx, "drop database if exists %s with (force)", name)
}

func (s *server) exec(ctx context.Context, format, name string) error {
	sql := fmt.Sprintf(format, pgx.Identifier{name}.Sanitize())
	if _, err := s.admin.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}

	return nil
}

func (s *server) address(database string) string {
	u := s.base
	u.Path = "/" + database

	return u.String()
}

func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if s.template != "" {
		err = s.drop(ctx, s.template)
	}
	if s.admin != nil {
		err = errors.Join(err, s.admin.Close(ctx))
	}

	return errors.Join(err, s.stop())
}
