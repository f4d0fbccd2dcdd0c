package users

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// apart gives a child a session of its own. Linux may share out time by session first
// (sched(7), autogroup): a child in ours would take of the time that is for orders.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// yieldToOthers lowers the priority of the calling thread, which on Linux is its own, and
// of its session. What it cannot do it leaves.
func yieldToOthers() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), niceness)
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(niceness)), 0)
}
