//go:build unix

package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testport"
	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// ownerEnv makes this test binary an owner of the folder it names, for tests that kill one.
const ownerEnv = "EMBEDDED_TEST_OWNER_OF"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		own(dir)

		return
	}
	os.Exit(m.Run())
}

func own(dir string) {
	p, err := Start(context.Background(), throwAway(dir))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it, or kills us
	_ = p.Stop(context.Background())
}

func throwAway(dir string) Options { return Options{Dir: dir, NoSync: true} }

// folder is a data folder that the server's user can enter; those of t.TempDir are mode 0700.
func folder(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "embedded-test-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(Remove(context.Background(), filepath.Join(parent, "pg")), os.RemoveAll(parent)); err != nil {
			t.Error(err)
		}
	})

	return filepath.Join(parent, "pg")
}

func mustStart(t *testing.T, o Options) *Postgres {
	t.Helper()
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})

	return p
}

// startOwner runs another process that owns dir and returns it with the address of its server.
func startOwner(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd, url := ownElsewhere(t, dir)
	return cmd, url()
}

// ownElsewhere runs another process that owns dir, and ends with the test. url waits for the address of
// its server.
func ownElsewhere(t *testing.T, dir string) (cmd *exec.Cmd, url func() string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	return cmd, func() string {
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "postgres://") {
			t.Fatalf("the owner says %q: %v", line, err)
		}
		return strings.TrimSpace(line)
	}
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func query1(t *testing.T, url, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}

	return answer
}

func wantKept(t *testing.T, url string) {
	t.Helper()
	if got := query1(t, url, "select word from kept"); got != "kept" {
		t.Fatalf("the row is %q", got)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	testwait.Until(t, what, is)
}

const keep = "create table kept as select 'kept' as word"

// F1: data stay between runs.
func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	dir := folder(t)

	p := mustStart(t, Options{Dir: dir, NoSync: true, Settings: map[string]string{"max_connections": "17"}})
	exec1(t, p.URL(), keep)
	if got := query1(t, p.URL(), "show max_connections"); got != "17" {
		t.Errorf("max_connections is %s", got)
	}
	if got := query1(t, p.URL(), "show fsync"); got != "on" {
		t.Errorf("fsync is %s", got)
	}
	for range 2 {
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-p.Done()

	begun := time.Now()
	p = mustStart(t, Options{Dir: dir})
	t.Logf("a warm start takes %s", time.Since(begun))
	wantKept(t, p.URL())
}

func TestPasswordIsNeeded(t *testing.T) {
	t.Parallel()
	p := mustStart(t, throwAway(folder(t)))

	_, err := pgx.Connect(t.Context(), strings.Replace(p.URL(), p.password, "guess", 1))

	if err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Fatalf("a wrong password gets %v", err)
	}
	for _, name := range []string{"password", "server.log"} {
		info, err := os.Stat(filepath.Join(p.Dir(), name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", name, info.Mode(), err)
		}
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	owner, url := startOwner(t, dir)
	exec1(t, url, keep)

	_, err := Start(t.Context(), throwAway(dir))

	var inUse *InUseError
	if !errors.Is(err, ErrInUse) || !errors.As(err, &inUse) || inUse.PID != owner.Process.Pid {
		t.Fatalf("want in use by %d, got %v", owner.Process.Pid, err)
	}
	if err := Remove(t.Context(), dir); !errors.Is(err, ErrInUse) {
		t.Fatalf("remove: %v", err)
	}
	wantKept(t, url)
}

func TestStartAfterOwnerWasKilled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	owner, url := startOwner(t, dir)
	exec1(t, url, keep)

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // its server is still shutting down
	p := mustStart(t, Options{Dir: dir})

	wantKept(t, p.URL())
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("the killed owner's server still answers")
	}
}

func TestServerDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("only Linux tells a child that its parent died")
	}
	owner, url := startOwner(t, folder(t))

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	eventually(t, "the server goes", func() bool {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			conn.Close(t.Context())
		}

		return err != nil
	})
}

