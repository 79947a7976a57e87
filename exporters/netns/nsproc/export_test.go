//go:build linux

package nsproc

import "context"

// Forget makes the next look a new one, however soon it comes.
func (t *Table) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = nil
}

// Within runs f on a thread in the namespace of a process.
func (t *Table) Within(ctx context.Context, pid int, f func() error) error {
	look, err := t.Look(ctx)
	if err != nil {
		return err
	}
	for i := range look.Namespaces {
		if n := &look.Namespaces[i]; n.pids[0] == int32(pid) {
			return t.within(&reader{}, n, f)
		}
	}
	return errGone
}

// Visit calls f with each path it reads below, in the namespace of that name.
func (t *Table) Visit(ctx context.Context, name string, f func(path string) error) error {
	look, err := t.Look(ctx)
	if err != nil {
		return err
	}
	for i := range look.Namespaces {
		if n := &look.Namespaces[i]; n.Name == name {
			return t.visit(&reader{}, n, readingFunc(f))
		}
	}
	return errGone
}

type readingFunc func(path string) error

func (f readingFunc) read(net *reader) error { return f(string(net.path)) }
