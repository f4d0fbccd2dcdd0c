package pgtest

import (
	"os"
	"syscall"
)

const (
	memory   = "/dev/shm"
	minSpace = 4 << 30 // bytes; containers often have 64 MB
)

// tempDir is in memory if there is space. A cloned database is a thousand small files; on a disk,
// most of the time of a test is spent on creating and deleting them.
func tempDir() string {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil {
		return os.TempDir()
	}
	const tmpfs = 0x01021994
	if fs.Type != tmpfs || uint64(fs.Bsize)*fs.Bavail < minSpace {
		return os.TempDir()
	}
	return memory
}
