//go:build unix

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// acquire takes the lock of a data folder. The kernel releases it when the process ends, so nothing
// has to be cleaned up after kill -9. The file is never removed, because two owners could then lock
// two different files.
func acquire(home string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		b, _ := io.ReadAll(f)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))

		return nil, &InUseError{Dir: home, PID: pid}
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		f.Close()

		return nil, err
	}

	return f, nil
}

// tryLock retries for a moment, because a child between fork and exec still holds the files that
// its parent has just closed.
func tryLock(f *os.File) (err error) {
	for range 10 {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		time.Sleep(30 * time.Millisecond) //nolint:forbidigo // there is nothing to wait on
	}
	return err
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)

	return err
}

// stopOrphan stops the server of an owner that was killed. The caller holds the lock, so no live
// owner exists. It signals a process only if it is a postgres on exactly this folder.
func stopOrphan(ctx context.Context, data string) error {
	file := filepath.Join(data, "postmaster.pid")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	if err != nil || pid <= 1 || !alive(pid) {
		return nil //nolint:nilerr // PostgreSQL itself clears away a stale file
	}
	if !serves(pid, data) {
		return replaceStalePID(file, rest)
	}
	for deadline, hard := time.Now().Add(15*time.Second), time.Now().Add(10*time.Second); serves(pid, data); {
		signal := syscall.SIGINT
		if time.Now().After(hard) {
			signal = syscall.SIGQUIT
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres %d, left behind by a killed process, does not stop", pid)
		}
		_ = syscall.Kill(pid, signal)
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}

	return nil
}

// replaceStalePID prevents a postmaster.pid with the number of an unrelated process from blocking the start.
// It writes the pid of this process, which PostgreSQL treats as stale because it is its parent;
// PostgreSQL then still checks the shared memory named in the file, which a removal of the file
// would skip.
func replaceStalePID(file string, rest []byte) error {
	// The folder belongs to the user of the server, which must not redirect root with a symbolic
	// link.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d\n%s", os.Getpid(), rest)

	return errors.Join(err, f.Close())
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)

	return err == nil || errors.Is(err, syscall.EPERM)
}

func serves(pid int, data string) bool {
	line := commandLine(pid) + " "
	program, _, _ := strings.Cut(line, " ")

	return filepath.Base(program) == "postgres" && strings.Contains(line, " -D "+data+" ")
}

func commandLine(pid int) string {
	if runtime.GOOS == "linux" {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))

		return strings.ReplaceAll(string(b), "\x00", " ")
	}
	b, _ := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()

	return strings.TrimSpace(string(b))
}
