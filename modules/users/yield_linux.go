package users

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// apart gives a child its own session. Linux may distribute CPU time by session (sched(7),
// autogroup), and a child in the session of the parent would compete with orders.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// yieldToOthers lowers the priority of the calling thread, which Linux supports, and of its
// session. Errors are ignored.
func yieldToOthers() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), niceness)
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(niceness)), 0)
}
