// Command attack repeats known attacks against the product and prints the result of each.
//
// Without -url it builds ./cmd/orderflow and runs it in production mode with a private PostgreSQL and
// Redis, so that limits, settings and secure defaults are those that an installation has. Attacks
// that fill, stop or exhaust a server get a server and a database of their own. With -url only the
// attacks that change nothing are run, unless -destructive is given.
//
// The attacker and the measured server share the machine, so a latency is compared with that of the same
// client just before and after the attack, and the load of the machine is printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// atMost is the maximum duration of a run, in case it hangs.
const atMost = time.Hour

// errSucceeded is the error of a run in which an attack succeeded or could not be carried out.
var errSucceeded = errors.New("attacks succeeded or failed to run; see the table")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, atMost)
	err := run(ctx, os.Args[1:], os.Stdout)
	cancel()
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// options holds the flags.
type options struct {
	url                 string
	email, passwordFile string
	binary              string
	only                []string
	fast, list          bool
	destructive         bool
	step                time.Duration
	floor               time.Duration
	memory              int // MiB
	json                string
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	flags.SetOutput(out)
	only := flags.String("only", "", "names of attacks, or beginnings of names, with commas; all by default")
	flags.StringVar(&o.url, "url", "", "base URL of a running server; a private one by default")
	flags.StringVar(&o.email, "admin-email", "", "administrator of the server at -url")
	flags.StringVar(&o.passwordFile, "admin-password-file", "", "file with the administrator's password")
	flags.StringVar(&o.binary, "binary", "", "program to run as the private server; built from these sources by default")
	flags.BoolVar(&o.fast, "fast", false, "only the attacks that take little time and load")
	flags.BoolVar(&o.list, "list", false, "print the attacks and end")
	flags.BoolVar(&o.destructive, "destructive", false, "with -url: also attacks that create accounts and orders or exhaust the server")
	flags.DurationVar(&o.step, "step", 5*time.Second, "duration of each measurement of latency")
	flags.DurationVar(&o.floor, "floor", 100*time.Millisecond, "latency that counts as undisturbed whatever the ratio is")
	flags.IntVar(&o.memory, "memory", 512, "hard limit of memory of the server in the attacks on memory, in MiB")
	flags.StringVar(&o.json, "json", "", "file to write the results to")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(attacks(), func(a attack) bool { return strings.HasPrefix(a.name, name) }) {
			err = errors.Join(err, fmt.Errorf("-only: there is no attack %q", name))
		}
	}
	if o.step <= 0 || o.floor <= 0 || o.memory <= 0 {
		err = errors.Join(err, errors.New("-step, -floor and -memory must be above zero"))
	}
	if o.url == "" && (o.email != "" || o.passwordFile != "" || o.destructive) {
		err = errors.Join(err, errors.New("-admin-email, -admin-password-file and -destructive are for a server at -url"))
	}
	if o.url != "" && o.binary != "" {
		err = errors.Join(err, errors.New("-url and -binary exclude each other"))
	}
	return o, err
}

func (o options) wants(a attack) bool {
	if o.fast && a.slow {
		return false
	}
	return len(o.only) == 0 || slices.ContainsFunc(o.only, func(name string) bool { return strings.HasPrefix(a.name, name) })
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.list {
		for _, a := range attacks() {
			fmt.Fprintf(out, "%-32s %s\n%32s %s\n", a.name, a.refs, "", a.does)
		}
		return nil
	}
	l, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	r := &report{out: out, Target: l.what()}
	r.begin()
	for _, a := range attacks() {
		if o.wants(a) && ctx.Err() == nil {
			r.add(l.try(ctx, a))
		}
	}
	r.end()
	if o.json != "" {
		err = r.save(o.json)
	}
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	if r.bad() {
		err = errors.Join(err, errSucceeded)
	}
	return err
}
