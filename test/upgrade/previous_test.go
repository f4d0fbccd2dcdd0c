package upgrade_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/orderflow-dev/orderflow/test/program"
)

// previousVersion builds the version before the newest change of the schema and returns the path
// of its binary. It skips the test if the history of the repository is not available.
func previousVersion(t *testing.T, root, dir string) (binary string) {
	t.Helper()
	commit, err := previousCommit(t.Context(), root)
	if err != nil {
		t.Skip("the previous version is unknown: ", err)
	}
	source := filepath.Join(dir, "source")
	if err := checkOut(t.Context(), root, commit, source); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "previous")
	// Without -trimpath the folder would be part of the key of the build cache.
	if err := program.BuildAt(t.Context(), source, binary, "-trimpath"); err != nil {
		t.Skipf("the previous version %s cannot be built here: %v", commit, err)
	}
	t.Logf("the previous version is %s", commit)
	return binary
}

// previousCommit returns the newest commit of the first-parent history whose migrations are the
// first ones of those in the working tree. It passes over commits that lack a migration with a
// lower number than one that they have, as between two merges of branches: no database of a release
// has that schema, and "migrate" refuses it. It also passes over commits in which a common migration
// has other statements: such a migration was edited before its release, and no database of a
// release has its earlier form.
func previousCommit(ctx context.Context, root string) (string, error) {
	if text, err := git(ctx, root, nil, "rev-parse", "--show-prefix"); err != nil || text != "" {
		return "", fmt.Errorf("%s is not the top folder of a git repository: %w", root, err)
	}
	shallow, err := git(ctx, root, nil, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return "", err
	}
	now, err := workingTree(root)
	if err != nil {
		return "", err
	}
	commits, err := git(ctx, root, nil, "log", "--first-parent", "--format=%H")
	if err != nil {
		return "", err
	}
	blobs := map[string]string{} // the statements by blob, since most commits have the same files
	for commit := range strings.FieldsSeq(commits) {
		then, err := committed(ctx, root, commit, blobs)
		if err != nil {
			return "", err
		}
		if isBeginning(then, now) {
			return commit, nil
		}
	}
	return "", fmt.Errorf("no commit of the history (shallow: %s) has fewer migrations", shallow)
}

func isBeginning(then, now map[string]string) bool {
	last := 0
	for number, statements := range then {
		if now[number] != statements {
			return false
		}
		n, _ := strconv.Atoi(number)
		last = max(last, n)
	}
	for number := range now {
		if n, _ := strconv.Atoi(number); n < last && then[number] == "" {
			return false
		}
	}
	return len(then) > 0 && len(then) < len(now)
}

// workingTree returns the statements of each migration by its number.
func workingTree(root string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "migrations", "*.sql"))
	if err != nil {
		return nil, err
	}
	list := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		list[number(file)] = statements(string(text))
	}
	return list, nil
}

// committed is workingTree for a commit.
func committed(ctx context.Context, root, commit string, blobs map[string]string) (map[string]string, error) {
	files, err := git(ctx, root, nil, "ls-tree", commit, "migrations/")
	if err != nil {
		return nil, err
	}
	list := map[string]string{}
	for line := range strings.Lines(files) {
		about, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		fields := strings.Fields(about) // mode, type and id
		if path.Ext(name) != ".sql" || len(fields) != 3 {
			continue
		}
		if _, read := blobs[fields[2]]; !read {
			text, err := git(ctx, root, nil, "cat-file", "blob", fields[2])
			if err != nil {
				return nil, err
			}
			blobs[fields[2]] = statements(text)
		}
		list[number(name)] = blobs[fields[2]]
	}
	return list, nil
}

func number(file string) string {
	digits, _, _ := strings.Cut(filepath.Base(file), "_")
	return digits
}

var comment = regexp.MustCompile(`(?m)--( [^+].*| ?)$`) // but not "-- +goose Up"

// statements returns a migration without its comments and line breaks.
func statements(text string) string {
	return strings.Join(strings.Fields(comment.ReplaceAllString(text, "")), " ")
}

// checkOut writes the files of a commit to a folder. It uses an index of its own instead of "git
// worktree", which would leave an entry in the repository if the test were killed.
func checkOut(ctx context.Context, root, commit, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	index := map[string]string{"GIT_INDEX_FILE": to + ".index"}
	if _, err := git(ctx, root, index, "read-tree", commit); err != nil {
		return err
	}
	_, err := git(ctx, root, index, "checkout-index", "--all", "--prefix="+to+"/")
	return err
}

func git(ctx context.Context, root string, env map[string]string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = root, os.Environ()
	for name := range maps.Keys(env) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	text, err := cmd.Output()
	if err != nil {
		var said string
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output does not wrap it
			said = string(exit.Stderr)
		}
		return "", fmt.Errorf("git %s: %w %s", args[0], err, said)
	}
	return strings.TrimSpace(string(text)), nil
}

// The previous version is found by statements, so that a reworded comment is no change of the
// schema and an edited column is one.
func TestPreviousIsFoundByStatements(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, then, now string
		same            bool
	}{
		{"a comment", "-- Old words.\nalter table a add b int; -- why\n", "-- New.\n-- More.\nalter table a\n    add b int;", true},
		{"a column", "alter table a add b int;", "alter table a add c int;", false},
		{"an annotation", "-- +goose Up\nselect 1;", "-- +goose Down\nselect 1;", false},
	} {
		if got := statements(row.then) == statements(row.now); got != row.same {
			t.Errorf("%s: %q and %q", row.name, statements(row.then), statements(row.now))
		}
	}

	one, two := map[string]string{"1": "a"}, map[string]string{"1": "a", "2": "b"}
	if !isBeginning(one, two) || isBeginning(two, two) || isBeginning(map[string]string{"1": "x"}, two) || isBeginning(map[string]string{"2": "b"}, two) || isBeginning(nil, two) {
		t.Error("the previous version has fewer migrations, and those that it has are the first of the present ones")
	}
}
