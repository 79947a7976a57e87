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

func seconds(t *testing.T, text, family string, g cgrouptest.Group) time.Duration {
	t.Helper()
	s, err := strconv.ParseFloat(value(t, ours(text), family+`{cgroup="`+g.Path+`"}`), 64)
	require.NoError(t, err)
	return time.Duration(s*1e9 + .5)
}

func count(t *testing.T, text, family string, g cgrouptest.Group) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(value(t, ours(text), family+`{cgroup="`+g.Path+`"}`), 10, 64)
	require.NoError(t, err)
	return n
}

// throttle burns in b until the kernel has throttled g n times, and waits until
// it is quiet again.
func throttle(t *testing.T, g cgrouptest.Group, b *cgrouptest.Burner, n uint64) {
	t.Helper()
	for range 100 {
		b.Burn(t, 30*time.Millisecond)
		if _, throttled, _ := g.Throttled(t, "cpu.stat"); throttled >= n {
			break
		}
	}
	last := uint64(0)
	require.Eventually(t, func() bool {
		periods, _, _ := g.Throttled(t, "cpu.stat")
		quiet := periods == last
		last = periods
		return quiet
	}, 10*time.Second, 250*time.Millisecond)
}

// steady scrapes between two readings of g that say the same: the runtime of the
// process in g may wake for a moment.
func steady(t *testing.T, g cgrouptest.Group) (text string, periods, throttled uint64, d time.Duration) {
	t.Helper()
	scrape := scraper(t, cgrouptest.Root, false)
	for range 10 {
		periods, throttled, d = g.Throttled(t, "cpu.stat")
		text = scrape()
		if again, _, _ := g.Throttled(t, "cpu.stat"); again == periods {
			break
		}
	}
	return text, periods, throttled, d
}

func TestAThrottledCgroupShowsExactPeriods(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	g := cgrouptest.Make(t)
	g.Quota(t, 10*time.Millisecond, 100*time.Millisecond)
	throttle(t, g, g.Burner(t), 5)
	text, periods, throttled, d := steady(t, g)
	require.GreaterOrEqual(t, throttled, uint64(5))
	require.Equal(t, periods, count(t, text, "cgroup_cpu_cfs_periods_total", g))
	require.Equal(t, throttled, count(t, text, "cgroup_cpu_cfs_throttled_periods_total", g))
	require.Equal(t, d, seconds(t, text, "cgroup_cpu_cfs_throttled_seconds_total", g))
	require.Equal(t, 10*time.Millisecond, seconds(t, text, "cgroup_cpu_quota_seconds", g))
	require.Equal(t, 100*time.Millisecond, seconds(t, text, "cgroup_cpu_period_seconds", g))
}

// What stands still for its parent's quota shows nothing in cpu.stat and all in
// cpu.stat.local. Kernels before 6.6 cannot tell.
func TestAParentsQuotaShowsAtTheChild(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	parent := cgrouptest.Make(t)
	child := parent.Child(t, "child")
	parent.Quota(t, 10*time.Millisecond, 100*time.Millisecond)
	throttle(t, parent, child.Burner(t), 5)
	text, _, _, inherited := steady(t, parent)
	require.Equal(t, inherited, seconds(t, text, "cgroup_cpu_cfs_throttled_seconds_total", parent))
	_, own, _ := child.Throttled(t, "cpu.stat")
	require.Zero(t, own)
	require.NotContains(t, ours(text), `cgroup_cpu_cfs_throttled_seconds_total{cgroup="`+child.Path+`"}`, "it has no quota of its own")
	_, err := os.Stat(filepath.Join(child.Dir, "cpu.stat.local"))
	if err != nil && !atLeast(t, 6, 6) {
		t.Log("this kernel cannot tell a child:", err)
		return
	}
	require.NoError(t, err)
	_, _, local := child.Throttled(t, "cpu.stat.local")
	require.Positive(t, local)
	require.Equal(t, local, seconds(t, text, "cgroup_cpu_throttled_local_seconds_total", child))
	require.InDelta(t, inherited.Seconds(), local.Seconds(), inherited.Seconds()/2+.01)
}

// atLeast says whether the kernel is as new.
func atLeast(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	require.NoError(t, unix.Uname(&u))
	m, rest := leading(u.Release[:])
	n, _ := leading(rest[1:])
	return m > major || m == major && n >= minor
}

func leading(b []byte) (n int, rest []byte) {
	i := 0
	for ; b[i] >= '0' && b[i] <= '9'; i++ {
		n = 10*n + int(b[i]-'0')
	}
	return n, b[i:]
}
