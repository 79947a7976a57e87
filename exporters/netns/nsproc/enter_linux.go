package nsproc

import (
	"fmt"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// within runs f on a thread that is in the namespace, and brings the thread
// back. It takes CAP_SYS_ADMIN. A thread that cannot be brought back is never
// used again: its goroutine stays locked to it, so the runtime ends it with that
// goroutine. The main thread is never taken: /proc/self/net is its namespace, and
// the runtime could not end it.
func (n *Namespace) within(proc, root string, f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		done := make(chan error)
		go func() { done <- n.within(proc, root, f) }() // we hold the main thread: this is another
		err := <-done
		runtime.UnlockOSThread()
		return err
	}
	home, err := unix.Open(proc+"/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open our namespace: %w", err)
	}
	defer func() { _ = unix.Close(home) }()
	if err := n.enter(proc, root); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
		return fmt.Errorf("leave namespace: %w", back) // still locked: the thread ends
	}
	runtime.UnlockOSThread()
	return err
}

// enter moves the thread into the namespace, after a look whether it is still this one.
func (n *Namespace) enter(proc, root string) error {
	path := root + n.mount
	if n.pids[0] != 0 {
		path = proc + "/" + strconv.Itoa(int(n.pids[0])) + "/ns/net"
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("stat namespace: %w", err)
	}
	if stat.Ino != n.inode {
		return errGone
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	return nil
}
