package nsproc

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// within runs f on a thread that is in the namespace, and brings the thread
// back. It takes CAP_SYS_ADMIN. A thread that cannot be brought back is never
// used again: its goroutine stays locked to it, so the runtime ends it with that
// goroutine. The main thread is never taken: /proc/self/net is its namespace, and
// the runtime could not end it.
func (t *Table) within(r *reader, n *Namespace, f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		done := make(chan error)
		go func() { done <- t.within(r, n, f) }() // we hold the main thread: this is another
		err := <-done
		runtime.UnlockOSThread()
		return err
	}
	r.at(t.options.ProcFS, 0).path = append(r.path, "/ns/net\x00"...)
	home, err := open(r.path, unix.O_RDONLY)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open our namespace: %w", err)
	}
	defer func() { _ = unix.Close(home) }()
	if err := t.enter(r, n); err != nil {
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
func (t *Table) enter(r *reader, n *Namespace) error {
	if pid := n.pids[0]; pid != 0 {
		r.at(t.options.ProcFS, pid).path = append(r.path, "/ns/net\x00"...)
	} else {
		r.path = append(append(append(r.path[:0], t.root()...), n.mount...), 0)
	}
	if id, err := r.identify(r.path, t.handles); err != nil || id != n.identity {
		return errGone
	}
	fd, err := open(r.path, unix.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	return nil
}
