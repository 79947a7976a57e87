//go:build linux

package throttle_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/netns/cgroup"
	"github.com/tocsin/tocsin/exporters/netns/cgrouptest"
	"github.com/tocsin/tocsin/exporters/netns/names"
	"github.com/tocsin/tocsin/exporters/netns/throttle"
)

func TestMain(m *testing.M) { cgrouptest.Main(m) }

func sampler(t testing.TB) *throttle.Sampler {
	t.Helper()
	s, err := throttle.New(throttle.Options{Root: cgrouptest.Root, Names: names.New(names.Options{}), Log: slog.New(slog.DiscardHandler), Budget: 1})
	require.NoError(t, err)
	return s
}

// running runs s until the test ends.
func running(t testing.TB, s *throttle.Sampler) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// collector makes a prometheus.Collector of a Sampler.
type collector struct {
	*throttle.Sampler
	ctx context.Context
}

func (c collector) Collect(ch chan<- prometheus.Metric) { _ = c.Sampler.Collect(c.ctx, ch) }

// scrape returns the metrics of one cgroup by family; of none before it is watched.
func scrape(t testing.TB, s *throttle.Sampler, id string) map[string]*dto.Metric {
	t.Helper()
	reg := prometheus.NewRegistry()
	require.NoError(t, reg.Register(collector{s, t.Context()}))
	families, err := reg.Gather()
	require.NoError(t, err)
	out := map[string]*dto.Metric{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == cgroup.Label && l.GetValue() == id {
					out[f.GetName()] = m
				}
			}
		}
	}
	return out
}

func id(t testing.TB, g cgrouptest.Group) string {
	t.Helper()
	tree, err := cgroup.OpenCPU(cgrouptest.Root)
	require.NoError(t, err)
	groups, err := tree.Scan(context.Background())
	require.NoError(t, err)
	for _, c := range groups {
		if c.Path == g.Path {
			return c.ID
		}
	}
	require.Fail(t, "not found", g.Path)
	return ""
}

func watched(t testing.TB, s *throttle.Sampler, id string) {
	t.Helper()
	require.Eventually(t, func() bool { return scrape(t, s, id)["cgroup_cpu_throttle_period_seconds"] != nil }, 30*time.Second, 20*time.Millisecond)
}

// The histogram's count and sum are those of cpu.stat, whatever the load, for
// one thread and for several.
func TestTotalsAreThoseOfTheKernel(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	s := sampler(t)
	g := cgrouptest.Make(t)
	g.Quota(t, 20*time.Millisecond, 100*time.Millisecond)
	running(t, s)
	watched(t, s, id(t, g))
	var wait sync.WaitGroup
	for range 3 {
		b := g.Burner(t)
		wait.Go(func() {
			for range 5 {
				b.Burn(t, 40*time.Millisecond)
			}
		})
	}
	wait.Wait()
	require.Eventually(t, func() bool {
		_, throttled, d := g.Throttled(t, "cpu.stat")
		m := scrape(t, s, id(t, g))
		h, runs := m["cgroup_cpu_throttle_period_seconds"].GetHistogram(), m["cgroup_cpu_throttle_run_periods"].GetHistogram()
		return throttled > 0 && h.GetSampleCount() == throttled && time.Duration(h.GetSampleSum()*1e9+.5).Round(time.Microsecond) == d.Round(time.Microsecond) &&
			runs.GetSampleSum() == float64(throttled)
	}, 20*time.Second, 50*time.Millisecond, "the sampler and the kernel do not agree")
}

// A burst of 60 ms under a quota of 20 ms per 100 ms stands still for some 80 ms
// two or three times. A graph of usage shows 0.4 % of a core over a scrape of 15 s.
func TestASingleBurstIsFound(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	const tries, workers = 100, 10
	s := sampler(t)
	running(t, s)
	var mu sync.Mutex
	found, tried := 0, 0
	var wait sync.WaitGroup
	var groups []cgrouptest.Group
	for range workers {
		groups = append(groups, cgrouptest.Make(t))
		groups[len(groups)-1].Quota(t, 20*time.Millisecond, 100*time.Millisecond)
	}
	for _, g := range groups {
		b, name := g.Burner(t), id(t, g)
		watched(t, s, name)
		wait.Go(func() {
			n := 0
			for range 3 * tries / workers { // on a busy machine some do not get to their quota in a period
				hit, throttled := burst(t, s, g, b, name)
				mu.Lock()
				tried += throttled
				found += hit
				mu.Unlock()
				if n += throttled; n == tries/workers {
					break
				}
			}
		})
	}
	wait.Wait()
	t.Logf("found %d of %d bursts which the kernel throttled", found, tried)
	require.Positive(t, tried, "the machine was too busy for a single burst to run into its quota")
	require.GreaterOrEqual(t, float64(found), .95*float64(tried))
}

// burst returns 1 in throttled if the kernel throttled the burst, and 1 in found if
// the histogram shows the same number of periods with the same time as the kernel,
// some of them above 25 ms if they were as long in the mean: on a busy machine
// the burst takes a good part of a period to use up its quota.
func burst(t *testing.T, s *throttle.Sampler, g cgrouptest.Group, b *cgrouptest.Burner, name string) (found, throttled int) {
	const family = "cgroup_cpu_throttle_period_seconds"
	_, before, timeBefore := g.Throttled(t, "cpu.stat")
	h := scrape(t, s, name)[family].GetHistogram()
	b.Burn(t, 60*time.Millisecond)
	last := uint64(0)
	require.Eventually(t, func() bool { // the period after the last has begun: the burst is over
		periods, _, _ := g.Throttled(t, "cpu.stat")
		quiet := periods == last
		last = periods
		return quiet
	}, 10*time.Second, 120*time.Millisecond)
	_, after, timeAfter := g.Throttled(t, "cpu.stat")
	if after == before {
		return 0, 0
	}
	now := scrape(t, s, name)[family].GetHistogram()
	n, d := after-before, timeAfter-timeBefore
	long := func(h *dto.Histogram) uint64 { return h.GetSampleCount() - h.GetBucket()[2].GetCumulativeCount() }
	sum := time.Duration((now.GetSampleSum() - h.GetSampleSum()) * 1e9)
	if now.GetSampleCount()-h.GetSampleCount() == n && (sum-d).Abs() < time.Microsecond && (d/time.Duration(n) <= 25*time.Millisecond || long(now) > long(h)) {
		return 1, 1
	}
	return 0, 1
}

func TestACgroupThatGoesIsLetGo(t *testing.T) {
	if !cgrouptest.Possible(t) {
		return
	}
	s := sampler(t)
	g := cgrouptest.Make(t)
	g.Quota(t, 20*time.Millisecond, 100*time.Millisecond)
	name := id(t, g)
	require.NoError(t, s.Scan(t.Context()))
	require.NotEmpty(t, scrape(t, s, name))
	require.Equal(t, 1, open(t, g), "its cpu.stat is held")
	g.Remove(t)
	s.Sample()
	require.Empty(t, scrape(t, s, name))
	require.Zero(t, open(t, g))
}

// open counts the descriptors this process has in g.
func open(t *testing.T, g cgrouptest.Group) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err == nil && filepath.Base(filepath.Dir(to)) == filepath.Base(g.Dir) {
			n++
		}
	}
	return n
}
