package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// attack is one entry of the table.
type attack struct {
	name string
	refs string // CWE and requirements of ASVS 5.0
	does string // one sentence
	need need
	slow bool // takes long, or loads the machine
	do   func(x *trial)
}

// need is what an attack requires.
type need int

const (
	readOnly need = iota // changes nothing: allowed against any server
	writes               // creates accounts, orders or load
	private              // needs the database, the process or a restart of the server
)

// attacks returns all entries in the order in which they run: those that load the machine most
// come last.
func attacks() []attack {
	return slices.Concat(edgeAttacks(), tokenAttacks(), framingAttacks(), settingsAttacks(), webhookAttacks(), accountAttacks(),
		guessAttacks(), sessionAttacks(), rightsAttacks(), textAttacks(), outliveAttacks(), memoryAttacks(), fairAttacks())
}

// The verdicts. failed means that the attack could not be carried out, which says nothing about
// the server and must not pass for held.
const (
	held      = "HELD"
	succeeded = "SUCCEEDED"
	skipped   = "SKIPPED"
	failed    = "FAILED"
)

// trial is one run of an attack. Its methods that abort must be called from the goroutine of the
// attack, as those of testing.T.
type trial struct {
	context.Context //nolint:containedctx // it ends with the attack, as that of testing.T
	*lab
	verdict string
	reasons []string
	figures []string
	ends    []func()
}

// found records that the attack has succeeded, and in what respect.
func (x *trial) found(format string, args ...any) {
	x.verdict = succeeded
	x.reasons = append(x.reasons, fmt.Sprintf(format, args...))
}

// figure records a number to print.
func (x *trial) figure(format string, args ...any) {
	x.figures = append(x.figures, fmt.Sprintf(format, args...))
}

// skip ends the trial with the reason for which it does not apply.
func (x *trial) skip(format string, args ...any) {
	if x.verdict == held {
		x.verdict = skipped
	}
	x.reasons = append(x.reasons, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// fatal ends the trial, which could not be carried out. What it found before stays found.
func (x *trial) fatal(format string, args ...any) {
	if x.verdict == held {
		x.verdict = failed
	}
	x.reasons = append(x.reasons, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// must ends the trial on an error of a preparation.
func (x *trial) must(err error, what string) {
	if err != nil {
		x.fatal("%s: %v", what, err)
	}
}

// atEnd registers what must happen when the trial has ended, last one first.
func (x *trial) atEnd(do func()) { x.ends = append(x.ends, do) }

// wait returns after d or at the end of ctx, and reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// pause waits for d, and ends the trial if the run ends meanwhile.
func (x *trial) pause(d time.Duration) {
	if !wait(x, d) {
		x.fatal("%v", x.Err())
	}
}

// within polls until holds is true, and reports whether it became true before the time was over.
func (x *trial) within(d time.Duration, holds func() bool) bool {
	for end := time.Now().Add(d); ; {
		if holds() {
			return true
		}
		if time.Now().After(end) || x.Err() != nil {
			return false
		}
		wait(x, 20*time.Millisecond)
	}
}

// try carries an attack out in a goroutine of its own, so that skip and fatal can end it.
func (l *lab) try(ctx context.Context, a attack) result {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	x := &trial{Context: ctx, lab: l, verdict: held}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			cancel()
			for _, end := range slices.Backward(x.ends) {
				end()
			}
			if r := recover(); r != nil {
				x.verdict, x.reasons = failed, append(x.reasons, fmt.Sprintf("panic: %v\n%s", r, debug.Stack()))
			}
		}()
		switch {
		case a.need == private && l.opt.url != "":
			x.skip("needs a private server")
		case a.need == writes && l.opt.url != "" && !l.opt.destructive:
			x.skip("changes the server; see -destructive")
		}
		a.do(x)
	}()
	<-done
	return result{
		Name: a.name, Refs: a.refs, Does: a.does, Verdict: x.verdict, Why: strings.Join(x.reasons, "; "),
		Figures: strings.Join(x.figures, ", "), Seconds: time.Since(began).Seconds(), Load: load(),
	}
}
