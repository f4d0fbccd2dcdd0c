package embedded

import "syscall"

// PostgreSQL takes SIGINT for a fast shutdown.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
