package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

const (
	adminEmail = "admin@bench.example"
	password   = "an otter in a teapot" //nolint:gosec // of accounts that live for minutes

	readyWithin = time.Minute
	stopWithin  = 20 * time.Second // serve itself needs 16 at most
)

// server is the product as a child process with its own database.
type server struct {
	*bench
	host   string // 127.0.0.1:port
	setup  *fasthttp.HostClient
	db     *pgxpool.Pool // direct access, for filling and inspection
	token  string        // of the administrator
	stderr *lines

	database string
	cmd      *exec.Cmd
	exited   <-chan struct{}
	drop     func()
	once     sync.Once
}

// serve starts the product with the roles, and creates the products that are ordered.
func (b *bench) serve(ctx context.Context, roles string, env ...string) (_ *server, err error) {
	database, drop, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{bench: b, stderr: &lines{}, drop: drop, database: database}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()

	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	s.host = port.Address()
	s.setup = s.client(8)
	if err := s.spawn(roles, database, port.String(), env); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("start orderflow: %w\n%s", err, s.stderr)
	}
	if s.db, err = pgxpool.New(ctx, database+separator(database)+"pool_max_conns=4"); err != nil {
		return nil, err
	}
	return s, s.prepare(ctx)
}

func separator(address string) string {
	if strings.Contains(address, "?") {
		return "&"
	}
	return "?"
}

func (s *server) spawn(roles, database, port string, env []string) (err error) {
	s.cmd = exec.Command(s.binary, "serve", "--roles="+roles) //nolint:noctx // stopped by hand
	s.cmd.Dir = s.dir
	s.cmd.Stderr = s.stderr
	s.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + os.TempDir(),
		"APP_ENV=development", "HOST=127.0.0.1", "PORT=" + port, "LOG_LEVEL=warn",
		"DATABASE_URL=" + database, "REDIS_URL=" + s.redisURL,
		"RATE_LIMIT=off", "ORDER_RATE_LIMIT=off", "LOGIN_RATE_LIMIT=off", "REGISTRATION_RATE_LIMIT=off", "STREAMS_PER_ACCOUNT=20000", "BCRYPT_COST=4",
		"ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + password,
	}, env...)
	s.exited, err = embedded.Spawn(s.cmd)
	return err
}

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := s.call(http.MethodGet, "/readyz", "", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New(s.cmd.ProcessState.String())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the child, prints its warnings, and drops the database. A second call does nothing.
func (s *server) stop() { s.once.Do(s.end) }

func (s *server) end() {
	if s.exited != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(stopWithin):
			_ = s.cmd.Process.Kill()
			<-s.exited
			s.report.print.fail("orderflow did not stop", stopWithin.String())
		}
		if text := s.stderr.String(); text != "" {
			s.report.print.line("  orderflow said:\n%s", text)
		}
	}
	if s.setup != nil {
		s.setup.CloseIdleConnections()
	}
	if s.db != nil {
		s.db.Close()
	}
	s.drop()
}

// lines stores the first lines that are written to it, and counts the others.
type lines struct {
	mu    sync.Mutex
	text  strings.Builder
	lines int
}

const keepLines = 8

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	for line := range strings.Lines(string(p)) {
		if l.lines++; l.lines <= keepLines {
			l.text.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()

	text := strings.TrimRight(l.text.String(), "\n")
	if more := l.lines - keepLines; more > 0 {
		text += fmt.Sprintf("\n    and %d lines more", more)
	}
	return text
}
