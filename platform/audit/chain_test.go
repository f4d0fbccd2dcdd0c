package audit

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/platform/postgres"
)

const oldKey, newKey = "old=0123456789abcdef0123456789abcdef", "new=fedcba9876543210fedcba9876543210"

// SPEC F11: whatever is changed, removed or inserted in sealed history is found, and named.
func TestTamperingIsFound_F11(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{nil, {oldKey}} {
		b := setup(t, keys...)
		for i := range 4 { // four blocks of three entries
			for j := range 3 {
				b.record(fmt.Sprintf("%d%d", i+1, j))
			}
			b.seal()
		}
		if found := b.verify(); found != nil {
			t.Fatal(found)
		}
		const entry = "(select id from audit_entries where subject_id = '21')"
		const insert = `with e as (insert into audit_entries (id, at, action, outcome, actor_type, subject_type, subject_id, changes, request_id, network)
			select gen_random_uuid(), %s, 'thing.renamed', 'success', 'system', 'thing', 'forged', '[]', '', '' returning id) `
		rows := []struct{ what, sql, want string }{
			{"an entry changed", `update audit_entries set action = 'thing.kept' where id = ` + entry, "was changed"},
			{"its time", `update audit_entries set at = at - interval '1 microsecond' where id = ` + entry, "was changed"},
			{"its values", `update audit_entries set changes = '[{"field":"size"}]' where id = ` + entry, "was changed"},
			{"its actor", `update audit_entries set actor_id = gen_random_uuid() where id = ` + entry, "was changed"},
			{"its count", `update audit_entries set count = 2 where id = ` + entry, "was changed"},
			{"an entry removed", `delete from audit_entries where id = ` + entry, "was removed"},
			{"and from its block", `delete from audit_entries where id = ` + entry + `; update audit_blocks set entries = entries[2:], digests = substring(digests from 33) where number = 2`, "audit block 2 was changed"},
			{"an entry and its digest changed", `update audit_entries set count = 2 where subject_id = '20'; update audit_blocks set digests = sha256('x') || substring(digests from 33) where number = 2`, "audit block 2 was changed"},
			{"a block removed", `delete from audit_blocks where number = 2; delete from audit_entries where subject_id like '2%'`, "the blocks between are missing"},
			{"the time of a block", `update audit_blocks set at = at - interval '1 day' where number = 2`, "audit block 2 was changed"},
			{"its number", `update audit_blocks set number = 9 where number = 4`, "audit block 9 follows block 3"},
			{"a short digest", `update audit_blocks set digests = '' where number = 2`, "digests of another number"},
			{"the beginning removed", `delete from audit_blocks where number = 1; delete from audit_entries where subject_id like '1%'`, "follows block 0"},
			{"and declared as deleted", `update audit_chain set pruned_number = 1, pruned_hash = (select hash from audit_blocks where number = 1);
				delete from audit_blocks where number = 1; delete from audit_entries where subject_id like '1%'`, "no audit.pruned entry"},
			{"the end removed", `delete from audit_blocks where number = 4; delete from audit_entries where subject_id like '4%'`, "ends with block 3"},
			{"all removed", `delete from audit_blocks; delete from audit_entries`, "ends with block 0"},
			{"the head lost", `delete from audit_chain`, "lost the row"},
			{"the head changed", `update audit_chain set hash = ''`, "ends with another block"},
			{"the head behind", `update audit_chain set number = 3`, "has block 4"},
			{"inserted in the past, past the queue", fmt.Sprintf(insert, "now() - interval '1 hour'") + `select from e`, "is in no block"},
			{"inserted, in the queue for long", fmt.Sprintf(insert, "now() - interval '1 hour'") + `insert into audit_pending select id from e`, "is not sealed"},
			{"only in the queue", `insert into audit_pending values (gen_random_uuid())`, "does not exist"},
			{"sealed and pending", `insert into audit_pending select ` + entry, "is pending and in a block"},
		}
		for _, row := range rows {
			if found := strings.Join(b.tampered(row.sql), "; "); !strings.Contains(found, row.want) {
				t.Errorf("%s, keys %v: found %q", row.what, keys, found)
			}
		}
		if found := b.verify(); found != nil {
			t.Errorf("rolled back: %v", found)
		}
	}
}

