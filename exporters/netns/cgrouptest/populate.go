//go:build linux

package cgrouptest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// controls are the files that a scrape reads of a cgroup, by hierarchy.
func controls() map[string][]string {
	if _, err := os.Stat(Root + "/cgroup.controllers"); err == nil {
		return map[string][]string{"": {
			"cgroup.procs", "cpu.stat", "cpu.stat.local", "cpu.max", "cpu.max.burst", "memory.current", "memory.max", "memory.high",
			"memory.events", "pids.current", "pids.max", "pids.events", "cpu.pressure", "memory.pressure", "io.pressure",
		}}
	}
	return map[string][]string{
		"cpu":     {"cgroup.procs", "cpu.stat", "cpu.stat.local", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us"},
		"cpuacct": {"cpuacct.usage"},
		"memory":  {"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt", "memory.oom_control"},
		"pids":    {"pids.current", "pids.max", "pids.events"},
		"unified": {"cpu.pressure", "memory.pressure", "io.pressure"},
	}
}

// Populate gives each process a cgroup of its own in every hierarchy, until the
// test ends, and returns the files that a scrape reads of them.
func Populate(t testing.TB, pids []int) (files []string) {
	t.Helper()
	parent := Make(t)
	parent.Child(t, "first") // so that v2 enables its controllers below
	for h, names := range controls() {
		home := filepath.Join(Root, h)
		if _, err := os.Stat(home); err != nil {
			continue
		}
		base := filepath.Join(home, parent.Path)
		for _, pid := range pids {
			dir := filepath.Join(base, "c"+strconv.Itoa(pid))
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, pid), 0o644))
			t.Cleanup(func() {
				_ = os.WriteFile(filepath.Join(home, "cgroup.procs"), fmt.Append(nil, pid), 0o644) // it may have ended
				require.Eventually(t, func() bool { return unix.Rmdir(dir) == nil }, 10*time.Second, 10*time.Millisecond)
				_ = unix.Rmdir(base) // the last one's succeeds
			})
			for _, name := range names {
				if path := filepath.Join(dir, name); unix.Access(path, unix.R_OK) == nil {
					files = append(files, path)
				}
			}
		}
	}
	return files
}
