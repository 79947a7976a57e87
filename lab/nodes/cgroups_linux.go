package nodes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const mounted = "/sys/fs/cgroup"

// hierarchies are where our cgroups are: one folder for v2, one per controller
// for v1. They are named by our process, so that two labs do not meet.
type hierarchies struct {
	v2    bool
	roots map[string]string // by the controller's name; v2: only ""
}

// findHierarchies makes our folder in each hierarchy that is needed. Its error
// says what this machine does not let us do.
func findHierarchies() (hierarchies, error) {
	h := hierarchies{roots: map[string]string{}}
	own := "tocsin-lab-" + strconv.Itoa(os.Getpid())
	if _, err := os.Stat(filepath.Join(mounted, "cgroup.controllers")); err == nil {
		h.v2 = true
		h.roots[""] = filepath.Join(mounted, own)
		if err := delegate(mounted); err != nil {
			return h, err
		}
	} else {
		for _, c := range []string{"cpu", "cpuacct", "memory", "pids"} {
			if _, err := os.Stat(filepath.Join(mounted, c)); err == nil {
				h.roots[c] = filepath.Join(mounted, c, own)
			}
		}
		if h.roots["cpu"] == "" {
			return h, fmt.Errorf("no CPU controller is at %s", mounted)
		}
	}
	for _, root := range h.roots {
		if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, os.ErrExist) { // joined controllers are one folder
			return h, fmt.Errorf("make a cgroup: %w", err)
		}
	}
	return h, nil
}

// delegate lets the children of a v2 cgroup have limits: of CPU, and of memory and
// tasks where it may hand those down.
func delegate(dir string) error {
	control := filepath.Join(dir, "cgroup.subtree_control")
	if err := os.WriteFile(control, []byte("+cpu"), 0o644); err != nil {
		return fmt.Errorf("hand the CPU controller down: %w", err)
	}
	for _, controller := range []string{"+memory", "+pids"} {
		_ = os.WriteFile(control, []byte(controller), 0o644) // pods go without that limit
	}
	return nil
}

// delegateDown is delegate for root and each folder of a path below it.
func delegateDown(root, path string) error {
	if err := delegate(root); err != nil {
		return err
	}
	for elem := range strings.SplitSeq(path, "/") {
		root = filepath.Join(root, elem)
		if err := delegate(root); err != nil {
			return err
		}
	}
	return nil
}

// node makes the cgroups of a node down to its container's, lays out at view what
// the node sees as /sys/fs/cgroup, and returns the container's folders.
func (h hierarchies) node(name, view, container string) ([]string, error) {
	if err := os.MkdirAll(filepath.Dir(view), 0o755); err != nil {
		return nil, err
	}
	if !h.v2 {
		if err := os.Mkdir(view, 0o755); err != nil {
			return nil, err
		}
	}
	var leaves []string
	for controller, root := range h.roots {
		node := filepath.Join(root, name)
		leaf := filepath.Join(node, container)
		if err := os.MkdirAll(leaf, 0o755); err != nil {
			return nil, fmt.Errorf("make a cgroup: %w", err)
		}
		if h.v2 {
			if err := delegateDown(root, filepath.Join(name, filepath.Dir(container))); err != nil {
				return nil, err
			}
		}
		if err := os.Symlink(node, filepath.Join(view, controller)); err != nil {
			return nil, err
		}
		leaves = append(leaves, leaf)
	}
	return leaves, nil
}

// limit is a CPU limit of a fifth of a core, and, where there are controllers of
// them, limits of memory and tasks that are never reached.
func limit(dirs []string) error {
	limits := map[string]string{
		"cpu.max": "20000 100000", "cpu.cfs_quota_us": "20000",
		"memory.max": "1073741824", "memory.limit_in_bytes": "1073741824", "pids.max": "1000",
	}
	limited := false
	for _, dir := range dirs {
		for file, value := range limits {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
				return err
			}
			limited = limited || strings.HasPrefix(file, "cpu.")
		}
	}
	if !limited {
		return errors.New("the container's cgroup has no CPU controller")
	}
	return nil
}

// Pressure says whether the kernel tells how long cgroups wait (PSI): those of
// v2 do, where it is not switched off.
func Pressure() bool {
	_, v2 := os.Stat(filepath.Join(mounted, "cgroup.controllers"))
	_, psi := os.ReadFile("/proc/pressure/cpu")
	return v2 == nil && psi == nil
}

// remove removes all that is below our folders, deepest first, once it is empty:
// the kernel takes a moment to bury the processes.
func (h hierarchies) remove() {
	for _, root := range h.roots {
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			var dirs []string
			_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				_ = unix.Rmdir(dir)
			}
			if _, err := os.Stat(root); err != nil {
				break
			}
			_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(20 * time.Millisecond)}, nil)
		}
	}
}
