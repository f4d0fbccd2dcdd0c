//go:build unix

package embedded

import (
	"context"
	"errors"
	"testing"
)

// A cold copy is the cluster as it was, for going back to it, and one that follows its
// primary is promoted with what it has received.
func TestCopyAndPromote(t *testing.T) {
	t.Parallel()
	from, to := folder(t), folder(t)
	ctx := context.Background()
	first := mustStart(t, throwAway(from))
	exec1(t, first.URL(), "create table kept (n int); insert into kept values (1)")
	if err := Copy(ctx, from, to); !errors.Is(err, ErrInUse) {
		t.Errorf("copy of a running cluster: %v", err)
	}
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	if err := Copy(ctx, from, to); err != nil {
		t.Fatal(err)
	}
	again := mustStart(t, throwAway(from))
	o := throwAway(to)
	o.Primary = again.URL()
	standby := mustStart(t, o)
	const count = "select count(*)::text from kept"
	exec1(t, again.URL(), "insert into kept values (2)")
	eventually(t, "the standby to follow", func() bool { return query1(t, standby.URL(), count) == "2" })
	again.Crash()
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	exec1(t, standby.URL(), "insert into kept values (3)")

	if n := query1(t, standby.URL(), count); n != "3" {
		t.Errorf("the promoted standby has %s rows", n)
	}
	const who = "select system_identifier::text from pg_control_system()"
	if a := query1(t, standby.URL(), who); a != query1(t, mustStart(t, throwAway(from)).URL(), who) {
		t.Error("the copy is another cluster")
	}
}
