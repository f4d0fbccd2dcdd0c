package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/orderflow-dev/orderflow/internal/embedded"
	"github.com/orderflow-dev/orderflow/internal/syncbuf"
	"github.com/orderflow-dev/orderflow/internal/testport"
)

const (
	adminEmail   = "root@attack.example"
	readyWithin  = time.Minute
	stopWithin   = 20 * time.Second
	commandLimit = time.Minute // of a command such as migrate
)

// node is a server under attack. Of a server at -url only base and the administrator are known.
type node struct {
	base     string // http://127.0.0.1:port
	host     string // 127.0.0.1:port
	internal string // base URL of the probes
	email    string
	password string

	db     *pgxpool.Pool // direct access, for preparations and judgements
	env    []string
	dir    string
	cmd    *exec.Cmd
	exited <-chan struct{}
	output *syncbuf.Buffer
	drop   func()
	once   sync.Once

	mu   sync.Mutex
	root *caller
}

// remote describes the server at -url.
func remote(o options) (*node, error) {
	u, err := url.Parse(o.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("-url: is not a URL such as http://127.0.0.1:3000")
	}
	n := &node{base: u.Scheme + "://" + u.Host, host: u.Host, internal: u.Scheme + "://" + u.Host, email: o.email}
	if o.passwordFile != "" {
		raw, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return nil, err
		}
		n.password = strings.TrimSpace(string(raw))
	}
	return n, nil
}

// server returns the server that attacks share, and starts it on the first call.
func (x *trial) server() *node {
	if x.shared == nil {
		n, err := x.serve(x, nil)
		x.must(err, "start a server")
		x.shared = n
	}
	return x.shared
}

// fresh returns a server for this attack alone, with further settings. It is stopped when the
// attack ends.
func (x *trial) fresh(env ...string) *node { return x.freshBehind(nil, env...) }

// freshBehind does what fresh does with a command that runs the program, such as one that limits
// its memory.
func (x *trial) freshBehind(wrapper []string, env ...string) *node {
	if x.opt.url != "" {
		return x.shared
	}
	n, err := x.serve(x, wrapper, env...)
	x.must(err, "start a server")
	x.atEnd(n.stop)
	return n
}

// environment returns the settings of a server in production with the given database.
func (l *lab) environment(database, redis, port, internal, password string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "TMPDIR=" + os.TempDir(), "SSL_CERT_FILE=" + l.cert,
		"APP_ENV=production", "HOST=127.0.0.1", "PORT=" + port, "INTERNAL_PORT=" + internal, "LOG_LEVEL=info",
		"DATABASE_URL=" + database, "REDIS_URL=" + redis, "JWT_KEYS=attack=" + secret(), "BCRYPT_COST=10",
		"ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + password,
		"PAYMENT_PROVIDER=simulated", "ALLOW_SIMULATED_PAYMENTS=on", "WEBHOOK_ALLOWED_NETWORKS=127.0.0.1", "WEBHOOK_ALLOWED_PORTS=443," + l.receivers.port(),
	}
}

// serve migrates a new database and starts a server on it.
func (l *lab) serve(ctx context.Context, wrapper []string, env ...string) (_ *node, err error) {
	database, drop, err := l.database(ctx)
	if err != nil {
		return nil, err
	}
	n := &node{email: adminEmail, password: secret()[:40], drop: drop, output: &syncbuf.Buffer{}, dir: l.dir}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	port, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	defer port.Close()
	internal, err := testport.Reserve()
	if err != nil {
		return nil, err
	}
	defer internal.Close()
	n.host, n.base, n.internal = port.Address(), "http://"+port.Address(), "http://"+internal.Address()
	redis := fmt.Sprintf("%s/%d", l.redis, l.dbs.Made()%200)
	n.env = append(l.environment(database, redis, port.String(), internal.String(), n.password), env...)
	if code, out := l.command(ctx, n.env, "migrate"); code != 0 {
		return nil, fmt.Errorf("migrate: %s", out)
	}
	if n.db, err = pgxpool.New(ctx, database+map[bool]string{true: "&", false: "?"}[strings.Contains(database, "?")]+"pool_max_conns=4"); err != nil {
		return nil, err
	}
	return n, n.start(ctx, append(wrapper, l.binary))
}

// command runs the program with settings until it ends, and returns its exit code and output.
func (l *lab) command(ctx context.Context, env []string, args ...string) (int, string) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	dir, err := os.MkdirTemp(l.dir, "command-*") // without a .env of another
	if err != nil {
		return -1, err.Error()
	}
	cmd := exec.CommandContext(ctx, l.binary, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// start starts the process and waits until it is ready.
func (n *node) start(ctx context.Context, command []string) (err error) {
	n.cmd = exec.Command(command[0], append(command[1:], "serve")...) //nolint:noctx // stopped by hand
	n.cmd.Dir, n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = n.dir, n.env, n.output, n.output
	if n.exited, err = embedded.Spawn(n.cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		for _, base := range []string{n.internal, n.base} { // versions before INTERNAL_PORT have one port
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", http.NoBody)
			if err != nil {
				return err
			}
			if res, err := client.Do(req); err == nil {
				_ = res.Body.Close()
				if res.StatusCode == http.StatusOK {
					n.internal = base
					return nil
				}
			}
		}
		select {
		case <-n.exited:
			return fmt.Errorf("%s\n%s", n.cmd.ProcessState, n.output.String())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w\n%s", ctx.Err(), n.output.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// restart stops the process and starts it again with further settings.
func (n *node) restart(ctx context.Context, binary string, env ...string) error {
	n.end()
	n.env = append(n.env, env...)
	return n.start(ctx, []string{binary})
}

// alive reports whether the process runs. Of a server at -url it is always true.
func (n *node) alive() bool {
	if n.exited == nil {
		return true
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// fatal returns the line of the output in which the runtime says why the process ended.
func (n *node) fatal() string {
	for line := range strings.Lines(n.output.String()) {
		if strings.HasPrefix(line, "fatal error") || strings.HasPrefix(line, "panic") || strings.Contains(line, "out of memory") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// end stops the process.
func (n *node) end() {
	if n.exited == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(stopWithin):
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
}

// stop ends the process and drops its database. A second call does nothing.
func (n *node) stop() {
	n.once.Do(func() {
		n.end()
		if n.db != nil {
			n.db.Close()
		}
		if n.drop != nil {
			n.drop()
		}
	})
}
