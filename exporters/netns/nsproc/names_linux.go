package nsproc

import (
	"cmp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
)

// label writes what the samples of a namespace are labelled with. The slices are
// made anew when that changes: an earlier look's may still be read.
func (t *Table) label(e *entry) {
	who := Labels{}
	if !e.host && t.options.Namer != nil {
		who = t.who(e)
	}
	called := e.mountName()
	if e.labels != nil && who == e.who && called == e.called {
		return
	}
	e.who, e.called = who, called
	e.labels = exporters.AppendLabel(nil, "netns", e.name)
	e.info = exporters.AppendLabel(slices.Clip(e.labels), "host", strconv.FormatBool(e.host))
	if called != "" {
		e.info = exporters.AppendLabel(e.info, "name", called)
	}
	e.info = who.append(e.info)
	if t.options.Inline {
		e.labels = who.append(slices.Clip(e.labels))
	}
}

// who asks for the name of the first process that has one: a pod's pause process
// may be unknown to a Namer that knows the containers beside it.
func (t *Table) who(e *entry) Labels {
	for _, pid := range e.pids {
		if pid == 0 {
			break
		}
		if pid != e.namedBy {
			b, err := t.names.at(t.options.ProcFS, pid).read("/cgroup")
			if err != nil {
				continue
			}
			e.namedBy, e.cgroup = pid, string(parseCgroup(b))
		}
		if who := t.options.Namer.Name(int(pid), e.cgroup); who != (Labels{}) {
			return who.ofNetwork()
		}
	}
	return Labels{}
}

// ofNetwork leaves out of a pod's labels the container that was asked about: its
// network is the pod's. The container's id names no network either.
func (l Labels) ofNetwork() Labels {
	if l.ContainerID = ""; l.Pod != "" {
		l.Container = ""
	}
	return l
}

func (l Labels) append(labels []byte) []byte {
	for _, pair := range [][2]string{{"namespace", l.Namespace}, {"pod", l.Pod}, {"container", l.Container}, {"app", l.App}} {
		if pair[1] != "" {
			labels = exporters.AppendLabel(labels, pair[0], pair[1])
		}
	}
	return labels
}

// hosted knows who shares the host's network. Only names hang on it, no counter
// does: a process that ended and whose number another one of the host has by
// the next look keeps its cgroup until then.
type hosted struct {
	pids map[int32]hostPID
}

type hostPID struct {
	look   uint64
	cgroup string
}

func (h *hosted) see(t *Table, pid int32) {
	p, known := h.pids[pid]
	if !known {
		if b, err := t.names.at(t.options.ProcFS, pid).read("/cgroup"); err == nil {
			p.cgroup = string(parseCgroup(b))
		}
	}
	p.look = t.look
	h.pids[pid] = p
}

// workloads forgets the processes that were not seen, and names the others.
func (h *hosted) workloads(t *Table) []Labels {
	if t.options.Namer == nil {
		return nil
	}
	asked := map[string]bool{}
	var out []Labels
	for pid, p := range h.pids {
		switch {
		case p.look != t.look:
			delete(h.pids, pid)
		case !asked[p.cgroup]:
			asked[p.cgroup] = true
			if who := t.options.Namer.Name(int(pid), p.cgroup); who != (Labels{}) {
				out = append(out, who.ofNetwork())
			}
		}
	}
	slices.SortFunc(out, func(a, b Labels) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.App, b.App))
	})
	return slices.Compact(out)
}

// mountTable reads the bind mounts again only when the kernel says that mounts
// changed. The file it holds keeps the mount namespace of process 1, nothing else.
type mountTable struct {
	proc   string
	fd     int
	root   string // process 1's root, or our own where it may not be entered
	buf    []byte
	mounts []mount
}

func (m *mountTable) read() []mount {
	if m.fd < 0 && !m.open() {
		return nil
	}
	for {
		poll := []unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLPRI}}
		_, err := unix.Poll(poll, 0)
		if m.mounts != nil && (err != nil || poll[0].Revents == 0) {
			return m.mounts
		}
		b, err := m.whole()
		if err != nil {
			_ = m.close()
			return nil
		}
		m.mounts = append([]mount{}, parseMounts(b)...)
	}
}

func (m *mountTable) open() bool {
	m.root = m.proc + "/1/root"
	process := "/1"
	if _, err := (&reader{}).identify([]byte(m.root+"/\x00"), false); err != nil {
		m.root, process = "", "/self"
	}
	fd, err := open([]byte(m.proc+process+"/mountinfo\x00"), unix.O_RDONLY)
	if err != nil {
		return false
	}
	m.fd, m.mounts = fd, nil
	return true
}

func (m *mountTable) whole() ([]byte, error) {
	if _, err := unix.Seek(m.fd, 0, 0); err != nil {
		return nil, err
	}
	if m.buf == nil {
		m.buf = make([]byte, 64<<10)
	}
	for n := 0; ; {
		got, err := read(m.fd, m.buf[n:])
		if err != nil {
			return nil, err
		}
		if n += got; got == 0 {
			return m.buf[:n], nil
		}
		if n == len(m.buf) {
			if n >= maxFile {
				return nil, unix.EFBIG
			}
			m.buf = append(m.buf, make([]byte, n)...)
		}
	}
}

func (m *mountTable) path(point string) string { return m.root + point }

func (m *mountTable) close() error {
	if m.fd < 0 {
		return nil
	}
	fd := m.fd
	m.fd, m.mounts = -1, nil
	return unix.Close(fd)
}
