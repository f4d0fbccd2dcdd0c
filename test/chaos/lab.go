package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/orderflow-dev/orderflow/test/program"
)

const (
	adminEmail = "root@chaos.example"
	password   = "a quiet blue morning" //nolint:gosec // of accounts that live for minutes
)

// lab is a run: the services, the processes of the product, the faults between them, and the
// responses that the clients have received.
type lab struct {
	options
	out      *output
	dir      string
	binary   string
	breaches *breaches
	report   *report
	journal  *journal
	http     *fasthttp.Client
	web      *http.Client // for endless responses
	canary   *person
	healed   time.Time // when the last fault ended

	db      *database
	redis   *redisServer
	bank    *bank
	proxies *proxies

	apis, workers []*node
	walker        *node // an API process for the walk over the bytes only
	running       sync.WaitGroup
	watching      sync.WaitGroup     // for recoveries
	stop          context.CancelFunc // of the processes
	closing       []func() error
}

func newLab(o options, to io.Writer) *lab {
	began, out := time.Now(), &output{to: to}
	return &lab{
		options: o, out: out, journal: newJournal(), http: newHTTP(), web: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
		breaches: &breaches{out: out, began: began, kinds: map[string]int{}},
		report:   newReport(began),
	}
}

// rng returns a separate random source for each part of the run.
func (l *lab) rng(part uint64) *rand.Rand {
	return rand.New(rand.NewPCG(l.seed, part)) //nolint:gosec // repeatable on purpose
}

// open starts all services and processes and waits until the API responds.
func (l *lab) open(ctx context.Context) (err error) {
	if l.dir, err = os.MkdirTemp("", "orderflow-chaos-*"); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(l.dir, "chaos.log"))
	if err != nil {
		return err
	}
	l.closing = append(l.closing, log.Close)
	l.out.also = log
	// Run by root, PostgreSQL is another user and must pass through.
	if err := os.Chmod(l.dir, 0o711); err != nil { //nolint:gosec // see above
		return err
	}
	if err := l.build(ctx); err != nil {
		return err
	}
	if l.db, err = openDatabase(ctx, l.dir); err != nil {
		return err
	}
	l.closing = append(l.closing, l.db.close)
	if l.redis, err = openRedis(ctx, l.dir); err != nil {
		return err
	}
	l.closing = append(l.closing, func() error { l.redis.drop(); return nil })
	if l.bank, err = openBank(l.seed); err != nil {
		return err
	}
	l.closing = append(l.closing, l.bank.close)
	l.proxies = newProxies("127.0.0.1:" + l.db.options.Port)

	if out, err := l.command(ctx, "migrate").CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w\n%s", err, out)
	}
	return l.launch(ctx)
}

func (l *lab) build(ctx context.Context) error {
	began := time.Now()
	l.binary = filepath.Join(l.dir, "orderflow")
	var args []string
	if l.race {
		args = append(args, "-race")
	}
	if err := program.Build(ctx, l.binary, args...); err != nil {
		return err
	}
	l.say("built in %s", time.Since(began).Round(time.Millisecond))
	return nil
}

// launch starts the processes.
func (l *lab) launch(ctx context.Context) (err error) {
	for i := range 2 {
		api, err := l.node(fmt.Sprintf("api-%d", i+1), "api")
		if err != nil {
			return err
		}
		worker, err := l.node(fmt.Sprintf("worker-%d", i+1), "worker")
		if err != nil {
			return err
		}
		l.apis, l.workers = append(l.apis, api), append(l.workers, worker)
	}
	if l.walker, err = l.node("walker", "api"); err != nil {
		return err
	}

	var until context.Context
	until, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, n := range l.nodes() {
		l.running.Go(func() { n.run(until) })
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, n := range l.nodes() {
		for !n.isReady() {
			if !pause(ctx, 10*time.Millisecond) {
				return fmt.Errorf("%s does not become ready: see %s", n.name, filepath.Join(l.dir, n.name+".log"))
			}
		}
	}
	l.say("%d processes are up", len(l.nodes()))
	return nil
}

func (l *lab) nodes() []*node {
	return append(append(append([]*node{}, l.apis...), l.workers...), l.walker)
}

// environment returns the whole environment of a process of the product.
func (l *lab) environment(port, database string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "TMPDIR=" + os.TempDir(), "GORACE=halt_on_error=0",
		"APP_ENV=development", "HOST=127.0.0.1", "PORT=" + port, "LOG_LEVEL=warn",
		"DATABASE_URL=" + database, "DATABASE_MAX_CONNS=10", "REDIS_URL=" + l.redis.url(),
		"RATE_LIMIT=off", "ORDER_RATE_LIMIT=off", "LOGIN_RATE_LIMIT=off", "REGISTRATION_RATE_LIMIT=off", "STREAMS_PER_ACCOUNT=20000", "BCRYPT_COST=4",
		"ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + password,
		"PAYMENT_PROVIDER=simulated", "PAYMENT_SIMULATOR_URL=" + l.bank.url(), "RESERVATION_TTL=1m",
	}
}

func (l *lab) databaseURL(port string) string {
	u, err := url.Parse(l.db.server.URL())
	if err != nil {
		panic(err) // it was made by embedded
	}
	u.Host = "127.0.0.1:" + port
	return u.String()
}

// command runs a command of the product without faults.
func (l *lab) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.binary, args...)
	cmd.Dir, cmd.Env = l.dir, l.environment("0", l.db.server.URL())
	return cmd
}

// close stops the processes gracefully, and then their services.
func (l *lab) close() {
	if l.stop != nil {
		l.stop()
		l.running.Wait()
		l.readLogs()
	}
	for _, end := range slices.Backward(l.closing) {
		if err := end(); err != nil {
			l.say("%v", err)
		}
	}
}

func (l *lab) remove() error {
	return errors.Join(l.db.remove(), os.RemoveAll(l.dir))
}
