package world

import "syscall"

// ownGroup puts a child into a process group of its own, and lets the kernel
// kill it when its parent dies without a word.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
