//go:build unix

package embedded

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/testwait"
)

// F16: a second process gets the URL of the running server and changes nothing.
func TestAttach_F16(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for _, empty := range []string{dir, filepath.Join(dir, "below")} {
		if _, err := Attach(t.Context(), Options{Dir: empty}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("without a folder: %v", err)
		}
	}
	p := mustStart(t, throwAway(dir))
	before, err := os.ReadFile(filepath.Join(p.Dir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}

	url, err := Attach(t.Context(), Options{Dir: dir})

	if err != nil || url != p.URL() {
		t.Fatalf("got another URL, %v", err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	if after, err := os.ReadFile(filepath.Join(p.Dir(), "lock")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the lock has %q, then %q, %v", before, after, err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the stop: %v", err)
	}
}

// F16: a server that is still starting is waited for, also with the files that a killed owner left.
func TestAttachWaits_F16(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	p := mustStart(t, throwAway(dir))
	stale, err := os.ReadFile(filepath.Join(p.cluster.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.cluster.data(), "postmaster.pid"), stale, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cluster.as.chown(filepath.Join(p.cluster.data(), "postmaster.pid")); err != nil {
		t.Fatal(err)
	}
	_, its := ownElsewhere(t, dir)
	testwait.Until(t, "the other process to own the folder", func() bool { free, _ := isFree(p.Dir()); return !free })

	url, err := Attach(t.Context(), Options{Dir: dir})

	if want := its(); err != nil || url != want {
		t.Errorf("another URL, %v", err)
	}
}
