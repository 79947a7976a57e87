//go:build linux

package throttle

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/exporters/netns/cgroup"
	"github.com/tocsin/tocsin/exporters/netns/names"
)

type descs struct {
	periods, runs, longest, longRun *prometheus.Desc // by cgroup
	cgroups, interval, cpu          *prometheus.Desc // of the sampler
}

func describe(inline bool) descs {
	labels := []string{cgroup.Label}
	if inline {
		labels = append(labels, names.InlineLabels()...)
	}
	return descs{
		periods:  prometheus.NewDesc("cgroup_cpu_throttle_period_seconds", "Throttled time of each throttled period of the cgroup's CPU quota, summed over CPUs, since it was first seen.", labels, nil),
		runs:     prometheus.NewDesc("cgroup_cpu_throttle_run_periods", "Length of each run of consecutive throttled periods, once it is over.", labels, nil),
		longest:  prometheus.NewDesc("cgroup_cpu_throttle_max_seconds", "Longest throttled time of a period within the last minute, for each scraper.", labels, nil),
		longRun:  prometheus.NewDesc("cgroup_cpu_throttle_run_max_periods", "Longest run of consecutive throttled periods within the last minute, the one under way included.", labels, nil),
		cgroups:  prometheus.NewDesc("cgroup_throttle_sampler_cgroups", "Cgroups with a CPU quota by how they are sampled: busy, idle (seldom), or skipped because there are too many.", []string{"state"}, nil),
		interval: prometheus.NewDesc("cgroup_throttle_sampler_interval_seconds", "Time between two samples of a busy cgroup; it grows when sampling costs more than its budget.", nil, nil),
		cpu:      prometheus.NewDesc("cgroup_throttle_sampler_cpu_seconds_total", "CPU time spent on sampling.", nil, nil),
	}
}

// Name is "throttle".
func (*Sampler) Name() string { return "throttle" }

// Describe sends all families.
func (s *Sampler) Describe(ch chan<- *prometheus.Desc) {
	d := &s.descs
	for _, desc := range []*prometheus.Desc{d.periods, d.runs, d.longest, d.longRun, d.cgroups, d.interval, d.cpu} {
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
	d := &s.descs
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
			prometheus.MustNewConstHistogram(d.periods, t.periods.count, t.periods.sum, t.periods.cumulative(), values...),
			prometheus.MustNewConstHistogram(d.runs, t.runs.count, t.runs.sum, t.runs.cumulative(), values...),
			prometheus.MustNewConstMetric(d.longest, prometheus.GaugeValue, t.longest.look(now, s.o.Window), values...),
			prometheus.MustNewConstMetric(d.longRun, prometheus.GaugeValue, max(t.longRun.look(now, s.o.Window), float64(t.run)), values...),
		)
	}
	return append(out,
		prometheus.MustNewConstMetric(d.cgroups, prometheus.GaugeValue, float64(busy), "busy"),
		prometheus.MustNewConstMetric(d.cgroups, prometheus.GaugeValue, float64(len(s.watched)-busy), "idle"),
		prometheus.MustNewConstMetric(d.cgroups, prometheus.GaugeValue, float64(s.skipped), "skipped"),
		prometheus.MustNewConstMetric(d.interval, prometheus.GaugeValue, s.o.Interval.Seconds()*float64(s.stride)),
		prometheus.MustNewConstMetric(d.cpu, prometheus.CounterValue, s.cpu.Seconds()),
	), nil
}
