//go:build !linux

package users

import "os/exec"

func apart(*exec.Cmd) {}

// yieldToOthers does nothing on systems without thread priorities. The child still has its own
// Go runtime.
func yieldToOthers() {}
