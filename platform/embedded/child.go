//go:build unix

package embedded

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Spawn starts cmd in a process group of its own, so that a Ctrl-C in the terminal reaches us and not
// the servers that we still need for stopping. On Linux the kernel sends it SIGINT when this process
// dies, kill -9 included. The channel is closed when it has exited and was waited for.
func Spawn(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the output open

	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel's promise is about the thread that forked, so it must last as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its outcome is in cmd.ProcessState
			close(done)
		}
	}()

	return done, <-started
}

// run is cmd.Run for a child that must not outlive us.
func run(cmd *exec.Cmd) error {
	exited, err := Spawn(cmd)
	if err != nil {
		return err
	}
	<-exited
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s", cmd.ProcessState)
	}

	return nil
}
