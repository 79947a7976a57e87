package nsproc

import "slices"

// witness is a process that a look saw in a namespace: where the kernel tells no
// ids, the namespace is the same one for as long as one of them is in it.
type witness struct {
	pid   int32
	start uint64
}

// survives says whether something the last look saw in a namespace is still there.
func (t *Table) survives(e *entry) bool {
	if e.look < t.whole {
		return false
	}
	for _, w := range e.witnesses {
		if w.pid == 0 {
			continue
		}
		r := t.names.at(t.options.ProcFS, w.pid)
		r.path = append(r.path, "/ns/net\x00"...)
		id, err := r.identify(r.path, false)
		if err != nil || id.inode != e.inode {
			continue
		}
		if start, ok := t.start(w.pid); ok && start == w.start {
			return true
		}
	}
	return e.mount.point != "" && slices.Contains(t.mounts.read(), e.mount)
}

func (t *Table) start(pid int32) (uint64, bool) {
	b, err := t.names.at(t.options.ProcFS, pid).read("/stat")
	if err != nil {
		return 0, false
	}
	return parseStart(b)
}

// remember notes the processes that will tell whether a namespace is still this one.
func (t *Table) remember(e *entry) {
	kept := e.witnesses
	e.witnesses = [members]witness{}
	for i, pid := range e.pids {
		if pid == 0 {
			return
		}
		if j := slices.IndexFunc(kept[:], func(w witness) bool { return w.pid == pid }); j >= 0 {
			e.witnesses[i] = kept[j]
			continue
		}
		if start, ok := t.start(pid); ok {
			e.witnesses[i] = witness{pid, start}
		}
	}
}
