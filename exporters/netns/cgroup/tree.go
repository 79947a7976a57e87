//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is the cgroups of a machine. It is for one goroutine.
type Tree struct {
	hierarchies []*hierarchy
	walker      walker
	round       uint64
	groups      map[string]*Group // by path
	sorted      []*Group
	buf         [maxFile]byte
}

// Open finds out how the cgroups at root (/sys/fs/cgroup) are laid out.
func Open(root string) (*Tree, error) {
	hs, err := layout(root)
	if err != nil {
		return nil, err
	}
	return newTree(hs), nil
}

// OpenCPU is Open for the one hierarchy that has the CPU controller. Read reads the
// quota and nothing else.
func OpenCPU(root string) (*Tree, error) {
	hs, err := layout(root)
	if err != nil {
		return nil, err
	}
	h := hs[0]
	h.controls = slices.DeleteFunc(h.controls, func(c control) bool {
		return c.name != "cpu.max\x00" && c.name != "cpu.cfs_quota_us\x00" && c.name != "cpu.cfs_period_us\x00"
	})
	if len(h.controls) == 0 || !h.has("cpu") {
		return nil, fmt.Errorf("find cgroup hierarchies: no CPU controller is at %s", root)
	}
	return newTree(hs[:1]), nil
}

func newTree(hs []*hierarchy) *Tree {
	return &Tree{hierarchies: hs, walker: walker{buf: make([]byte, 32<<10)}, groups: map[string]*Group{}}
}

// Scan returns all cgroups there are, sorted by path, those without tasks
// included. A cgroup that is still the same is the same *Group as before. The
// slice is good until the next Scan. With an error it returns what it found.
func (t *Tree) Scan(ctx context.Context) ([]*Group, error) {
	t.round++
	t.walker.ctx = ctx
	var errs []error
	for i, h := range t.hierarchies {
		t.walker.visit = func(n *node) { t.saw(i, n) }
		if err := t.walker.walk(h); err != nil {
			errs = append(errs, err)
		}
	}
	changed := len(errs) > 0
	for path, g := range t.groups {
		if g.round != t.round {
			delete(t.groups, path)
			changed = true
			continue
		}
		if fresh := g.settled(t.round); fresh != g {
			t.groups[path] = fresh
			changed = true
		}
	}
	if changed || len(t.sorted) != len(t.groups) {
		t.sorted = t.sorted[:0]
		for _, g := range t.groups {
			t.sorted = append(t.sorted, g)
		}
		slices.SortFunc(t.sorted, func(a, b *Group) int { return strings.Compare(a.Path, b.Path) })
	}
	return t.sorted, errors.Join(errs...)
}

// saw notes that n is in hierarchy i.
func (t *Tree) saw(i int, n *node) {
	g := t.groups[n.path]
	if g == nil {
		g = &Group{Path: n.path, at: make([]place, len(t.hierarchies))}
		t.groups[n.path] = g
	}
	g.round = t.round
	g.at[i] = place{dir: n.dir, inode: n.inode, round: t.round}
}

// settled is g with the places it is in now, or another cgroup that took its path.
func (g *Group) settled(round uint64) *Group {
	var first uint64
	for i := range g.at {
		if g.at[i].round != round {
			g.at[i] = place{}
		}
		if first == 0 {
			first = g.at[i].inode
		}
	}
	if g.inode == first {
		return g
	}
	return &Group{ID: identify(g.Path, first), Path: g.Path, inode: first, at: g.at, round: g.round}
}

// Read reads g into s, which it clears first. It returns ErrGone if g is no
// longer, and otherwise the first error of a file that is there but cannot be
// read, with all that could be read in s.
func (t *Tree) Read(g *Group, s *Stats) error {
	*s = Stats{}
	var first error
	for i := range g.at {
		if g.at[i].inode == 0 {
			continue
		}
		err := t.readAt(t.hierarchies[i], &g.at[i], s)
		if errors.Is(err, ErrGone) && g.at[i].inode != g.inode {
			continue // from this hierarchy only
		}
		if errors.Is(err, ErrGone) {
			return err
		}
		if first == nil && err != nil {
			first = fmt.Errorf("read %s: %w", g.Path, err)
		}
	}
	return first
}

// readAt reads one cgroup's control files in one hierarchy.
func (t *Tree) readAt(h *hierarchy, p *place, s *Stats) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var first error
	for i := range h.controls {
		c := &h.controls[i]
		isProcs := c.name == procsFile
		if isProcs && s.Tasks {
			continue
		}
		b, err := c.name.read(fd, t.buf[:])
		switch {
		case err == nil:
			c.parse(s, b)
		case errors.Is(err, unix.ENODEV):
			return ErrGone
		case errors.Is(err, unix.EOPNOTSUPP): // pressure switched off, or the pids of a threaded cgroup
			s.Tasks = s.Tasks || isProcs
		case errors.Is(err, unix.ENOENT):
		case first == nil:
			first = fmt.Errorf("%s: %w", c.name[:len(c.name)-1], err)
		}
	}
	return first
}

// open opens the directory if it is still that of the same cgroup.
func (p *place) open() (int, error) {
	fd, err := p.dir.open(unix.AT_FDCWD, unix.O_PATH|unix.O_DIRECTORY)
	if gone(err) {
		return -1, ErrGone
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != p.inode {
		_ = unix.Close(fd)
		return -1, errors.Join(err, ErrGone)
	}
	return fd, nil
}
