//go:build unix

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Copy replaces the cluster in to by a copy of the cluster in from, which must be stopped, as a
// cold backup does: both have the same system identifier and password. It deletes the previous
// content of to. It returns an *InUseError while a live process owns either of them.
func Copy(ctx context.Context, from, to string) error {
	source, as, err := chooseHome(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	target, _, err := chooseHome(to)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	first, err := acquire(source)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	defer first.Close()
	second, err := acquire(target)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	defer second.Close()
	if err := errors.Join(stopOrphan(ctx, filepath.Join(source, dataName)), stopOrphan(ctx, filepath.Join(target, dataName))); err != nil {
		return err
	}

	a, b := cluster{home: source, as: as}, cluster{home: target, as: as}
	for _, pair := range [][2]string{{a.data(), b.data()}, {a.passwordFile(), b.passwordFile()}} {
		if err := os.RemoveAll(pair[1]); err != nil {
			return err
		}
		// Runs as this process and not as the account, which may not write into the folders of this
		// process. The owner of the files is kept.
		cmd := account{}.command(ctx, "cp", "-a", pair[0], pair[1])
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("copy %s: %w\n%s", pair[0], err, bytes.TrimSpace(out))
		}
	}

	return nil
}

// configureStandby configures the next start as a standby. A promotion removes this configuration.
func (c cluster) configureStandby(primary string) error {
	if primary == "" {
		return nil
	}
	conf, err := os.OpenFile(filepath.Join(c.data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no copy of the primary: %w", err)
	}
	if err != nil {
		return err
	}
	// The last line wins. The command line would expose the password to other users.
	_, err = fmt.Fprintf(conf, "primary_conninfo = '%s'\n", strings.ReplaceAll(primary, "'", "''"))
	if err := errors.Join(err, conf.Close()); err != nil {
		return err
	}
	signal := filepath.Join(c.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}

	return c.as.chown(signal)
}