func TestOrphanIsStopped(t *testing.T) {
	t.Parallel()
	p := mustStart(t, throwAway(folder(t)))
	exec1(t, p.URL(), keep)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As on a system that does not end children with their parent.
	orphan := p.cluster.as.command(context.Background(), p.cmd.Path, p.cluster.args(p.port, nil)...)
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- orphan.Wait() }()
	eventually(t, "the orphan answers", func() bool {
		conn, err := pgx.Connect(t.Context(), p.URL())
		if err == nil {
			conn.Close(t.Context())
		}

		return err == nil
	})

	p = mustStart(t, throwAway(p.Dir()))

	wantKept(t, p.URL())
	if err := <-gone; err != nil {
		t.Errorf("the orphan was not shut down cleanly: %v", err)
	}
}

func TestPidFileOfAnotherProcess(t *testing.T) {
	t.Parallel()
	p := mustStart(t, throwAway(folder(t)))
	pidFile := filepath.Join(p.cluster.data(), "postmaster.pid")
	before, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	bystander := p.cluster.as.command(context.Background(), "/bin/cat")
	stdin, err := bystander.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(before), "\n")
	stale := fmt.Sprintf("%d\n%s", bystander.Process.Pid, rest)
	if err := errors.Join(os.WriteFile(pidFile, []byte(stale), 0o600), p.cluster.as.chown(pidFile)); err != nil {
		t.Fatal(err)
	}

	p = mustStart(t, throwAway(p.Dir()))

	query1(t, p.URL(), "select 'up'")
	stdin.Close()
	if err := bystander.Wait(); err != nil {
		t.Errorf("the bystander was hit: %v", err)
	}
}

func TestCrashIsSeen(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	p := mustStart(t, throwAway(dir))
	exec1(t, p.URL(), keep)

	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()

	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("stop of a dead server: %v", err)
	}
	wantKept(t, mustStart(t, throwAway(dir)).URL())
}

func TestStopInAHurry(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	p := mustStart(t, throwAway(dir))
	exec1(t, p.URL(), keep)
	late, cancel := context.WithCancel(t.Context())
	cancel()

	if err := p.Stop(late); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}

	<-p.Done()
	wantKept(t, mustStart(t, throwAway(dir)).URL())
}

func TestHalfMadeClusterIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	half := filepath.Join(dir, "data.new", "base")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}

	p := mustStart(t, throwAway(dir))

	query1(t, p.URL(), "select 'up'")
	if _, err := os.Stat(filepath.Join(p.Dir(), "data.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half made cluster is still there: %v", err)
	}
}

func TestInitdbIsCancelled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		fresh, _ := filepath.Glob(filepath.Join(dir, "data.new", "*"))
		for len(fresh) == 0 && pause(t.Context(), time.Millisecond) == nil {
			fresh, _ = filepath.Glob(filepath.Join(dir, "data.new", "*"))
		}
	}()

	if _, err := Start(ctx, throwAway(dir)); err == nil {
		t.Fatal("started although it was cancelled")
	}

	query1(t, mustStart(t, throwAway(dir)).URL(), "select 'up'")
}

func TestBadSettingIsExplained(t *testing.T) {
	t.Parallel()
	dir := folder(t)

	_, err := Start(t.Context(), Options{Dir: dir, NoSync: true, Settings: map[string]string{"work_mem": "plenty"}})

	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "work_mem"`) {
		t.Fatalf("got %v", err)
	}
	mustStart(t, throwAway(dir)) // nothing holds the folder
}

func TestFolderOutOfReach(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, ".orderflow", "postgres")
	t.Cleanup(func() {
		if err := Remove(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})

	p := mustStart(t, throwAway(dir))
	exec1(t, p.URL(), keep)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	if strings.HasPrefix(p.Dir(), private) {
		t.Errorf("data are in %s", p.Dir())
	}
	said, err := os.ReadFile(filepath.Join(dir, note))
	if err != nil || !strings.Contains(string(said), p.Dir()) {
		t.Errorf("the note says %q: %v", said, err)
	}
	if info, _ := os.Stat(private); info.Mode().Perm() != 0o700 {
		t.Errorf("the parent has mode %v", info.Mode())
	}
	wantKept(t, mustStart(t, throwAway(dir)).URL())
}

func TestCrashAndBackWhereItWas(t *testing.T) {
	t.Parallel()
	o := throwAway(folder(t))
	o.Port = testport.For(t).String()
	first := mustStart(t, o)
	exec1(t, first.URL(), keep)

	first.Crash()
	first.Crash()
	again := mustStart(t, o)

	if again.URL() != first.URL() {
		t.Errorf("it came back at %s", again.URL())
	}
	wantKept(t, again.URL())
}
