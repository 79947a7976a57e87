package nsproc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options of a Table.
type Options struct {
	// ProcFS is where the proc file system of the machine is mounted.
	ProcFS string
	// Namer names workloads; nil knows none.
	Namer Namer
	// Inline puts what the Namer says on every series, not only on netns_info.
	Inline bool
	// IgnoreIDs does without the kernel's ids of namespaces, as before Linux 6.18.
	IgnoreIDs bool
}

// together is how far apart the collectors of one scrape may begin and still
// share one look at the processes.
const together = 20 * time.Millisecond

// The most processes of a namespace that are remembered: one to read through,
// and others in case it ends.
const members = 3

// Table knows the network namespaces of the machine: those that a process lives
// in and those that a bind mount keeps. It holds no file of theirs, so none
// lives longer because of it.
//
// A namespace is known by its inode number together with evidence that it is
// still the one it was, since numbers are used again within seconds: the
// kernel's own id, which is never used twice (Linux 6.18), else that a process
// (by pid and start time) or a bind mount (by id and place) seen in it by the
// last look is still there. Where nothing is left of the last look it counts as
// a new one, and its series get a new name.
//
// Threads in another namespace than their process are not looked for.
type Table struct {
	options Options
	handles bool

	mu      sync.Mutex
	reader  reader
	names   reader // for /proc/<pid>/cgroup
	dir     []byte
	entries map[uint64]*entry // by inode number
	used    map[uint64]used   // every inode number ever seen
	look    uint64            // the number of the look under way
	whole   uint64            // of the last one that came to its end
	mounts  mountTable
	last    *Snapshot
	ended   time.Time
	host    hosted
}

// used says how often an inode number was another namespace.
type used struct {
	id         uint64
	generation int
}

// entry is a namespace between two looks.
type entry struct {
	identity
	look      uint64
	name      string // its value of the label netns
	pids      [members]int32
	witnesses [members]witness // of the last look; only where the kernel tells no id
	mount     mount
	cgroup    string // of the process it is named by
	namedBy   int32
	who       Labels
	labels    []byte
	info      []byte
	host      bool
	called    string // the name of the mount that is in info
}

// Namespace is what one look found. It never changes.
type Namespace struct {
	// Name is the value of the label netns: the inode number, as lsns(8) and
	// readlink /proc/<pid>/ns/net show it, and "-2" where it is the second
	// namespace of that number.
	Name string
	// Host is the namespace of process 1.
	Host bool
	// Mount is the name of the bind mount that keeps it: blue of /run/netns/blue.
	Mount string
	// Who lives in it, where the Namer knows.
	Who Labels

	identity
	labels []byte // for exporters.Lines
	info   []byte // of netns_info
	pids   [members]int32
	mount  string // path to enter it by where no process lives in it
}

// Snapshot is one look at all namespaces.
type Snapshot struct {
	Namespaces []Namespace
	// Workloads that share the host's network, each once.
	Workloads []Labels
	// Host is the index of the host's namespace, or -1 where it cannot be told.
	Host int
	// Denied is the number of processes whose namespace may not be looked at:
	// it takes CAP_SYS_PTRACE.
	Denied int
}

// NewTable begins with an empty table.
func NewTable(o Options) *Table {
	o.ProcFS = filepath.Clean(o.ProcFS)
	return &Table{
		options: o, handles: !o.IgnoreIDs && handlesWork(o.ProcFS), entries: map[uint64]*entry{}, used: map[uint64]used{},
		mounts: mountTable{proc: o.ProcFS, fd: -1}, host: hosted{pids: map[int32]hostPID{}},
	}
}

// Close gives the one file back that is held: the mountinfo of process 1, which
// tells when mounts change.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mounts.close()
}

// Look returns the namespaces there are. Collectors of one scrape share a look.
func (t *Table) Look(ctx context.Context) (*Snapshot, error) {
	asked := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil && t.ended.After(asked.Add(-together)) {
		return t.last, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := t.scan(ctx)
	if err != nil {
		return nil, err
	}
	t.last, t.ended = s, time.Now()
	return s, nil
}

func (t *Table) scan(ctx context.Context) (*Snapshot, error) {
	t.look++
	s := &Snapshot{Host: -1}
	host := t.hostIdentity()
	if err := t.scanProcesses(ctx, s, host); err != nil {
		return nil, err
	}
	t.scanMounts()
	t.whole = t.look
	for inode, e := range t.entries {
		if e.look != t.look {
			delete(t.entries, inode)
		}
	}
	s.Namespaces = make([]Namespace, 0, len(t.entries))
	for _, e := range t.entries {
		e.host = e.inode == host.inode
		t.label(e)
		s.Namespaces = append(s.Namespaces, Namespace{
			Name: e.name, Host: e.host, Mount: e.called, Who: e.who, identity: e.identity,
			labels: e.labels, info: e.info, pids: e.pids, mount: e.mount.point,
		})
	}
	slices.SortFunc(s.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.inode, b.inode) })
	s.Host = slices.IndexFunc(s.Namespaces, func(n Namespace) bool { return n.Host })
	s.Workloads = t.host.workloads(t)
	return s, nil
}

