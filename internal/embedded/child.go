//go:build unix

package embedded

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Spawn starts cmd in its own process group, so that Ctrl-C in the terminal reaches only this
// process, which still needs the servers while it stops. On Linux the kernel sends SIGINT to cmd
// when this process dies, even after kill -9. The channel is closed when cmd has exited and has
// been waited for.
func Spawn(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the output open

	started, done := make(chan error), make(chan struct{})
	go func() {
		// The parent-death signal is bound to the thread that forked, so that thread must outlive
		// the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the result is in cmd.ProcessState
			close(done)
		}
	}()

	return done, <-started
}

// run is cmd.Run for a child that must not outlive this process.
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
