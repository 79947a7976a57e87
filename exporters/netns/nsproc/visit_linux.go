package nsproc

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// errGone says that a namespace ended since the look, or that its process did.
var errGone = errors.New("namespace is gone")

// reading is what a collector reads in one namespace. It keeps what it read
// until the visit is over and it is known whose it is.
type reading interface {
	read(net *reader) error
}

// visit reads in a namespace without entering it: the files below /proc/<pid>/net
// are those of the process' namespace. Processes end and their numbers are used
// again, so what was read counts only if the number is still in this namespace
// afterwards; else the next process of the namespace is tried. It returns
// errGone where none is left.
//
// Only a namespace that no process lives in is entered.
func (t *Table) visit(r *reader, n *Namespace, what reading) error {
	for _, pid := range n.pids {
		if pid == 0 {
			break
		}
		net := r.at(t.options.ProcFS, pid)
		net.path = append(net.path, "/net/"...)
		err := what.read(net)
		if t.lives(r, n, pid) {
			return err
		}
	}
	if n.pids[0] != 0 {
		return errGone
	}
	return t.within(r, n, func() error {
		net := r.at(t.options.ProcFS, 0)
		net.path = append(net.path, "/net/"...)
		return what.read(net)
	})
}

func (t *Table) lives(r *reader, n *Namespace, pid int32) bool {
	p := r.at(t.options.ProcFS, pid)
	p.path = append(p.path, "/ns/net\x00"...)
	id, err := p.identify(p.path, t.handles)
	return err == nil && id == n.identity
}

func (t *Table) root() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mounts.root
}

// each visits all namespaces and calls then with those that were read. One that
// is gone is no error; one that may not be entered neither: netns_unreadable
// counts it. Other errors are returned, the first of them, after all were tried.
func (t *Table) each(ctx context.Context, r *reader, s *Snapshot, what reading, then func(n *Namespace)) error {
	var first error
	for i := range s.Namespaces {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := &s.Namespaces[i]
		switch err := t.visit(r, n, what); {
		case err == nil:
			then(n)
		case passing(err), n.pids[0] == 0 && errors.Is(err, unix.EPERM):
		case first == nil:
			first = err
		}
	}
	return first
}

// passing says whether an error is only that a process or namespace has ended.
func passing(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL)
}
