//go:build linux

package throttle

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/netns/cgroup"
)

// at is a reading of cpu.stat: periods, throttled periods and throttled time in ms.
type at struct{ periods, throttled, ms uint64 }

func read(tt *tally, now time.Time, r at) {
	var s cgroup.Stats
	s.Set(cgroup.Periods, r.periods)
	s.Set(cgroup.Throttled, r.throttled)
	s.Set(cgroup.ThrottledTime, r.ms*1e6)
	tt.add(now, &s)
}

func TestTally(t *testing.T) {
	for name, c := range map[string]struct {
		readings   []at
		count, sum uint64   // ms
		over25     uint64   // periods throttled for longer than 25 ms
		runs       []uint64 // by bucket: 1, 2, 3, 5, 10 …
		open       uint64   // of the run under way
		longest    float64  // s
	}{
		"what was before the first reading is not ours": {readings: []at{{100, 50, 4000}, {101, 50, 4000}}},
		"a burst, seen period by period": {
			readings: []at{{0, 0, 0}, {1, 1, 80}, {2, 2, 150}, {3, 2, 150}},
			count:    2, sum: 150, over25: 2, runs: []uint64{0, 1}, longest: .08,
		},
		"a time that comes after its period": {
			readings: []at{{0, 0, 0}, {1, 1, 0}, {1, 1, 70}, {2, 2, 75}, {3, 2, 75}},
			count:    2, sum: 75, over25: 1, runs: []uint64{0, 1}, longest: .07,
		},
		"standing still for three periods": {
			readings: []at{{0, 0, 0}, {1, 1, 0}, {2, 2, 0}, {3, 3, 270}, {4, 3, 270}},
			count:    3, sum: 270, over25: 3, runs: []uint64{0, 0, 1}, longest: .09,
		},
		"a reading that comes late": {
			readings: []at{{0, 0, 0}, {4, 3, 240}},
			count:    3, sum: 240, over25: 3, runs: []uint64{0, 0, 1}, longest: .08,
		},
		"a quota that ran out when nobody wanted to run": {
			readings: []at{{0, 0, 0}, {1, 1, 80}, {2, 2, 80}, {3, 2, 80}},
			count:    2, sum: 80, over25: 1, runs: []uint64{0, 1}, longest: .08,
		},
		"one alone":               {readings: []at{{0, 0, 0}, {1, 1, 0}, {2, 1, 0}}, count: 1, runs: []uint64{1}},
		"a run under way":         {readings: []at{{0, 0, 0}, {7, 7, 210}}, count: 7, sum: 210, over25: 7, open: 7, longest: .03},
		"counters that went back": {readings: []at{{0, 0, 0}, {9, 9, 900}, {1, 0, 0}, {2, 1, 40}, {3, 1, 40}}, count: 10, sum: 940, over25: 10, runs: []uint64{0, 0, 0, 0, 1}, longest: .1},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_700_000_000, 0)
			tt := newTally(time.Minute)
			for _, r := range c.readings {
				now = now.Add(50 * time.Millisecond)
				read(&tt, now, r)
			}
			if tt.openTime > 0 {
				tt.settle(now)
			}
			require.Equal(t, c.count, tt.periods.count)
			require.InDelta(t, float64(c.sum)/1000, tt.periods.sum, 1e-9)
			require.Equal(t, c.over25, tt.periods.count-tt.periods.cumulative()[.025])
			want := make([]uint64, len(tt.runs.counts))
			copy(want, c.runs)
			require.Equal(t, want, tt.runs.counts)
			require.Equal(t, c.open, tt.run)
			require.InDelta(t, c.longest, tt.longest.look(now, tt.window), 1e-9)
			require.Zero(t, tt.longest.look(now.Add(2*time.Minute), tt.window), "forgotten after the window")
		})
	}
}

// Several scrapers, each at its own pace of at most the window, see each maximum.
func TestEachScraperSeesEachMaximum(t *testing.T) {
	const window = time.Minute
	start := time.Unix(1_700_000_000, 0)
	for _, every := range []time.Duration{5 * time.Second, 15 * time.Second, time.Minute} {
		for offset := time.Duration(0); offset < every; offset += 1700 * time.Millisecond {
			var p peak
			var seen float64
			p.observe(start, window, .3)
			for at := offset; at <= 2*window; at += every {
				v := p.look(start.Add(at), window)
				if at <= window {
					require.Equal(t, .3, v)
				}
				seen = max(seen, v)
			}
			require.Equal(t, .3, seen)
			require.Zero(t, p.look(start.Add(2*window), window))
		}
	}
}

func TestThePeakIsTheMaximumOfItsWindow(t *testing.T) {
	var p peak
	now := time.Unix(1_700_000_000, 0)
	for i, v := range []float64{.1, .5, .2, .05} {
		p.observe(now.Add(time.Duration(i)*20*time.Second), time.Minute, v)
	}
	require.Equal(t, .5, p.look(now.Add(60*time.Second), time.Minute))
	require.Equal(t, .2, p.look(now.Add(95*time.Second), time.Minute))
	require.Equal(t, .05, p.look(now.Add(115*time.Second), time.Minute))
	require.Zero(t, p.look(now.Add(time.Hour), time.Minute))
}

func TestTheSamplerKeepsItsBudget(t *testing.T) {
	s := &Sampler{o: Options{Budget: .03}, stride: 1}
	for _, want := range []int{2, 4, 8, 8} {
		s.govern(50*time.Millisecond, time.Second)
		require.Equal(t, want, s.stride)
	}
	s.govern(20*time.Millisecond, time.Second)
	require.Equal(t, 8, s.stride, "neither dear nor cheap")
	for _, want := range []int{4, 2, 1, 1} {
		s.govern(5*time.Millisecond, time.Second)
		require.Equal(t, want, s.stride)
	}
}
