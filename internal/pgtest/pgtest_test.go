package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/orderflow-dev/orderflow/internal/testport"
)

const migration = "create table things (name text primary key); insert into things values ('seed')"

func TestMain(m *testing.M) {
	Main(m, func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url) // left open, as a careless migration may
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, migration)

		return err
	})
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })

	return conn
}

func count(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}

	return n
}

func TestEachTestHasItsOwn(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	urls := make([]string, 8)
	for i := range urls {
		all.Go(func() { urls[i] = URL(t) })
	}
	all.Wait()

	for i, url := range urls {
		conn := connect(t, url)
		if _, err := conn.Exec(t.Context(), "insert into things values ($1)", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if n := count(t, conn, "select count(*) from things"); n != 2 {
			t.Errorf("database %d has %d things", i, n)
		}
	}
}

func TestDatabaseIsDroppedUnderAConnection(t *testing.T) {
	t.Parallel()
	watcher := connect(t, URL(t))
	var name string

	t.Run("inner", func(t *testing.T) {
		conn, err := pgx.Connect(context.Background(), URL(t)) // stays open
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(context.Background(), "select current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
	})

	if n := count(t, watcher, "select count(*) from pg_database where datname = $1", name); n != 0 {
		t.Errorf("%s is still there", name)
	}
}

// In another process: this binary again, told to use our server.
func TestGivenServerIsLeftClean(t *testing.T) {
	t.Parallel()
	url := URL(t)
	admin := connect(t, url)
	stale := fmt.Sprintf("%s%d_gone_1", prefix, time.Now().Add(-2*staleAfter).Unix())
	if _, err := admin.Exec(t.Context(), "create database "+stale); err != nil {
		t.Fatal(err)
	}
	// Tests beside this one make databases too, so count only those of the other process.
	if _, err := admin.Exec(t.Context(), "create role other superuser login password 'other'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "drop role other"); err != nil {
			t.Error(err)
		}
	})
	other := strings.Replace(url, url[len("postgres://"):strings.Index(url, "@")], "other:other", 1)

	cmd := exec.Command(os.Args[0], "-test.run=TestEachTestHasItsOwn")
	cmd.Env = append(os.Environ(), "TEST_DATABASE_URL="+other)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	left := count(t, admin, `select count(*) from pg_database d join pg_roles r on r.oid = d.datdba
		where r.rolname = 'other' or d.datname = $1`, stale)
	if left != 0 {
		t.Errorf("%d databases are left", left)
	}
}

func TestFolderIsRemoved(t *testing.T) {
	t.Parallel()
	temp := t.TempDir() // mode 0700 above it, so root's server has to move elsewhere
	stale := filepath.Join(temp, prefix+"stale")
	if err := os.Mkdir(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(stale, time.Time{}, time.Now().Add(-2*staleAfter)); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(os.Args[0], "-test.run=TestEachTestHasItsOwn")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "TEST_DATABASE_URL=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestRedisIsPrivate(t *testing.T) {
	t.Parallel()
	one, two := client(t, Redis(t)), client(t, Redis(t))

	if err := one.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}

	if n := two.Exists(t.Context(), "key").Val(); n != 0 {
		t.Error("the other one sees it")
	}
}

func TestRedisGoesAndComesBack(t *testing.T) {
	t.Parallel()
	s := NewRedis(t)
	c := client(t, s.URL)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	s.Stop()
	s.Stop()
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("it answers although it is down")
	}
	s.Start()
	s.Start()

	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("it did not come back: %v", err)
	}
}

func TestRedisInProcess(t *testing.T) {
	t.Parallel()
	s := &RedisServer{t: t, addr: testport.For(t).Address()}
	if err := s.inProcess(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()

	if !ping(withDeadline(t), s.addr) {
		t.Error("it does not answer")
	}
}

func withDeadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), redisReady)
	t.Cleanup(cancel)

	return ctx
}

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries = -1
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })

	return c
}
