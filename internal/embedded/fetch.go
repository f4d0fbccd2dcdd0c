//go:build unix

package embedded

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const (
	mavenCentral = "https://repo1.maven.org/maven2"
	fetchedMajor = "17" // for new data folders
)

var releases = map[string]embeddedpostgres.PostgresVersion{
	"18": embeddedpostgres.V18, "17": embeddedpostgres.V17, "16": embeddedpostgres.V16,
	"15": embeddedpostgres.V15, "14": embeddedpostgres.V14, "13": embeddedpostgres.V13,
}

type fetcher struct {
	repository string
	cache      string // the user's cache folder by default
}

// fetch returns the folder of the downloaded programs. It downloads them only if the cache lacks
// them.
func (f fetcher) fetch(ctx context.Context, as account, major string) (bin string, err error) {
	if major == "" {
		major = fetchedMajor
	}
	version, known := releases[major]
	if !known {
		return "", fmt.Errorf("there is no download of PostgreSQL %s", major)
	}
	cache, err := f.folder(as)
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(cache, "postgresql-"+major)
	bin = filepath.Join(unpacked, "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}

	work, err := os.MkdirTemp(cache, "fetch-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := f.download(ctx, version, major, work); err != nil {
		return "", err
	}
	err = os.Rename(filepath.Join(work, "programs"), unpacked)
	if _, statErr := os.Stat(bin); statErr == nil {
		return bin, nil // isOwnFolder, or those of a process that was faster
	}

	return "", err
}

func (f fetcher) folder(as account) (string, error) {
	if f.cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		f.cache = filepath.Join(user, "orderflow")
	}

	return as.makeFolder(f.cache)
}

// download uses the library because it knows where the programs are published and how they are
// packed. The library can download only as a part of starting a server. It therefore gets a data
// folder that contains nothing but PG_VERSION: it then does not create a cluster, and the start of
// the server fails. Everything that it may delete is below work.
func (f fetcher) download(ctx context.Context, version embeddedpostgres.PostgresVersion, major, work string) error {
	nothing := filepath.Join(work, "nothing")
	if err := os.Mkdir(nothing, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(nothing, "PG_VERSION"), []byte(major+"\n"), 0o600); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(version).BinaryRepositoryURL(f.repository).Port(uint32(number)).Logger(io.Discard).
		CachePath(work).RuntimePath(filepath.Join(work, "runtime")).
		BinariesPath(filepath.Join(work, "programs")).DataPath(nothing))

	tried := make(chan error, 1) // the library takes no context: after Ctrl-C it ends with the process
	go func() { tried <- library.Start() }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err = <-tried:
	}
	if _, statErr := os.Stat(filepath.Join(work, "programs", "bin", "postgres")); statErr == nil {
		return nil
	}

	return fmt.Errorf("fetch PostgreSQL %s: %w", major, err)
}