// hostIdentity is that of process 1, or our own where it may not be looked at.
func (t *Table) hostIdentity() identity {
	for _, p := range []string{"/1/ns/net", "/self/ns/net"} {
		if id, err := t.reader.identify([]byte(t.options.ProcFS+p+"\x00"), t.handles); err == nil {
			return id
		}
	}
	return identity{}
}

// scanProcesses looks at every process there is.
func (t *Table) scanProcesses(ctx context.Context, s *Snapshot, host identity) error {
	fd, err := open([]byte(t.options.ProcFS+"\x00"), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if t.dir == nil {
		t.dir = make([]byte, 32<<10)
	}
	for {
		n, err := unix.Getdents(fd, t.dir)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for pid := range pidsOf(t.dir[:n]) {
			t.see(s, pid, host)
		}
	}
}

// see notes where a process lives. One that ends meanwhile is not there.
func (t *Table) see(s *Snapshot, pid int32, host identity) {
	r := t.reader.at(t.options.ProcFS, pid)
	r.path = append(r.path, "/ns/net\x00"...)
	id, err := r.inode(r.path)
	if e := t.entries[id.inode]; err == nil && t.handles && (e == nil || e.look != t.look) {
		id, err = handle(r.path) // once for each namespace: it costs twice as much
	} else if err == nil && e != nil {
		id = e.identity // where it is wrong by now, visit finds out
	}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		s.Denied++
		return
	case err != nil:
		return
	}
	e := t.entry(id)
	for i := range e.pids {
		if e.pids[i] == 0 {
			e.pids[i] = pid
			break
		}
	}
	if id.inode == host.inode && t.options.Namer != nil {
		t.host.see(t, pid)
	}
}

// entry returns the namespace, made ready for this look when it is first seen in it.
func (t *Table) entry(id identity) *entry {
	e := t.entries[id.inode]
	if e != nil && e.id != id.id {
		e = nil // the number is used again
	}
	switch {
	case e == nil:
		e = &entry{identity: id}
		t.baptise(e)
		t.entries[id.inode] = e
	case e.look == t.look:
		return e
	case !t.handles && !t.survives(e):
		*e = entry{identity: id}
		t.baptise(e)
	}
	e.look = t.look
	e.pids = [members]int32{}
	return e
}

// baptise gives a namespace its name: the number, and a further one where that
// was another namespace's.
func (t *Table) baptise(e *entry) {
	u, known := t.used[e.inode]
	if !known || e.id == 0 || u.id != e.id {
		u.generation++
	}
	u.id = e.id
	t.used[e.inode] = u
	e.name = strconv.FormatUint(e.inode, 10)
	if u.generation > 1 {
		e.name += "-" + strconv.Itoa(u.generation)
	}
}

// scanMounts adds the namespaces that only a bind mount keeps, and notes the
// names that bind mounts give to others.
func (t *Table) scanMounts() {
	for _, e := range t.entries {
		e.mount = mount{}
	}
	for _, m := range t.mounts.read() {
		e := t.entries[m.inode]
		if e == nil || e.look != t.look {
			id := identity{inode: m.inode}
			if t.handles {
				var err error
				if id, err = handle([]byte(t.mounts.path(m.point) + "\x00")); err != nil || id.inode != m.inode {
					continue // it may not be looked at, or was unmounted just now
				}
			}
			e = t.entry(id)
		}
		if e.mount.point == "" || m.point < e.mount.point {
			e.mount = m
		}
	}
	if t.handles {
		return
	}
	for _, e := range t.entries {
		t.remember(e)
	}
}

func (e *entry) mountName() string {
	if e.mount.point == "" {
		return ""
	}
	return e.mount.name()
}

// pidsOf walks what getdents64(2) wrote and yields the names that are numbers.
func pidsOf(b []byte) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		const head = 19 // d_ino, d_off, d_reclen, d_type
		for len(b) > head {
			size := int(b[16]) | int(b[17])<<8
			if size <= head || size > len(b) {
				return
			}
			name := b[head:size]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			if pid, ok := decimal(name); ok && pid > 0 && pid < 1<<31 && !yield(int32(pid)) {
				return
			}
			b = b[size:]
		}
	}
}
