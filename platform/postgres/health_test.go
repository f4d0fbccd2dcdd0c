package postgres_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/pgtest"
	"github.com/orderflow-dev/orderflow/internal/testwait"
	"github.com/orderflow-dev/orderflow/platform/postgres"
)

// database is a fresh one, a pool on it, and a connection of an administrator's that is
// allowed to write in any case.
func database(t *testing.T) (pool *postgres.Pool, admin *pgx.Conn, name string) {
	t.Helper()
	address := pgtest.URL(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	admin, err = pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	exec(t, admin, "set default_transaction_read_only = off")
	return openAt(t, address, 4), admin, pgx.Identifier{u.Path[1:]}.Sanitize()
}

// wantWhy polls, as probes do, until CannotWrite says so.
func wantWhy(t *testing.T, pool *postgres.Pool, want string) {
	t.Helper()
	patience, tick := time.After(testwait.Limit), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		why, err := pool.CannotWrite(t.Context())
		if err == nil && why == want {
			return
		}
		select {
		case <-tick.C:
		case <-patience:
			t.Fatalf("CannotWrite says %q, %v; want %q", why, err, want)
		}
	}
}

// SPEC F3, F4: sessions keep the mode that they began with, so a pool that has been told
// 25006 begins new ones, and finds out by itself that it may write again.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	pool, admin, name := database(t)
	exec(t, pool, "create table t (n int)")
	wantWhy(t, pool, "")
	exec(t, admin, "alter database "+name+" set default_transaction_read_only = on")
	pool.Reset()

	_, err := pool.Exec(t.Context(), "insert into t values (1)")
	if postgres.Code(err) != "25006" || !postgres.Unavailable(err) {
		t.Fatalf("a write: %v", err)
	}
	wantWhy(t, pool, "the database is read-only")

	exec(t, admin, "alter database "+name+" reset default_transaction_read_only")
	wantWhy(t, pool, "")
	exec(t, pool, "insert into t values (1)")
}

// One write that fails with 25006 is enough: the next one finds the server that accepts it,
// without a probe.
func TestReadOnlySessionIsGivenUp(t *testing.T) {
	t.Parallel()
	pool, admin, name := database(t)
	exec(t, pool, "create table t (n int)")
	exec(t, admin, "alter database "+name+" set default_transaction_read_only = on")
	pool.Reset()
	var old, fresh int
	if err := pool.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&old); err != nil {
		t.Fatal(err)
	}
	exec(t, admin, "alter database "+name+" reset default_transaction_read_only")

	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "insert into t values (1)")
		return err
	})

	if postgres.Code(err) != "25006" {
		t.Fatalf("the old session: %v", err)
	}
	exec(t, pool, "insert into t values (1)")
	if err := pool.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&fresh); err != nil || fresh == old {
		t.Errorf("session %d, then %d, %v", old, fresh, err)
	}
}

// A full disk is known by the write that found no room, and by trying again from time to
// time.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	pool, admin, _ := database(t)
	exec(t, pool, "create table t (n int)")
	wantWhy(t, pool, "")
	exec(t, admin, `create table full_disk (since timestamptz);
		create function no_room() returns trigger language plpgsql as $$ begin
			if exists (select from full_disk) then raise exception 'no space left on device' using errcode = '53100'; end if;
			return new; end $$;
		create function no_room_ddl() returns event_trigger language plpgsql as $$ begin
			if exists (select from full_disk) then raise exception 'no space left on device' using errcode = '53100'; end if; end $$;
		create trigger no_room before insert on t for each row execute function no_room();
		create event trigger no_room on ddl_command_start when tag in ('CREATE TABLE') execute function no_room_ddl();
		insert into full_disk values (now())`)

	if _, err := pool.Exec(t.Context(), "insert into t values (1)"); postgres.Code(err) != "53100" || !postgres.Unavailable(err) {
		t.Fatalf("a write: %v", err)
	}
	wantWhy(t, pool, "the disk of the database is full")
	outlast := time.NewTimer(4 * time.Second) // longer than it waits before it tries: then it is still full
	defer outlast.Stop()
	for done := false; !done; {
		select {
		case <-outlast.C:
			done = true
		default:
			if why, err := pool.CannotWrite(t.Context()); err != nil || why == "" {
				t.Fatalf("while it is full: %q, %v", why, err)
			}
		}
	}

	exec(t, admin, "drop table full_disk; drop event trigger no_room; drop trigger no_room on t")
	wantWhy(t, pool, "")
	exec(t, pool, "insert into t values (1)")
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	down, err := postgres.Open(t.Context(), "postgres://app:"+fmt.Sprint("secret", 1)+"@127.0.0.1:1/x", 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = down.Exec(t.Context(), "select 1")
	if !postgres.Unavailable(err) || err.Error() != "acquire connection: connection refused" {
		t.Errorf("no server listens: %v", err)
	}
	down.Close()
	_, err = down.Exec(t.Context(), "select 1")
	if !postgres.Unavailable(err) {
		t.Errorf("a closed pool: %v", err)
	}
	if postgres.Unavailable(nil) || postgres.Unavailable(pgx.ErrNoRows) || postgres.Unavailable(context.Canceled) {
		t.Error("all is well")
	}
}

