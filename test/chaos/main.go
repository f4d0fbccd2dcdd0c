// Command chaos injects faults into the processes and services of the product while clients use it,
// and then verifies that nothing was lost, duplicated or left pending.
//
// It builds ./cmd/orderflow and runs two API processes and two workers with a private PostgreSQL,
// Redis and payment provider. Clients order, cancel, ship and refund, and record every response.
// Meanwhile processes are killed, PostgreSQL crashes, connections are cut at every byte of a
// commit, Redis stops and the provider fails. Afterwards all faults end, and the recorded
// responses, the database, the result of `orderflow verify` and the journal of the provider are
// compared. Every random choice comes from the seed, but scheduling does not, so a seed repeats
// the same kinds of faults and not the same interleaving.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options holds the flags.
type options struct {
	seed     uint64
	duration time.Duration // of the faults
	clients  int
	short    bool
	race     bool
	keep     bool
	streams  bool
	rewind   bool
	rate     int
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "of every random choice; made up and printed by default")
	flags.DurationVar(&o.duration, "duration", 10*time.Minute, "how long things break")
	flags.IntVar(&o.clients, "clients", 8, "how many clients act at once")
	flags.BoolVar(&o.short, "short", false, "45 seconds of faults and a coarser walk over the bytes, as CI runs it")
	flags.BoolVar(&o.race, "race", withRace, "build the product with the race detector; any report of it fails the run")
	flags.BoolVar(&o.streams, "streams", false, "another story: nothing breaks but Redis, halfway, while many clients follow their events over all transports and are cut again and again")
	flags.BoolVar(&o.rewind, "rewind", false, "another story: the database restarts, fails over, is replaced by an older copy and by a standby that was behind, under listeners on all transports; takes a minute or two")
	flags.IntVar(&o.rate, "rate", 500, "orders per second, with -streams")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder with logs and data although nothing was found")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.streams && !given["clients"] {
		o.clients = 50
	}
	if o.streams && !given["duration"] {
		o.duration = 5 * time.Minute
	}
	if o.short && !given["duration"] {
		o.duration = 45 * time.Second
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano() % 1e9)
	}
	if o.duration < time.Second || o.clients < 1 || o.rate < 1 {
		return o, errors.New("-duration must be a second at least, -clients and -rate one")
	}
	return o, nil
}

// again returns the command that repeats a run.
func (o options) again() string {
	line := fmt.Sprintf("go run -C test ./chaos -seed %d -duration %s -clients %d", o.seed, o.duration, o.clients)
	if o.streams {
		line += fmt.Sprintf(" -streams -rate %d", o.rate)
	}
	if o.rewind {
		line += " -rewind"
	}
	if o.short {
		line += " -short"
	}
	if o.race {
		line += " -race"
	}
	return line
}

// errBreaches is the error of a run that found breaches.
var errBreaches = errors.New("promises were broken; see above")

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration+20*time.Minute)
	defer cancel()

	l := newLab(o, out)
	l.say("seed %d", o.seed)
	if err = l.open(ctx); err == nil {
		err = l.run(ctx)
	}
	l.watching.Wait()
	l.close()
	l.report.print(l.out)

	found := l.breaches.count()
	if err == nil && found > 0 {
		err = errBreaches
	}
	if err != nil || o.keep {
		l.say("logs and data: %s", l.dir)
		l.say("again: %s", o.again())
		return err
	}
	return l.remove()
}
