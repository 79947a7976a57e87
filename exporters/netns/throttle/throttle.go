//go:build linux

// Package throttle watches CPU throttling between scrapes. A scrape sees how many
// periods of a CPU quota ran out, never how long each of them stood still or how
// many did so in a row, which is what a user waits for. The [Sampler] holds
// cpu.stat of each cgroup that has a quota open and reads it twice per period.
//
// The totals are the kernel's: the count of the histogram of periods grows by
// nr_throttled and its sum by the throttled time of cpu.stat, from when the cgroup was first
// seen. Which period a time belongs to is exact as long as samples come in time;
// where one comes late and finds several throttled periods, or where a cgroup
// stands still for several, each gets their mean. Throttled time is summed over
// CPUs, by the kernel: eight CPUs that stand still for 50 ms are 0.4 s.
//
// The maxima are those of the last minute, whoever asks and however often:
// several scrapers do not take them from one another, and each that comes at
// least once a minute sees each maximum.
package throttle

import (
	"slices"
	"time"

	"github.com/tocsin/tocsin/exporters/netns/cgroup"
)

// periodBuckets are upper bounds in seconds, runBuckets in periods.
func periodBuckets() []float64 { return []float64{.005, .01, .025, .05, .1, .25, .5, 1} }

func runBuckets() []float64 { return []float64{1, 2, 3, 5, 10, 20, 50, 100} }

// histogram counts observations in buckets that are not cumulative.
type histogram struct {
	bounds []float64
	counts []uint64 // one more than bounds
	count  uint64
	sum    float64
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

// observe adds n observations of v each, that are sum together.
func (h *histogram) observe(v float64, n uint64, sum float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i] += n
	h.count += n
	h.sum += sum
}

// cumulative is the buckets as Prometheus has them.
func (h *histogram) cumulative() map[float64]uint64 {
	out := make(map[float64]uint64, len(h.bounds))
	var sum uint64
	for i, b := range h.bounds {
		sum += h.counts[i]
		out[b] = sum
	}
	return out
}

// slots is into how many parts the window of a maximum is cut.
const slots = 12

// peak is the maximum of a window that slides.
type peak struct {
	values [slots + 1]float64
	at     int64 // slot of the last observation or look
}

// turn forgets what has left the window.
func (p *peak) turn(now time.Time, window time.Duration) {
	slot := now.UnixNano() / int64(window/slots)
	for range min(max(slot-p.at, 0), slots+1) {
		p.at++
		p.values[p.at%(slots+1)] = 0
	}
	if slot > p.at { // longer ago than the window
		p.at = slot
	}
}

func (p *peak) observe(now time.Time, window time.Duration, v float64) {
	p.turn(now, window)
	i := p.at % (slots + 1)
	p.values[i] = max(p.values[i], v)
}

func (p *peak) look(now time.Time, window time.Duration) float64 {
	p.turn(now, window)
	return slices.Max(p.values[:])
}

// tally is what has been seen of one cgroup.
type tally struct {
	window           time.Duration
	periods, runs    histogram
	longest, longRun peak

	seen                   bool // the fields below are of a reading
	nrPeriods, nrThrottled uint64
	throttledTime          uint64 // ns
	openPeriods, openTime  uint64 // throttled periods not yet in the histogram, and their time so far
	run                    uint64 // throttled periods in a row, up to now
}

func newTally(window time.Duration) tally {
	return tally{window: window, periods: newHistogram(periodBuckets()), runs: newHistogram(runBuckets())}
}

// add takes a reading. The kernel counts a throttled period when it ends and its
// time when the tasks run again, which may be a moment or several periods later;
// so periods stay open until their time has come and the next one has ended. A
// quota that runs out when nobody wants to run takes no time at all: that is known
// when a period ends that is not throttled.
func (t *tally) add(now time.Time, s *cgroup.Stats) (active bool) {
	periods, _ := s.Get(cgroup.Periods)
	throttled, _ := s.Get(cgroup.Throttled)
	ns, _ := s.Get(cgroup.ThrottledTime)
	if !t.seen || periods < t.nrPeriods || throttled < t.nrThrottled || ns < t.throttledTime {
		t.seen, t.nrPeriods, t.nrThrottled, t.throttledTime = true, periods, throttled, ns
		return true
	}
	dPeriods, dThrottled, dTime := periods-t.nrPeriods, throttled-t.nrThrottled, ns-t.throttledTime
	t.nrPeriods, t.nrThrottled, t.throttledTime = periods, throttled, ns
	if dThrottled > 0 && t.openTime > 0 {
		t.settle(now)
	}
	t.openPeriods += dThrottled
	t.openTime += dTime
	t.count(now, dPeriods, dThrottled)
	return dPeriods > 0
}

// settle closes the open periods.
func (t *tally) settle(now time.Time) {
	sum := float64(t.openTime) / 1e9
	if t.openPeriods == 0 { // a CPU ran again after its period had been settled
		t.periods.sum += sum
	} else {
		mean := sum / float64(t.openPeriods)
		t.periods.observe(mean, t.openPeriods, sum)
		t.longest.observe(now, t.window, mean)
	}
	t.openPeriods, t.openTime = 0, 0
}

// count counts runs. Of a reading that saw throttled periods and others it is not
// known which came first; they are taken as the run's last.
func (t *tally) count(now time.Time, periods, throttled uint64) {
	t.run += throttled
	if t.run > 0 {
		t.longRun.observe(now, t.window, float64(t.run))
	}
	if periods > throttled && t.run > 0 {
		t.runs.observe(float64(t.run), 1, float64(t.run))
		t.run = 0
		t.settle(now)
	}
}
