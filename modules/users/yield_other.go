//go:build !linux

package users

import "os/exec"

func apart(*exec.Cmd) {}

// yieldToOthers does nothing where priorities are not those of threads. The child is
// still apart from the runtime that serves orders.
func yieldToOthers() {}
