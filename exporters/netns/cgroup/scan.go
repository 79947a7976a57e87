//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a container with a delegated subtree may build, and no more of it is looked at.
const (
	maxDepth  = 48
	maxGroups = 50_000
)

// ErrTooMany says that a tree is deeper or larger than is looked at.
var ErrTooMany = errors.New("more cgroups than are looked at")

// node is a directory of a hierarchy as the last walk found it.
type node struct {
	path     string // below the hierarchy's root
	dir      file   // the same, from the root of the file system
	inode    uint64
	children map[string]*node
	round    uint64
}

// walker goes through a hierarchy. What the walk before knew is used again: in
// steady state it allocates nothing, and does not list a directory without children.
type walker struct {
	ctx   context.Context
	buf   []byte // of directory entries
	round uint64
	count int
	visit func(*node)
	err   error
}

// walk visits the cgroups of h, parents first. A cgroup that goes meanwhile is
// passed over. It returns the first error of a directory that is there but cannot
// be read, after it has visited all others.
func (w *walker) walk(h *hierarchy) error {
	if h.root == nil {
		h.root = &node{path: "/", dir: fileOf(h.dir)}
	}
	w.round++
	w.count, w.err = 0, nil
	w.enter(h.root, 0)
	return w.err
}

func (w *walker) enter(n *node, depth int) {
	if err := w.ctx.Err(); err != nil {
		w.err = err
		return
	}
	if w.count++; w.count > maxGroups || depth > maxDepth {
		w.fail(n, ErrTooMany)
		return
	}
	fd, err := n.dir.open(unix.AT_FDCWD, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		w.fail(n, err)
		return
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		if n.inode != st.Ino {
			n.inode, n.children = st.Ino, nil
		}
		// The link count of a cgroup is that of its children and two; file
		// systems that do not count, as some that recorded trees lie on, say 1.
		if st.Nlink == 2 {
			n.children = nil
		} else {
			err = w.list(n, fd)
		}
	}
	_ = unix.Close(fd)
	if err != nil {
		w.fail(n, err)
		return
	}
	w.visit(n)
	for _, child := range n.children {
		w.enter(child, depth+1)
	}
}

// fail keeps the first error that is not a cgroup's end.
func (w *walker) fail(n *node, err error) {
	if gone(err) && n.path != "/" {
		return
	}
	if w.err == nil {
		w.err = fmt.Errorf("walk %s: %w", n.path, err)
	}
}

// gone: a removed cgroup's files answer ENODEV to who has them open.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// list brings n.children up to date with the directory open at fd.
func (w *walker) list(n *node, fd int) error {
	for {
		size, err := unix.ReadDirent(fd, w.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if size <= 0 {
			break
		}
		for b := w.buf[:size]; len(b) > 0; {
			var name []byte
			var dir bool
			if name, dir, b = entry(b); dir {
				n.child(name, w.round)
			}
		}
	}
	for name, c := range n.children {
		if c.round != w.round {
			delete(n.children, name)
		}
	}
	return nil
}

// entry splits off the first of a buffer of linux_dirent64.
func entry(b []byte) (name []byte, dir bool, rest []byte) {
	const header = int(unsafe.Offsetof(unix.Dirent{}.Name))
	size := int(*(*uint16)(unsafe.Pointer(&b[unsafe.Offsetof(unix.Dirent{}.Reclen)])))
	if size <= header || size > len(b) {
		return nil, false, nil
	}
	name = b[header:size]
	if end := slices.Index(name, 0); end >= 0 {
		name = name[:end]
	}
	dir = b[unsafe.Offsetof(unix.Dirent{}.Type)] == unix.DT_DIR
	return name, dir && string(name) != "." && string(name) != "..", b[size:]
}

// child finds or makes the child of that name.
func (n *node) child(name []byte, round uint64) {
	c := n.children[string(name)]
	if c == nil {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		s := string(name)
		c = &node{path: strings.TrimSuffix(n.path, "/") + "/" + s, dir: n.dir[:len(n.dir)-1] + file("/"+s+"\x00")}
		n.children[s] = c
	}
	c.round = round
}
