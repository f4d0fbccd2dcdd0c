//go:build unix

package embedded

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var errOffline = errors.New("no network")

func offline(context.Context, account, string) (string, error) { return "", errOffline }

func TestNoProgramsNamesThePackages(t *testing.T) {
	t.Parallel()

	_, err := start(t.Context(), throwAway(folder(t)), sources{fetch: offline})

	if !errors.Is(err, errOffline) {
		t.Errorf("the reason is lost: %v", err)
	}
	for _, advice := range []string{"apt-get install postgresql", "brew install postgresql", "DATABASE_URL"} {
		if err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("%q is missing: %v", advice, err)
		}
	}
}

func TestOtherMajorVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	version := filepath.Join(dir, "data", "PG_VERSION")
	if err := errors.Join(os.MkdirAll(filepath.Dir(version), 0o755), os.WriteFile(version, []byte("12\n"), 0o600)); err != nil {
		t.Fatal(err)
	}

	from := defaultSources()
	from.fetch = offline
	_, err := start(t.Context(), throwAway(dir), from)

	if err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 12") || !strings.Contains(err.Error(), "postgresql-12") {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "data", "*"))
	if b, _ := os.ReadFile(version); string(b) != "12\n" || len(left) != 1 {
		t.Errorf("the data were touched: %q %v", b, left)
	}
}

func TestFolderWithOtherThingsIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	thing := filepath.Join(dir, "data", "thing")
	if err := os.MkdirAll(thing, 0o755); err != nil {
		t.Fatal(err)
	}

	_, err := Start(t.Context(), throwAway(dir))

	if err == nil || !strings.Contains(err.Error(), "no PostgreSQL data") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(thing); err != nil {
		t.Error(err)
	}
}

// The library may fetch and unpack, and must not get as far as making or running a cluster.
func TestProgramsAreFetched(t *testing.T) {
	t.Parallel()
	archive := archiveOfScripts(t)
	requests := 0
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			fmt.Fprintf(w, "%x", sha256.Sum256(archive))

			return
		}
		requests++
		_, _ = w.Write(archive)
	}))
	defer repository.Close()
	f := fetcher{repository: repository.URL, cache: filepath.Join(filepath.Dir(folder(t)), "cache")}
	from := sources{fetch: f.fetch}

	for range 2 {
		p, err := from.find(t.Context(), account{}, "")
		if err != nil {
			t.Fatal(err)
		}
		if p.major != 17 || !strings.HasPrefix(p.bin, f.cache) {
			t.Errorf("found %+v", p)
		}
		if ran, _ := filepath.Glob(filepath.Join(p.bin, "*.ran")); len(ran) > 0 {
			t.Errorf("the library ran %v", ran)
		}
	}

	if requests != 1 {
		t.Errorf("fetched %d times", requests)
	}
	if left, _ := filepath.Glob(filepath.Join(f.cache, "fetch-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestFetchIsRefused(t *testing.T) {
	t.Parallel()
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()

	_, err := fetcher{repository: repository.URL, cache: t.TempDir()}.fetch(t.Context(), account{}, "16")

	if err == nil || !strings.Contains(err.Error(), "fetch PostgreSQL 16") {
		t.Fatalf("got %v", err)
	}
}

// archiveOfScripts is a jar as the library expects it, with scripts for programs. pg_ctl fails, as the
// real one does on a folder without a cluster.
func archiveOfScripts(t *testing.T) []byte {
	t.Helper()
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("needs xz to pack")
	}
	dir := t.TempDir()
	scripts := map[string]string{
		"initdb":   "touch $0.ran",
		"postgres": "echo 'postgres (PostgreSQL) 17.5'",
		"pg_ctl":   "exit 1",
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	txz, err := exec.Command("tar", "-C", dir, "-cJf", "-", "bin").Output()
	if err != nil {
		t.Fatal(err)
	}

	var jar strings.Builder
	w := zip.NewWriter(&jar)
	entry, err := w.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write(txz); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	return []byte(jar.String())
}
