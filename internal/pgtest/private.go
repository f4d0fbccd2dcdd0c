package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/orderflow-dev/orderflow/internal/embedded"
)

const (
	prefix     = "orderflow_test_"
	staleAfter = 3 * time.Hour // older than any test run; a younger one may be starting this moment
)

// settings turn off what is only needed after a crash.
var settings = map[string]string{
	"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
	"max_connections": "500", "shared_buffers": "128MB",
}

// startPrivate runs a server in a temporary folder. The function stop ends it and removes the
// folder.
func startPrivate(ctx context.Context) (address string, stop func() error, err error) {
	sweepFolders(ctx)
	parent, err := os.MkdirTemp(tempDir(), prefix+"*")
	if err != nil {
		return "", nil, err
	}
	// If the tests run as root, the server runs as another user, which must be able to enter the
	// folder.
	if err := os.Chmod(parent, 0o711); err != nil {
		return "", nil, err
	}
	pg, err := embedded.Start(ctx, embedded.Options{Dir: folder(parent), Settings: settings, NoSync: true})
	if err != nil {
		return "", nil, errors.Join(err, removeFolder(ctx, parent))
	}
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), cloneTimeout)
		defer cancel()

		return errors.Join(pg.Stop(ctx), removeFolder(ctx, parent))
	}

	return pg.URL(), stop, nil
}

func folder(parent string) string { return filepath.Join(parent, "pg") }

func removeFolder(ctx context.Context, parent string) error {
	return errors.Join(embedded.Remove(ctx, folder(parent)), os.RemoveAll(parent))
}

// sweepFolders removes the folders of killed test runs. It ignores errors, because they do not
// affect this run.
func sweepFolders(ctx context.Context) {
	parents, _ := filepath.Glob(filepath.Join(tempDir(), prefix+"*"))
	for _, parent := range parents {
		if info, err := os.Stat(parent); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = removeFolder(ctx, parent)
		}
	}
}

// newName returns a name that contains the time, for the sweep.
func newName() string {
	return fmt.Sprintf("%s%d_%s", prefix, time.Now().Unix(), strings.ToLower(rand.Text()[:8]))
}

func sweepDatabases(ctx context.Context, admin *pgx.Conn) error {
	rows, err := admin.Query(ctx, "select datname from pg_database where starts_with(datname, $1)", prefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		seconds, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "_")
		made, err := strconv.ParseInt(seconds, 10, 64)
		if err == nil && time.Since(time.Unix(made, 0)) > staleAfter {
			_, _ = admin.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
		}
	}

	return nil
}
