//go:build linux

package cgroup_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
)

// The v2 hierarchy of this machine, read as if it had no other: at the root, or
// beside v1 without controllers, where it has CPU time and pressure alone.
func TestARealV2Hierarchy(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	root := cgrouptest.Root
	if _, err := os.Stat(filepath.Join(root, "unified")); err == nil {
		root = filepath.Join(root, "unified")
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		t.Log("this machine has cgroup v1 alone")
		return
	}
	home := cgrouptest.Make(t)
	b, back := home.Burner(t), home.Dir
	if root != cgrouptest.Root { // home is in another hierarchy
		back = root
	}
	dir, err := os.MkdirTemp(root, "tocsin-test-") //nolint:usetesting // a cgroup is made where cgroups are
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, os.WriteFile(filepath.Join(back, "cgroup.procs"), []byte(strconv.Itoa(b.PID)), 0o644))
		require.Eventually(t, func() bool { return unix.Rmdir(dir) == nil }, 10*time.Second, 10*time.Millisecond)
	})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(b.PID)), 0o644))
	g := cgrouptest.Group{Dir: dir, Path: "/" + filepath.Base(dir)}
	scrape := scraper(t, root, false)
	before := seconds(t, scrape(), "cgroup_cpu_usage_seconds_total", g)
	b.Burn(t, 50*time.Millisecond)
	text := scrape()
	require.GreaterOrEqual(t, seconds(t, text, "cgroup_cpu_usage_seconds_total", g)-before, 45*time.Millisecond)
	if _, err := os.ReadFile(filepath.Join(dir, "cpu.pressure")); err != nil {
		t.Log("this kernel does not measure pressure:", err)
		return
	}
	require.Contains(t, ours(text), `cgroup_pressure_waiting_seconds_total{cgroup="`+g.Path+`",resource="cpu"}`)
}
