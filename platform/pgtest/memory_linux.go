package pgtest

import (
	"os"
	"syscall"
)

const (
	memory   = "/dev/shm"
	roomNeed = 4 << 30 // bytes; containers often have 64 MB of it
)

// tempDir is in memory where there is room: a cloned database is a thousand small
// files, and to create and delete those is most of what a test costs on a disk.
func tempDir() string {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil {
		return os.TempDir()
	}
	const tmpfs = 0x01021994
	if fs.Type != tmpfs || uint64(fs.Bsize)*fs.Bavail < roomNeed {
		return os.TempDir()
	}
	return memory
}
