package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"time"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// heal ends all faults and waits until all processes are up.
func (l *lab) heal(ctx context.Context) error {
	l.bank.heal()
	l.healed = time.Now()
	for _, n := range l.nodes() {
		n.proxy.Toxics.ResetToxics(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, n := range l.nodes() {
		for !n.isReady() {
			if !pause(ctx, 20*time.Millisecond) {
				return fmt.Errorf("%s does not come up after everything was healed", n.name)
			}
		}
	}
	return nil
}

// pendingSQL counts the jobs and orders that are still pending.
const pendingSQL = `
	select (select count(*) from river_job where state in ('available', 'pending', 'retryable', 'running', 'scheduled'))
	     + (select count(*) from orders where due_at is not null or status in ('PENDING', 'CONFIRMED'))`

// drain waits until nothing is pending: the jobs of a killed worker are rescued within two
// minutes, and failed attempts are retried within one.
func (l *lab) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tell := time.NewTicker(15 * time.Second)
	defer tell.Stop()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for {
		var left int
		err := l.db.direct.QueryRow(ctx, pendingSQL).Scan(&left)
		if err != nil && !postgres.Unavailable(err) { // connections from before a restart of the database fail once
			return fmt.Errorf("count pending jobs and orders: %w", err)
		}
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-tell.C:
			l.say("%d jobs and orders to go", left)
		case <-look.C:
		case <-ctx.Done():
			l.breaches.add("no rest", "%d jobs and orders are still pending", left) // verify names them
			return nil
		}
	}
}

// resolveDeadLetters resolves the remaining dead letters like an operator: once more, and what
// fails for good is skipped.
func (l *lab) resolveDeadLetters(ctx context.Context, admin *person) error {
	l.retryLetters(ctx, admin)
	if err := l.drain(ctx); err != nil {
		return err
	}
	var page struct{ Data []struct{ ID, Step string } }
	if _, absent, err := admin.get(ctx, "/v1/dead-letters?limit=100", &page); err != nil || absent {
		return err
	}
	for _, letter := range page.Data {
		r := &request{
			method: http.MethodPost, path: "/v1/dead-letters/" + letter.ID + "/skip", key: "skip-" + letter.ID,
			body: body(map[string]any{"reason": "it will never be"}),
		}
		a := admin.settle(ctx, r)
		if a != nil && !a.ok() && a.status != http.StatusConflict {
			l.breaches.add("unexpected answer", "skip a dead letter of %s: %s", letter.Step, a)
		}
		l.report.count("dead letters skipped", 1)
	}
	return l.drain(ctx)
}

// verify runs `orderflow verify`.
func (l *lab) verify(ctx context.Context) error {
	out, err := l.command(ctx, "verify", "--settled", "--json", "--limit=3").Output()
	exit, failed := err.(*exec.ExitError) //nolint:errorlint // Output returns it bare
	if err != nil && (!failed || exit.ExitCode() != 1) {
		return fmt.Errorf("orderflow verify: %w: %s", err, exit.Stderr)
	}
	var doc struct {
		OK      bool
		Orders  int
		Seconds float64
		Laws    []struct {
			Name     string
			Broken   int
			Subjects []struct{ Subject, Detail string }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return fmt.Errorf("orderflow verify: %w: %.300s", err, out)
	}
	for _, law := range doc.Laws {
		for _, s := range law.Subjects {
			l.breaches.add("verify: "+law.Name, "%s: %s (%d in all)", s.Subject, s.Detail, law.Broken)
		}
	}
	l.say("orderflow verify: %d laws over %d orders in %.1f s, ok: %t", len(doc.Laws), doc.Orders, doc.Seconds, doc.OK)
	return nil
}
