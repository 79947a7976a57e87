//go:build linux

package cgroup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
)

// Cgroups that come and go during scrapes are no error, leak no descriptor, and
// are forgotten: 500 of them, nested, with a quota, so that each is exposed.
func TestCgroupsComeAndGoDuringScrapes(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	parent := cgrouptest.Make(t)
	scrape := scraper(t, cgrouptest.Root, false)
	scrape()
	before := descriptors(t)
	done := make(chan error)
	go func() {
		for i := range 250 {
			pod := filepath.Join(parent.Dir, fmt.Sprint("pod", i))
			if err := comeAndGo(pod); err != nil {
				done <- err
				return
			}
		}
		close(done)
	}()
	for running := true; running; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running = false
		default:
			require.Contains(t, scrape(), `netns_scrape_collector_success{collector="cgroup"} 1`)
		}
	}
	require.NotContains(t, scrape(), parent.Path+"/pod")
	require.LessOrEqual(t, descriptors(t), before)
}

// comeAndGo makes a cgroup within a cgroup and removes both.
func comeAndGo(pod string) error {
	container := filepath.Join(pod, "container")
	if err := os.MkdirAll(container, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{pod, container} {
		for file, value := range map[string]string{"cpu.cfs_quota_us": "20000", "cpu.max": "20000 100000"} {
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(container); err != nil {
		return err
	}
	return unix.Rmdir(pod)
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(fds)
}
