//go:build unix

package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	superuser = "orderflow"
	dataName  = "data"
)

// defaults are for a developer's machine with two cores. They keep fsync on, so commits are
// durable.
var defaults = map[string]string{
	"listen_addresses":        "127.0.0.1",
	"unix_socket_directories": "", // Debian's default folder need not exist, and a path is limited to 107 bytes
	"max_connections":         "200",
	"shared_buffers":          "256MB",
	"max_wal_size":            "2GB",
	"jit":                     "off", // it costs more than it saves for short statements
	"timezone":                "UTC",
	"log_timezone":            "UTC",
}

// cluster is the content of a data folder: data/, the password, the lock and the log.
type cluster struct {
	home string
	as   account
}

func (c cluster) data() string         { return filepath.Join(c.home, dataName) }
func (c cluster) passwordFile() string { return filepath.Join(c.home, "password") }

// major returns the PostgreSQL version of the data, as in PG_VERSION, or "" when there are none.
func (c cluster) major() (string, error) {
	b, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Lstat(c.data()); err == nil {
		return "", fmt.Errorf("%s is there but holds no PostgreSQL data; move it away", c.data())
	}

	return "", nil
}

// create initializes the data if there are none. It renames the finished folder in one step, so a
// kill during creation leaves only a data.new, which the next start deletes.
func (c cluster) create(ctx context.Context, in programs, noSync bool) error {
	if major, err := c.major(); err != nil || major != "" {
		return err
	}
	if err := c.createPassword(); err != nil {
		return err
	}
	fresh := c.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	if err := c.as.chown(fresh); err != nil {
		return err
	}

	args := []string{
		"--pgdata=" + fresh, "--username=" + superuser, "--pwfile=" + c.passwordFile(),
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--data-checksums",
	}
	if noSync {
		args = append(args, "--no-sync")
	}
	var out bytes.Buffer
	cmd := c.as.command(ctx, in.path("initdb"), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := run(cmd); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out.String())
	}

	return os.Rename(fresh, c.data())
}

// createPassword keeps an existing password, because a killed initdb may already have used it.
func (c cluster) createPassword() error {
	if _, err := os.Lstat(c.passwordFile()); err == nil {
		return nil
	}
	fresh := c.passwordFile() + ".new"
	if err := os.WriteFile(fresh, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	if err := c.as.chown(fresh); err != nil { // initdb reads it
		return err
	}

	return os.Rename(fresh, c.passwordFile())
}

func (c cluster) password() (string, error) {
	b, err := os.ReadFile(c.passwordFile())

	return strings.TrimSpace(string(b)), err
}

func (c cluster) args(port string, settings map[string]string) []string {
	all := maps.Clone(defaults)
	maps.Copy(all, settings)
	all["port"] = port
	args := []string{"-D", c.data()}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}

	return args
}