// SPEC F11: an entry that is inserted behind a seal and then sealed like a new one.
func TestBackdatedEntryIsFound_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.record("honest")
	b.seal()

	b.exec(`with e as (insert into audit_entries (id, at, action, outcome, actor_type, subject_type, subject_id, changes, request_id, network)
		select gen_random_uuid(), now() - interval '3 minutes', 'thing.renamed', 'success', 'system', 'thing', 'forged', '[]', '', '' returning id)
		insert into audit_pending select id from e`)
	b.seal()

	found := b.verify()
	if len(found) != 1 || !strings.Contains(found[0], "was added after block 1 had sealed everything") {
		t.Error(found)
	}
}

// SPEC F11: entries that wait because no node is sealing are sealed late, and not suspicious.
func TestSealingAfterAPause_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.now = func() time.Time { return time.Now().Add(-time.Hour) }
	b.record("1")
	b.exec(`alter table audit_entries disable trigger user; update audit_entries set at = now() - interval '1 hour'`)
	b.seal()
	b.now = nil
	b.record("2")
	b.exec(`update audit_entries set at = now() - interval '30 minutes' where subject_id = '2'`)
	b.seal()

	if found := b.verify(); found != nil {
		t.Error(found)
	}
}

// SPEC F11: with a key, a chain that was computed anew without it is found; keys are rotated.
func TestKeys_F11(t *testing.T) {
	t.Parallel()
	b := setup(t, oldKey)
	b.record("1")
	b.seal()
	both, err := ParseKeys(newKey + "," + oldKey)
	if err != nil {
		t.Fatal(err)
	}
	b.keys = both
	b.Sealer.keys = both
	b.record("2")
	b.seal()
	if found := b.verify(); found != nil {
		t.Fatal(found)
	}

	b.Sealer.keys = Keys{} // a forger who has the database alone
	b.record("3")
	b.seal()
	if found := strings.Join(b.verify(), "; "); !strings.Contains(found, "audit block 3 is not signed") {
		t.Errorf("found %q", found)
	}
	b.keys, _ = ParseKeys(newKey)
	if found := strings.Join(b.verify(), "; "); !strings.Contains(found, `audit block 1 is signed with the key "old"`) {
		t.Errorf("found %q", found)
	}
	b.keys, _ = ParseKeys("new=0000000000000000,old=0123456789abcdef0123456789abcdef")
	if found := strings.Join(b.verify(), "; "); !strings.Contains(found, "audit block 2 was changed") {
		t.Errorf("found %q", found)
	}
	for _, text := range []string{"x", "=y", "x=", "a=b,", ","} {
		if _, err := ParseKeys(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// SPEC F11, G1: writers and sealers of several nodes at once: every entry is sealed once.
func TestNodesSealAtOnce_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const writers, each = 6, 60
	var writing, sealing sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		sealing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := b.Seal(b.ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				err := postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
					return Record(b.ctx, tx, Entry{Action: renamed, Subject: fmt.Sprintf("%d.%d", w, i)})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	sealing.Wait()
	b.seal()

	if found := b.verify(); found != nil {
		t.Error(found)
	}
	if n := b.number(`select coalesce(sum(cardinality(entries)), 0) from audit_blocks`); n != writers*each {
		t.Errorf("%d entries are sealed", n)
	}
	if n := b.number(`select count(distinct id) from audit_blocks, unnest(entries) as id`); n != writers*each {
		t.Errorf("%d distinct entries are sealed", n)
	}
	if n := strings.Count(b.log.String(), `"msg":"audit",`); n != writers*each {
		t.Errorf("%d entries were logged", n)
	}
}

// SPEC F11: writers do not wait for each other or for a sealer that holds the chain.
func TestWritersDoNotWait_F11(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.record("sealed first")
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(b.ctx)
	if _, _, err := b.Sealer.seal(b.ctx, tx); err != nil {
		t.Fatal(err)
	}
	open, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Rollback(b.ctx)
	if err := Record(b.ctx, open, Entry{Action: renamed, Subject: "open"}); err != nil {
		t.Fatal(err)
	}

	b.record("meanwhile") // hangs if a writer waits
	b.seal()              // hangs if a second sealer waits
	if err := tx.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.seal()
	if err := open.Commit(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.seal()

	if n := b.number(`select count(*) from audit_pending`); n != 0 {
		t.Errorf("%d entries are pending", n)
	}
	if found := b.verify(); found != nil {
		t.Error(found)
	}
}

// A backlog is sealed in several blocks, of which only the last one took everything.
func TestBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`with e as (insert into audit_entries (id, action, outcome, actor_type, subject_type, subject_id, changes, request_id, network)
		select gen_random_uuid(), 'thing.renamed', 'success', 'system', 'thing', n::text, '[]', '', '' from generate_series(1, 2500) n returning id)
		insert into audit_pending select id from e`)

	b.seal()

	if n := b.number(`select count(*) from audit_blocks where drained = (number = 3)`); n != 3 {
		t.Errorf("%d blocks are as expected", n)
	}
	if found := b.verify(); found != nil {
		t.Error(found)
	}
}

// SPEC F11: retention deletes whole blocks from the beginning, and the rest can be verified.
func TestPrune_F11(t *testing.T) {
	t.Parallel()
	b := setup(t, oldKey)
	b.exec(`alter table audit_entries alter column at set default now() - interval '200 days'`)
	b.now = func() time.Time { return time.Now().Add(-200 * 24 * time.Hour) }
	for i := range 3 {
		b.record(fmt.Sprint("old ", i))
		b.seal()
	}
	b.now = nil
	b.exec(`alter table audit_entries alter column at set default clock_timestamp()`)
	b.record("new")
	b.seal()
	if err := b.Prune(b.ctx); err != nil || b.number(`select count(*) from audit_blocks`) != 4 {
		t.Errorf("without a retention: %v", err)
	}

	b.retention = 100 * 24 * time.Hour
	b.exec(`alter table audit_entries add constraint no_pruned check (action <> 'audit.pruned') not valid`)
	if err := b.Prune(b.ctx); err == nil || b.number(`select count(*) from audit_blocks`) != 4 {
		t.Errorf("blocks were deleted without an entry: %v", err)
	}
	b.exec(`alter table audit_entries drop constraint no_pruned`)
	if err := b.Prune(b.ctx); err != nil {
		t.Fatal(err)
	}

	if got := subjects(b.list(Filter{})); got != "[3 new]" {
		t.Errorf("kept %s", got)
	}
	if found := b.verify(); found != nil {
		t.Errorf("before the deletion is sealed: %v", found)
	}
	b.seal()
	if err := b.Prune(b.ctx); err != nil {
		t.Fatal(err)
	}
	if found := b.verify(); found != nil {
		t.Error(found)
	}
	if found := strings.Join(b.tampered(`delete from audit_entries where action = 'audit.pruned'`), "; "); !strings.Contains(found, "no audit.pruned entry") {
		t.Errorf("found %q", found)
	}
	if found := strings.Join(b.tampered(`update audit_chain set pruned_number = 4, pruned_hash = hash; delete from audit_blocks where number = 4`), "; "); !strings.Contains(found, "no audit.pruned entry") {
		t.Errorf("found %q", found)
	}
}

// A database that only has old blocks keeps the last one, from which the chain goes on.
func TestPruneKeepsTheLastBlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`alter table audit_entries alter column at set default now() - interval '200 days'`)
	b.now = func() time.Time { return time.Now().Add(-200 * 24 * time.Hour) }
	b.record("1")
	b.seal()
	b.retention = time.Hour // below the minimum, which holds all the same

	if err := b.Prune(b.ctx); err != nil {
		t.Fatal(err)
	}

	if n := b.number(`select count(*) from audit_blocks`); n != 1 {
		t.Errorf("%d blocks", n)
	}
}
