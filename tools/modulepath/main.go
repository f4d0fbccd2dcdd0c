// Command modulepath changes the module path of a fork: it rewrites go.mod, the
// imports, and the commands that name the path. Its arguments are the root of the
// repository and the new path.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A path that go get can fetch has a dot in its first element.
var valid = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9._~-]+)+$`)

func run(args []string) error {
	if len(args) != 2 || !valid.MatchString(args[1]) {
		return errors.New("say the root of the repository and a path such as example.com/acme/orders")
	}
	root, next := args[0], args[1]
	raw, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	old := strings.TrimPrefix(first, "module ")
	changed := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "node_modules"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || !names(d.Name()):
			return nil
		}
		done, err := rewrite(path, old, next)
		if done {
			changed++
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s is now %s in %d files.\n", old, next, changed)
	return nil
}

// names are patterns of the files in which the path is rewritten: sources, go.mod files, the
// templates of tools/newmodule, and build files.
func names(name string) bool {
	return slices.Contains([]string{"go.mod", "run", "Taskfile.yml", "Dockerfile", ".air.toml", ".golangci.yml"}, name) ||
		slices.Contains([]string{".go", ".tmpl"}, filepath.Ext(name))
}

func rewrite(path, old, next string) (done bool, err error) {
	raw, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(raw, []byte(old)) {
		return false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return true, os.WriteFile(path, bytes.ReplaceAll(raw, []byte(old), []byte(next)), info.Mode())
}
