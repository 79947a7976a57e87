//go:build linux

package throttle

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/cgroup"
	"github.com/tocsin/tocsin/exporters/netns/names"
)

// What it sends: of each cgroup, and of the sampler itself.
const (
	periods = iota
	runs
	longest
	longRun
	cgroups
	interval
	cpu
)

func families(inline bool) []*exporters.Family {
	of := []string{cgroup.Label}
	if inline {
		of = append(of, names.InlineLabels()...)
	}
	return []*exporters.Family{
		periods: {
			Name: "cgroup_cpu_throttle_period_seconds", Type: exporters.Histogram, Labels: of,
			Help: "Throttled time of each throttled period of the cgroup's CPU quota, summed over CPUs, since it was first seen.",
		},
		runs: {
			Name: "cgroup_cpu_throttle_run_periods", Type: exporters.Histogram, Labels: of,
			Help: "Length of each run of consecutive throttled periods, once it is over.",
		},
		longest: {
			Name: "cgroup_cpu_throttle_max_seconds", Type: exporters.Gauge, Labels: of,
			Help: "Longest throttled time of a period within the window (--collector.throttle.window), summed over CPUs.",
		},
		longRun: {
			Name: "cgroup_cpu_throttle_run_max_periods", Type: exporters.Gauge, Labels: of,
			Help: "Longest run of consecutive throttled periods within the window, the one under way included.",
		},
		cgroups: {
			Name: "cgroup_throttle_sampler_cgroups", Type: exporters.Gauge, Labels: []string{"state"},
			Help: "Cgroups with a CPU quota by how they are sampled: busy, idle (seldom), or skipped because there are too many.",
		},
		interval: {
			Name: "cgroup_throttle_sampler_interval_seconds", Type: exporters.Gauge,
			Help: "Time between two samples of a busy cgroup; it grows when sampling costs more than its budget.",
		},
		cpu: {
			Name: "cgroup_throttle_sampler_cpu_seconds_total", Type: exporters.Counter,
			Help: "CPU time spent on sampling.",
		},
	}
}

// descs are the families as client_golang has them.
func descs(families []*exporters.Family) []*prometheus.Desc {
	out := make([]*prometheus.Desc, 0, len(families))
	for _, f := range families {
		out = append(out, prometheus.NewDesc(f.Name, f.Help, f.Labels, nil))
	}
	return out
}

// Name is "throttle".
func (*Sampler) Name() string { return "throttle" }

// Families are all it may expose.
func (s *Sampler) Families() []*exporters.Family { return families(s.o.Inline) }

// Describe sends all families.
func (s *Sampler) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range s.descs {
		ch <- desc
	}
}

// Collect takes one more sample of each cgroup, so that the totals are cpu.stat's
// of this moment, and sends what was seen.
func (s *Sampler) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	metrics, err := s.snapshot(ctx)
	for _, m := range metrics {
		ch <- m
	}
	return err
}

// snapshot does not hold the lock while anyone takes the metrics.
func (s *Sampler) snapshot(ctx context.Context) ([]prometheus.Metric, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	d := s.descs
	var out []prometheus.Metric
	busy := 0
	for _, w := range s.watched {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if s.read(w, now); w.gone() {
			continue
		}
		t := &w.tally
		if t.openTime > 0 {
			t.settle(now)
		}
		if now.Sub(w.busy) <= idleAfter {
			busy++
		}
		values := []string{w.group.ID}
		if s.o.Inline {
			values = append(values, s.o.Names.Resolve(w.group.Path).InlineValues()...)
		}
		out = append(out,
			prometheus.MustNewConstHistogram(d[periods], t.periods.count, t.periods.sum, t.periods.cumulative(), values...),
			prometheus.MustNewConstHistogram(d[runs], t.runs.count, t.runs.sum, t.runs.cumulative(), values...),
			prometheus.MustNewConstMetric(d[longest], prometheus.GaugeValue, t.longest.look(now, s.o.Window), values...),
			prometheus.MustNewConstMetric(d[longRun], prometheus.GaugeValue, max(t.longRun.look(now, s.o.Window), float64(t.run)), values...),
		)
	}
	return append(out,
		prometheus.MustNewConstMetric(d[cgroups], prometheus.GaugeValue, float64(busy), "busy"),
		prometheus.MustNewConstMetric(d[cgroups], prometheus.GaugeValue, float64(len(s.watched)-busy), "idle"),
		prometheus.MustNewConstMetric(d[cgroups], prometheus.GaugeValue, float64(s.skipped), "skipped"),
		prometheus.MustNewConstMetric(d[interval], prometheus.GaugeValue, s.o.Interval.Seconds()*float64(s.stride)),
		prometheus.MustNewConstMetric(d[cpu], prometheus.CounterValue, s.cpu.Seconds()),
	), nil
}
