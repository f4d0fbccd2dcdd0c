//go:build unix && !linux

package embedded

import "syscall"

// No such promise here: the next Start stops what a killed owner left behind.
func dieWithParent(*syscall.SysProcAttr) {}
