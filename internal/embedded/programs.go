//go:build unix

package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// programs is a folder with initdb and postgres of one major version.
type programs struct {
	bin   string
	major int
}

func (p programs) path(name string) string { return filepath.Join(p.bin, name) }

// sources lists the places to search for programs.
type sources struct {
	first string   // preferred to the other folders, which are ordered by version
	globs []string // folders
	fetch func(ctx context.Context, as account, major string) (bin string, err error)
}

// defaultSources returns the usual folders of this machine, and a download for machines without
// PostgreSQL.
func defaultSources() sources {
	from := sources{
		globs: []string{
			"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
			"/usr/pgsql-*/bin",          // PostgreSQL's own RPMs
			"/usr/libexec/postgresql*",  // Alpine
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
		fetch: fetcher{repository: mavenCentral}.fetch,
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		from.first = filepath.Dir(path)
	}

	return from
}

// FindClient returns the path of a client program of PostgreSQL, such as psql: the one on the PATH, or that of the
// newest version in the usual folders. It returns "" when the machine has none.
func FindClient(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, glob := range defaultSources().globs {
		found, _ := filepath.Glob(filepath.Join(glob, name)) // sorted, and the patterns are constants
		for _, path := range slices.Backward(found) {
			if path, err := exec.LookPath(path); err == nil {
				return path
			}
		}
	}

	return ""
}

// find returns programs of the given major version, or those of the newest one when it is "".
func (s sources) find(ctx context.Context, as account, major string) (programs, error) {
	installed := s.installed(ctx, as)
	for _, p := range installed {
		if major == "" || major == strconv.Itoa(p.major) {
			return p, nil
		}
	}

	bin, err := s.fetch(ctx, as, major)
	if err == nil {
		var p programs
		if p, err = inspect(ctx, as, bin); err == nil {
			return p, nil
		}
	}
	if len(installed) > 0 {
		return programs{}, fmt.Errorf("the data were made by PostgreSQL %[1]s and this machine has %[2]s; install %[1]s "+
			"(Debian: apt-get install postgresql-%[1]s, Homebrew: brew install postgresql@%[1]s) or move the folder away; "+
			"fetching %[1]s: %[3]w", major, versions(installed), err)
	}

	return programs{}, fmt.Errorf("PostgreSQL is not installed and could not be fetched: %w; install it "+
		"(Debian: apt-get install postgresql, Homebrew: brew install postgresql) or set DATABASE_URL to a server", err)
}

func (s sources) installed(ctx context.Context, as account) []programs {
	var found []programs
	for _, glob := range s.globs {
		bins, _ := filepath.Glob(glob) // the patterns are constants
		for _, bin := range bins {
			if p, err := inspect(ctx, as, bin); err == nil {
				found = append(found, p)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b programs) int { return b.major - a.major })
	if p, err := inspect(ctx, as, s.first); err == nil {
		found = slices.Insert(found, 0, p)
	}

	return found
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect runs the server program for its version, which also proves that the account may run it.
func inspect(ctx context.Context, as account, bin string) (programs, error) {
	p := programs{bin: bin}
	if _, err := os.Stat(p.path("initdb")); err != nil {
		return p, err
	}
	out, err := as.command(ctx, p.path("postgres"), "--version").Output()
	if err != nil {
		return p, fmt.Errorf("%s --version: %w", p.path("postgres"), err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return p, fmt.Errorf("%s --version says %q", p.path("postgres"), out)
	}
	p.major, err = strconv.Atoi(string(m[1]))

	return p, err
}

func versions(all []programs) string {
	var names []string
	for _, p := range all {
		names = append(names, strconv.Itoa(p.major))
	}

	return strings.Join(names, ", ")
}
