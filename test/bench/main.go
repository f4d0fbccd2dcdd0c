// Command bench measures the real binary with a durable PostgreSQL: it checks and reports that
// fsync and synchronous_commit are on.
//
// It builds ./cmd/orderflow, runs it as a child with a separate environment, and sends requests like
// any client. Each part gets its own database, so that parts do not affect each other. It shares
// the machine with the measured server, so compare only numbers of one run, preferably the ratio
// to the floor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// atMost is the maximum duration of a run, in case it hangs.
const atMost = 45 * time.Minute

// errFailures is the error of a run in which measured requests failed, which makes its numbers
// invalid.
var errFailures = errors.New("requests failed; see above")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, atMost)
	err := run(ctx, os.Args[1:])
	cancel()
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parts in the order in which they run.
var parts = []struct {
	name string
	do   func(*bench, context.Context) error
}{
	{"floor", (*bench).floorAndPlace}, // and place, alternately
	{"e2e", (*bench).endToEnd},
	{"hot", (*bench).hot},
	{"latency", (*bench).latency},
	{"logins", (*bench).logins},
	{"reads", (*bench).reads},
	{"sockets", (*bench).sockets},
	{"failover", (*bench).failover},
}

func names() (list []string) {
	for _, p := range parts {
		if list = append(list, p.name); p.name == "floor" {
			list = append(list, "place") // floor measures both
		}
	}
	return list
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()

	err = b.measure(ctx)
	if o.json != "" {
		err = errors.Join(err, b.report.save(o.json))
	}
	if b.report.print.failures() {
		err = errors.Join(err, errFailures)
	}
	return err
}

func (b *bench) measure(ctx context.Context) error {
	if err := b.facts(ctx); err != nil {
		return err
	}
	for _, p := range parts {
		if !b.opt.wants(p.name) && (p.name != "floor" || !b.opt.wants("place")) {
			continue
		}
		if err := p.do(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// options holds the flags.
type options struct {
	only []string
	timing
	clients []int
	rate    int
	orders  int
	users   int
	sockets int
	rounds  int
	json    string
}

func (o options) wants(part string) bool { return len(o.only) == 0 || slices.Contains(o.only, part) }

// quick holds the values of -quick, for a short check that everything works. Flags on the command
// line take precedence.
var quick = map[string]string{
	"d": "1", "clients": "1,16", "rate": "100", "orders": "3000", "users": "50", "sockets": "100", "rounds": "20",
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "some of "+strings.Join(names(), ",")+"; all by default")
	seconds := flags.Float64("d", 8, "seconds that each step is measured for")
	clients := flags.String("clients", "1,16,64,256", "numbers of clients to place orders with")
	flags.IntVar(&o.rate, "rate", 500, "orders per second for the latency of processing")
	flags.IntVar(&o.orders, "orders", 100_000, "orders that are there when reading")
	flags.IntVar(&o.users, "users", 1000, "accounts that they belong to, and that open sockets")
	flags.IntVar(&o.sockets, "sockets", 10_000, "sockets to open, as far as the limit of open files allows")
	flags.IntVar(&o.rounds, "rounds", 200, "events to time on the way to a socket")
	flags.StringVar(&o.json, "json", "", "file to write the results to")
	small := flags.Bool("quick", false, "steps of a second and small numbers, to see that it works")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *small {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range quick {
			if !given[name] {
				err = errors.Join(err, flags.Set(name, value))
			}
		}
	}

	o.step = time.Duration(*seconds * float64(time.Second))
	o.warm = min(time.Second, o.step/2)
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			err = errors.Join(err, fmt.Errorf("-only: there is no part %q", name))
		}
	}
	for part := range strings.SplitSeq(*clients, ",") {
		n, bad := strconv.Atoi(part)
		if bad != nil || n < 1 {
			err = errors.Join(err, fmt.Errorf("-clients: %q is not a number of clients", part))
		}
		o.clients = append(o.clients, n)
	}
	if o.step <= 0 || min(o.rate, o.orders, o.users, o.sockets, o.rounds) < 1 {
		err = errors.Join(err, errors.New("all numbers must be above zero"))
	}
	return o, err
}
