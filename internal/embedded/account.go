//go:build unix

package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const note = "WHERE.txt"

// fallbackDirs are the parents of data folders that the user of the server cannot enter at the given
// place. Both survive a reboot.
var fallbackDirs = []string{"/var/lib/orderflow", "/var/tmp/orderflow"}

// account is the user that runs PostgreSQL: the user of this process, or an unprivileged user if
// this process runs as root, because PostgreSQL refuses to run as root.
type account struct {
	credential *syscall.Credential // nil: the user of this process
}

// chooseHome chooses the place of the files of a data folder and the account that runs the server.
func chooseHome(dir string) (home string, as account, err error) {
	as, err = owner(filepath.Join(dir, dataName))
	if err != nil {
		return "", as, err
	}
	home, err = as.makeFolder(dir)
	if err != nil {
		return "", as, err
	}
	as, err = owner(filepath.Join(home, dataName))

	return home, as, err
}

// owner returns the account that owns the data, so that root can start a server that a user
// created.
func owner(data string) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	if info, err := os.Stat(data); err == nil {
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 {
			return account{&syscall.Credential{Uid: st.Uid, Gid: st.Gid}}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}

	return account{}, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody")
}

// makeFolder creates dir and returns its absolute path. If the account cannot enter it, for example
// below a home of mode 0700, place returns a folder below bases instead. It does not change the
// modes of existing folders.
func (a account) makeFolder(dir string) (string, error) {
	dir, err := makeDir(dir)
	if err != nil || a.credential == nil {
		return dir, err
	}
	if _, err := os.Lstat(filepath.Join(dir, note)); err != nil && a.canEnter(dir) {
		return dir, nil
	}
	if _, err := os.Lstat(filepath.Join(dir, dataName)); err == nil {
		return "", fmt.Errorf("user %d, who owns the data, cannot enter the folder", a.credential.Uid)
	}

	return a.elsewhere(dir)
}

func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	if err := openDir(dir); err != nil {
		return "", err
	}

	return filepath.EvalSymlinks(dir)
}

// openDir creates a folder that other users may enter, for any umask.
func openDir(dir string) error {
	err := os.Mkdir(dir, 0o711)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}

	return os.Chmod(dir, 0o711)
}

func (a account) elsewhere(dir string) (string, error) {
	sum := sha256.Sum256([]byte(dir))
	for _, base := range fallbackDirs {
		if openDir(base) != nil || !isOwnFolder(base) || !a.canEnter(base) {
			continue
		}
		home := filepath.Join(base, hex.EncodeToString(sum[:6]))
		if err := openDir(home); err != nil {
			return "", err
		}
		said := fmt.Sprintf("PostgreSQL runs as user %d, who cannot enter this folder. Its files are in\n%s\n", a.credential.Uid, home)

		return home, os.WriteFile(filepath.Join(dir, note), []byte(said), 0o644)
	}

	return "", fmt.Errorf("user %d can enter neither it nor any of %v", a.credential.Uid, fallbackDirs)
}

// isOwnFolder rejects a folder in /var/tmp that another user created.
func isOwnFolder(dir string) bool {
	info, err := os.Lstat(dir)

	return err == nil && info.IsDir() && info.Mode().Perm()&0o022 == 0 && info.Sys().(*syscall.Stat_t).Uid == 0
}

// canEnter asks the kernel instead of interpreting modes, so that ACLs and mounts count as well.
func (a account) canEnter(dir string) bool {
	cmd := a.command(context.Background(), "/bin/sh", "-c", ":")
	cmd.Dir = dir

	return cmd.Run() == nil
}

// chown gives a file that this process created to the account.
func (a account) chown(path string) error {
	if a.credential == nil {
		return nil
	}

	return os.Lchown(path, int(a.credential.Uid), int(a.credential.Gid))
}

// command returns a command that runs as the account, in a folder that every user can enter. It
// passes no environment, because PG* variables would change the behaviour of the program, and the
// secrets of this process must not leak to it.
func (a account) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}

	return cmd
}
