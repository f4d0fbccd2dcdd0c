package migrations

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// Databases here begin empty.
func TestMain(m *testing.M) {
	pgtest.Main(m, func(context.Context, string) error { return nil })
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// with is the address with one more parameter.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// objects are all that a migration could have made, except for the record of
// migrations themselves.
func objects(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		select * from (
			select c.relkind::text || ' ' || c.relname from pg_class c where relnamespace = 'public'::regnamespace
			union all select 'function ' || p.oid::regprocedure from pg_proc p where pronamespace = 'public'::regnamespace
			union all select 'type ' || typname from pg_type t where typnamespace = 'public'::regnamespace
			union all select 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace
			union all select 'index ' || indexdef from pg_indexes where schemaname = 'public'
			union all select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger where not tgisinternal
			union all select 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '-')
				from information_schema.columns where table_schema = 'public'
		) o (name)
		where name !~ 'goose_db_version|river_migration' order by name collate "C"`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func pending(t *testing.T, url string, want bool) {
	t.Helper()
	if got, err := Pending(t.Context(), url); got != want || err != nil {
		t.Errorf("pending: %v, %v, want %v", got, err, want)
	}
}

func up(t *testing.T, url string) {
	t.Helper()
	if err := Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}

func TestUpTwice(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn := connect(t, url)

	pending(t, url, true)
	up(t, url)
	pending(t, url, false)
	first := objects(t, conn)
	up(t, url)

	if again := objects(t, conn); !slices.Equal(first, again) {
		t.Errorf("before: %v\nafter: %v", first, again)
	}
	if !slices.ContainsFunc(first, func(s string) bool { return s == "r orders" }) ||
		!slices.ContainsFunc(first, func(s string) bool { return s == "r river_job" }) {
		t.Errorf("got %v", first)
	}
}

func TestOneBehindIsBehind(t *testing.T) {
	t.Parallel()
	for _, undo := range []string{
		"delete from goose_db_version where version_id = (select max(version_id) from goose_db_version)",
		"delete from river_migration where version = (select max(version) from river_migration)",
	} {
		url := pgtest.URL(t)
		up(t, url)
		if _, err := connect(t, url).Exec(t.Context(), undo); err != nil {
			t.Fatal(err)
		}
		pending(t, url, true)
	}
}

// Any number of nodes may start at once (SPEC G1).
func TestUpAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)

	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := Up(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	pending(t, url, false)
	var times int
	err := connect(t, url).QueryRow(t.Context(), `select max(n) from (select count(*) n from goose_db_version group by version_id) c`).Scan(&times)
	if err != nil || times != 1 {
		t.Errorf("a migration ran %d times, %v", times, err)
	}
}

func TestDownLeavesNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn, ctx := connect(t, url), t.Context()
	empty := objects(t, conn)
	up(t, url)
	full := objects(t, conn)

	db, err := open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ours, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	rivers, err := riverMigrator(db)
	if err != nil {
		t.Fatal(err)
	}
	for range ours.ListSources() { // each file down and up again, from the last
		before := objects(t, conn)
		if _, err := ours.Down(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.UpByOne(ctx); err != nil {
			t.Fatal(err)
		}
		if after := objects(t, conn); !slices.Equal(before, after) {
			t.Errorf("down and up changed it:\n%v\n%v", before, after)
		}
		if _, err := ours.Down(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rivers.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1}); err != nil {
		t.Fatal(err)
	}

	if left := objects(t, conn); !slices.Equal(left, empty) {
		t.Errorf("left: %v", left)
	}
	pending(t, url, true)
	up(t, url)
	if again := objects(t, conn); !slices.Equal(again, full) {
		t.Errorf("up again: %v\nbefore: %v", again, full)
	}
}

// SPEC A5, G1: migration 19 ends the keys and webhooks that accounts of the previous version were left
// with when they were deactivated, deleted or demoted, and no others.
func TestLeftCredentialsEnd_A5_G1(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn, ctx := connect(t, url), t.Context()
	db, err := open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ours, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.UpTo(ctx, 18); err != nil {
		t.Fatal(err)
	}
	// Each account has two keys and five webhooks.
	_, err = conn.Exec(ctx, `
		insert into users (id, email, email_key, role, active, password_hash, created_at, updated_at, deleted_at)
		select gen_random_uuid(), name, name, role, active, '', now(), now(), deleted from (values
			('user', 'user', true, null), ('admin', 'admin', true, null), ('inactive', 'user', false, null),
			('deleted', 'user', true, now()), ('inactive-admin', 'admin', false, null), ('deleted-admin', 'admin', true, now())
		) v (name, role, active, deleted);
		insert into api_keys (id, user_id, name, scopes, hash, created_at, revoked_at)
		select gen_random_uuid(), u.id, k.name, '{orders:read}', '', now(), k.revoked
		from users u, (values ('valid', null), ('revoked', timestamptz '2026-01-01')) k (name, revoked);
		insert into webhooks (id, owner_id, user_id, url, description, types, ordering, enabled, disabled_reason, disabled_at, secret, created_at, updated_at, deleted_at)
		select gen_random_uuid(), u.id, w.whose, '', w.name, '[]', 'none', w.reason is null, w.reason, w.at, '', now(), now(), w.deleted
		from users u, lateral (values
			('own', u.id, null, null, null), ('other', gen_random_uuid(), null, null, null), ('all', null, null, null, null),
			('manual', u.id, 'manual', timestamptz '2026-01-01', null), ('gone', u.id, null, null, timestamptz '2026-01-01')
		) w (name, whose, reason, at, deleted)`)
	if err != nil {
		t.Fatal(err)
	}

	up(t, url)

	list := func(sql string) []string {
		t.Helper()
		rows, err := conn.Query(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, row := range []struct {
		what, sql string
		want      []string
	}{
		{"valid keys", `select email from api_keys k join users u on u.id = k.user_id where revoked_at is null order by 1`, []string{"admin", "user"}},
		{"keys that were revoked before", `select distinct revoked_at::date::text from api_keys where name = 'revoked'`, []string{"2026-01-01"}},
		{"enabled webhooks", `select email || ' ' || description from webhooks w join users u on u.id = w.owner_id where enabled and w.deleted_at is null order by email || description collate "C"`,
			[]string{"admin all", "admin other", "admin own", "user own"}},
		{"webhooks that were disabled before", `select distinct disabled_reason || ' ' || disabled_at::date from webhooks where description = 'manual'`, []string{"manual 2026-01-01"}},
		{"deleted webhooks", `select distinct enabled::text from webhooks where description = 'gone'`, []string{"true"}},
		{"reasons of the others", `select distinct disabled_reason from webhooks where not enabled and description <> 'manual'`, []string{"account"}},
	} {
		if got := list(row.sql); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.what, got, row.want)
		}
	}
}

// A migration that waits for a busy table does not block other transactions for longer than
// three seconds. The migration itself has no time limit.
func TestABusyTable(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	up(t, url)
	conn, ctx := connect(t, url), t.Context()
	if _, err := conn.Exec(ctx, "begin; lock table goose_db_version in access exclusive mode"); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(ctx, testwait.Limit)
	defer cancel()
	err := Up(ctx, url)

	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "55P03" {
		t.Errorf("got %v", err)
	}
	for _, how := range []string{url, with(t, url, "statement_timeout", "1000")} {
		db, err := open(how)
		if err != nil {
			t.Fatal(err)
		}
		var locks, statements string
		if err := db.QueryRowContext(t.Context(), "select current_setting('lock_timeout'), current_setting('statement_timeout')").Scan(&locks, &statements); err != nil {
			t.Fatal(err)
		}
		if locks != "3s" || statements != "0" {
			t.Errorf("lock_timeout %s, statement_timeout %s", locks, statements)
		}
		_ = db.Close()
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	nowhere := "postgres://nobody@127.0.0.1:1/none?sslmode=disable"
	if err := Up(t.Context(), nowhere); err == nil {
		t.Error("migrated nothing")
	}
	if _, err := Pending(t.Context(), nowhere); err == nil {
		t.Error("nothing is pending nowhere")
	}
}

// A node that waits for the migration of another one stops waiting when its context ends.
func TestWaitingForAnotherNode(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "select pg_advisory_lock($1)", lockKey); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	done := make(chan error, 1)
	go func() { done <- Up(ctx, url) }()
	testwait.Until(t, "it to wait", func() (waits bool) {
		err := conn.QueryRow(t.Context(), `select exists (select from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and query like '%advisory%')`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		return waits
	})
	cancel()

	if err := testwait.For(t, "its end", done); err == nil {
		t.Error("it migrated all the same")
	}
	pending(t, url, true)
}
