//go:build unix

package embedded

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/orderflow-dev/orderflow/internal/syncbuf"
)

// supervise runs Run and returns its error.
func supervise(t *testing.T, p *Postgres, log *slog.Logger) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context(), log) }()

	return ended
}

// kill kills the present process of the server and waits until it has exited.
func kill(t *testing.T, p *Postgres) {
	t.Helper()
	s := p.running()
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.done
}

// SPEC F1: a server that was killed is started again at the same URL with all committed data,
// and no other process can take its folder afterwards.
func TestKilledServerIsStartedAgain_F1(t *testing.T) {
	t.Parallel()
	p := mustStart(t, throwAway(folder(t)))
	var said syncbuf.Buffer
	ended := supervise(t, p, slog.New(slog.NewTextHandler(&said, nil)))
	url := p.URL()
	exec1(t, url, "create table kept (n int); insert into kept values (1)")

	for range 2 {
		kill(t, p)
		eventually(t, "the server to be back", func() bool {
			select {
			case <-p.Done():
				return false
			default:
				return true
			}
		})
	}

	if p.URL() != url || query1(t, url, "select count(*)::text from kept") != "1" {
		t.Errorf("it came back at %s, with other data", p.URL())
	}
	if n := strings.Count(said.String(), "exited and was started again"); n != 2 || !strings.Contains(said.String(), "killed") {
		t.Errorf("the log is %s", said.String())
	}
	if _, err := Start(t.Context(), throwAway(p.Dir())); err == nil {
		t.Error("another owner can have the folder")
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run after Stop: %v", err)
	}
}

// A server that cannot be started again, or does not stay, ends Run with the reason.
func TestLastingFaultEndsRun(t *testing.T) {
	t.Parallel()
	broken, flapping := mustStart(t, throwAway(folder(t))), mustStart(t, throwAway(folder(t)))
	brokenEnded, flappingEnded := supervise(t, broken, slog.New(slog.DiscardHandler)), supervise(t, flapping, slog.New(slog.DiscardHandler))

	if err := os.Rename(filepath.Join(broken.Dir(), "data", "global"), filepath.Join(broken.Dir(), "global")); err != nil {
		t.Fatal(err)
	}
	kill(t, broken)
	if err := <-brokenEnded; err == nil || !strings.Contains(err.Error(), "cannot be started again") || !strings.Contains(err.Error(), "global/pg_control") {
		t.Errorf("a server without its catalogue: %v", err)
	}

	for range maxRestarts {
		before := flapping.running()
		kill(t, flapping)
		eventually(t, "the server to be back", func() bool { return flapping.running() != before })
	}
	kill(t, flapping)
	if err := <-flappingEnded; err == nil || !strings.Contains(err.Error(), "exited 6 times within 1m0s") {
		t.Errorf("a server that does not stay: %v", err)
	}
}

// A context that ends leaves the server to Stop.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := mustStart(t, throwAway(folder(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := p.Run(ctx, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}

	if got := query1(t, p.URL(), "select '1'"); got != "1" {
		t.Errorf("the server answers %q", got)
	}
}