// A primary that becomes read-only without closing its sessions: the pool finds the
// server that took over among the hosts of its URL, at the second attempt.
func TestFailover(t *testing.T) {
	t.Parallel()
	first, second := pgtest.URL(t), pgtest.URL(t)
	u, err := url.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	server := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5432"))
	primary, standby := forward(t, server, first, first), forward(t, server, first, second)
	u.Host = primary + "," + standby
	for _, address := range []string{first, second} {
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, conn, "create table t (server text)")
		exec(t, conn, "insert into t values ($1)", address)
		_ = conn.Close(t.Context())
	}
	admin, err := pgx.Connect(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	exec(t, admin, "alter database "+databaseOf(t, second)+" set default_transaction_read_only = on")
	pool := openAt(t, u.String(), 1, "target_session_attrs", "read-write")
	at := func() (address string) {
		if err := pool.QueryRow(t.Context(), "select server from t").Scan(&address); err != nil {
			t.Fatal(err)
		}
		return address
	}
	if at() != first {
		t.Fatal("it begins at the standby")
	}

	exec(t, pool, "set default_transaction_read_only = on") // as a reload of the configuration does in every session
	exec(t, admin, "set default_transaction_read_only = off; alter database "+databaseOf(t, first)+" set default_transaction_read_only = on")
	exec(t, admin, "alter database "+databaseOf(t, second)+" reset default_transaction_read_only")
	_, err = pool.Exec(t.Context(), "update t set server = server")

	if postgres.Code(err) != "25006" {
		t.Fatalf("the old primary: %v", err)
	}
	exec(t, pool, "update t set server = server")
	if at() != second {
		t.Error("it stays with the old primary")
	}
}

func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return pgx.Identifier{u.Path[1:]}.Sanitize()
}

// forward listens in front of a server. Who asks for one database there gets another.
func forward(t *testing.T, server, asked, given string) (address string) {
	t.Helper()
	from, to := bytes.Trim([]byte(databaseOf(t, asked)), `"`), bytes.Trim([]byte(databaseOf(t, given)), `"`)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	serve := func(client net.Conn) {
		defer client.Close()
		upstream, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer upstream.Close()
		go func() {
			_, _ = io.Copy(client, upstream)
			_ = client.Close()
		}()
		// The first message: its length, itself included, the protocol, then the parameters.
		head := make([]byte, 4)
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head)-4)
		if _, err := io.ReadFull(client, rest); err != nil {
			return
		}
		rest = bytes.Replace(rest, append([]byte("database\x00"), append(bytes.Clone(from), 0)...), append([]byte("database\x00"), append(bytes.Clone(to), 0)...), 1)
		binary.BigEndian.PutUint32(head, uint32(len(rest)+4))
		_, _ = upstream.Write(head)
		_, _ = upstream.Write(rest)
		_, _ = io.Copy(upstream, client)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(client)
		}
	}()
	return listener.Addr().String()
}
