package embedded

import "syscall"

// dieWithParent sends SIGINT, which requests a fast shutdown of PostgreSQL.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
