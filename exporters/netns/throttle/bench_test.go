//go:build linux

package throttle_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
	"github.com/tocsin/tocsin/exporters/netns/names"
	"github.com/tocsin/tocsin/exporters/netns/throttle"
)

// BenchmarkSampler is what 1,000 cgroups with a quota cost at 20 Hz, in percent
// of a core, with all of them busy and with none; the floor reads the held files
// and does nothing else, the naive way opens and closes them. Looking for new
// cgroups every 2 s comes on top.
func BenchmarkSampler(b *testing.B) {
	if !cgrouptest.Possible(b) {
		return
	}
	const groups, hz = 1000, 20
	parent := cgrouptest.Make(b)
	var files []string
	var all []cgrouptest.Group
	for i := range groups {
		g := parent.Child(b, fmt.Sprint("c", i))
		all = append(all, g)
		g.Quota(b, 20*time.Millisecond, 100*time.Millisecond)
		files = append(files, filepath.Join(g.Dir, "cpu.stat"))
	}
	measure := func(name string, perSecond float64, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				f()
			}
			b.ReportMetric(100*perSecond*(cpuTime()-before).Seconds()/float64(b.N), "%core")
		})
	}
	clock := time.Now()
	s, err := throttle.New(throttle.Options{Root: cgrouptest.Root, Names: names.New(names.Options{}), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return clock }})
	require.NoError(b, err)
	require.NoError(b, s.Scan(b.Context()))
	measure("floor", hz, hold(b, files))
	for range 20 { // until all turns have come
		s.Sample()
	}
	measure("ours-busy", hz, s.Sample) // they count as busy for a second, and this clock stands
	clock = clock.Add(time.Minute)
	s.Sample()
	measure("ours-idle", hz, s.Sample)
	measure("ours-scan", .5, func() { require.NoError(b, s.Scan(b.Context())) })
	herd(b, all)
	measure("naive", hz, func() {
		buf := make([]byte, 1024)
		for _, f := range files {
			fd, err := unix.Open(f, unix.O_RDONLY, 0)
			require.NoError(b, err)
			_, _ = unix.Read(fd, buf)
			_ = unix.Close(fd)
		}
	})
}

// herd runs the sampler for some seconds while all cgroups are busy and takes its
// own word for what it cost, looking for new cgroups included.
func herd(b *testing.B, groups []cgrouptest.Group) {
	b.Helper()
	b.Run("ours-herd", func(b *testing.B) {
		if !cgrouptest.Herd(b, groups) {
			return
		}
		s := sampler(b)
		running(b, s)
		b.ResetTimer()
		watched(b, s, id(b, groups[len(groups)-1]))
		before, at := ownCost(b, s), time.Now()
		<-time.After(8 * time.Second) // whatever b.N is
		m := scrape(b, s, id(b, groups[0]))
		require.NotNil(b, m["cgroup_cpu_throttle_max_seconds"])
		b.ReportMetric(100*(ownCost(b, s)-before)/time.Since(at).Seconds(), "%core")
	})
}

// ownCost is the sampler's CPU seconds so far.
func ownCost(b *testing.B, s *throttle.Sampler) float64 {
	b.Helper()
	reg := prometheus.NewRegistry()
	require.NoError(b, reg.Register(collector{s, b.Context()}))
	families, err := reg.Gather()
	require.NoError(b, err)
	for _, f := range families {
		if f.GetName() == "cgroup_throttle_sampler_cpu_seconds_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// hold reads 1,000 held files once.
func hold(b *testing.B, files []string) func() {
	b.Helper()
	var fds []int
	for _, f := range files {
		fd, err := unix.Open(f, unix.O_RDONLY, 0)
		require.NoError(b, err)
		b.Cleanup(func() { _ = unix.Close(fd) })
		fds = append(fds, fd)
	}
	buf := make([]byte, 1024)
	return func() {
		for _, fd := range fds {
			_, _ = unix.Pread(fd, buf, 0)
		}
	}
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
