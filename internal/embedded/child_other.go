//go:build unix && !linux

package embedded

import "syscall"

// dieWithParent does nothing on this system. The next Start stops the server of a killed process.
func dieWithParent(*syscall.SysProcAttr) {}
