//go:build linux

package cgroup

import (
	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/names"
)

// Label is the label that carries Group.ID.
const Label = "cgroup"

// metric is one field of Stats on its way out.
type metric struct {
	name, help    string
	field         Field
	counter       bool
	seconds       bool   // the field is in nanoseconds
	ofQuota       bool   // left out without a quota, as long as it is 0
	label, answer string // one label more
}

// metrics are the families in the order in which they are sent; a family's
// members that differ by a label stand together.
func metrics() []metric {
	const (
		waiting = "Time in which at least one task of the cgroup waited for the resource (PSI some)."
		stalled = "Time in which all tasks of the cgroup waited for the resource at once (PSI full)."
		events  = "What the cgroup's memory limits did: low, high, max, oom, and oom_kill for each process killed."
	)
	return []metric{
		{name: "cgroup_cpu_usage_seconds_total", help: "CPU time used, children included.", field: Usage, counter: true, seconds: true},
		{name: "cgroup_cpu_user_seconds_total", help: "CPU time used in user mode, children included; cgroup v2 only.", field: User, counter: true, seconds: true},
		{name: "cgroup_cpu_system_seconds_total", help: "CPU time used in the kernel, children included; cgroup v2 only.", field: System, counter: true, seconds: true},
		{name: "cgroup_cpu_cfs_periods_total", help: "Periods of the cgroup's own CPU quota in which it had something to run.", field: Periods, counter: true, ofQuota: true},
		{name: "cgroup_cpu_cfs_throttled_periods_total", help: "Periods in which the cgroup's own CPU quota ran out.", field: Throttled, counter: true, ofQuota: true},
		{name: "cgroup_cpu_cfs_throttled_seconds_total", help: "Time the cgroup was throttled by its own quota, summed over CPUs.", field: ThrottledTime, counter: true, seconds: true, ofQuota: true},
		{name: "cgroup_cpu_throttled_local_seconds_total", help: "Time the cgroup's tasks were throttled by its own quota or an ancestor's, summed over CPUs; Linux 6.6.", field: ThrottledLocal, counter: true, seconds: true},
		{name: "cgroup_cpu_burst_periods_total", help: "Periods in which the cgroup used quota it had saved.", field: Bursts, counter: true, ofQuota: true},
		{name: "cgroup_cpu_burst_seconds_total", help: "CPU time used beyond the quota out of what was saved.", field: BurstTime, counter: true, seconds: true, ofQuota: true},
		{name: "cgroup_cpu_quota_seconds", help: "CPU time the cgroup may use per period; absent without a quota.", field: Quota, seconds: true},
		{name: "cgroup_cpu_period_seconds", help: "Length of the quota's period; absent without a quota.", field: Period, seconds: true, ofQuota: true},
		{name: "cgroup_cpu_burst_limit_seconds", help: "CPU time the cgroup may save for bursts.", field: BurstLimit, seconds: true, ofQuota: true},
		{name: "cgroup_memory_usage_bytes", help: "Memory charged to the cgroup, page cache and children included.", field: Memory},
		{name: "cgroup_memory_limit_bytes", help: "Memory the cgroup may use at most; absent without a limit.", field: MemoryMax},
		{name: "cgroup_memory_high_bytes", help: "Memory above which the cgroup is slowed down; absent without one, cgroup v2 only.", field: MemoryHigh},
		{name: "cgroup_memory_events_total", help: events, field: MemoryLowEvents, counter: true, label: "event", answer: "low"},
		{name: "cgroup_memory_events_total", help: events, field: MemoryHighEvents, counter: true, label: "event", answer: "high"},
		{name: "cgroup_memory_events_total", help: events, field: MemoryMaxEvents, counter: true, label: "event", answer: "max"},
		{name: "cgroup_memory_events_total", help: events, field: OOMs, counter: true, label: "event", answer: "oom"},
		{name: "cgroup_memory_events_total", help: events, field: OOMKills, counter: true, label: "event", answer: "oom_kill"},
		{name: "cgroup_pids", help: "Tasks (processes and threads) in the cgroup and its children.", field: Pids},
		{name: "cgroup_pids_limit", help: "Tasks the cgroup may have at most; absent without a limit.", field: PidsMax},
		{name: "cgroup_pids_refused_total", help: "Forks refused by the limit.", field: PidsRefused, counter: true},
		{name: "cgroup_pressure_waiting_seconds_total", help: waiting, field: CPUSome, counter: true, seconds: true, label: "resource", answer: "cpu"},
		{name: "cgroup_pressure_waiting_seconds_total", help: waiting, field: IOSome, counter: true, seconds: true, label: "resource", answer: "io"},
		{name: "cgroup_pressure_waiting_seconds_total", help: waiting, field: MemorySome, counter: true, seconds: true, label: "resource", answer: "memory"},
		{name: "cgroup_pressure_stalled_seconds_total", help: stalled, field: CPUFull, counter: true, seconds: true, label: "resource", answer: "cpu"},
		{name: "cgroup_pressure_stalled_seconds_total", help: stalled, field: IOFull, counter: true, seconds: true, label: "resource", answer: "io"},
		{name: "cgroup_pressure_stalled_seconds_total", help: stalled, field: MemoryFull, counter: true, seconds: true, label: "resource", answer: "memory"},
	}
}

// family is what the metric's series share.
func (m *metric) family() exporters.Family {
	typ := exporters.Gauge
	if m.counter {
		typ = exporters.Counter
	}
	labels := []string{Label}
	if m.label != "" {
		labels = append(labels, m.label)
	}
	return exporters.Family{Name: m.name, Help: m.help, Type: typ, Labels: labels}
}

// info is the series that says whose a cgroup is.
func info() exporters.Family {
	return exporters.Family{
		Name: "cgroup_info", Type: exporters.Gauge, Labels: append([]string{Label, "path"}, names.Labels()...),
		Help: "1 for each cgroup, with where it is and whose. Join the other series with: * on (instance, cgroup) group_left (namespace, pod, container, app) cgroup_info.",
	}
}
