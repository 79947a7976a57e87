package nsproc

import (
	"context"
	"slices"

	"github.com/tocsin/tocsin/exporters"
)

// Namespaces exposes what namespaces there are and who lives in them.
type Namespaces struct {
	table                                 *Table
	info, workload, count, denied, unread *exporters.Family
}

// NewNamespaces makes the collector.
func NewNamespaces(t *Table) *Namespaces {
	g := func(name, help string, labels ...string) *exporters.Family {
		return &exporters.Family{Name: name, Help: help, Type: exporters.Gauge, Labels: labels}
	}
	return &Namespaces{
		table: t,
		info: g("netns_info", "1 for each network namespace, with the name of what lives in it. "+
			"Join the other series with: * on (instance, netns) group_left (namespace, pod, container, app) netns_info.",
			"netns", "host", "name", "namespace", "pod", "container", "app"),
		workload: g("netns_host_workload_info", "1 for each workload that shares the host's network namespace: its counters are the host's.",
			"netns", "namespace", "pod", "container", "app"),
		count:  g("netns_namespaces", "Network namespaces in use."),
		denied: g("netns_denied_processes", "Processes whose namespace may not be looked at. It takes CAP_SYS_PTRACE."),
		unread: g("netns_empty_namespaces", "Network namespaces that only a bind mount keeps. It takes CAP_SYS_ADMIN to read their counters."),
	}
}

// Families are all it may expose.
func (c *Namespaces) Families() []*exporters.Family {
	return []*exporters.Family{c.info, c.workload, c.count, c.denied, c.unread}
}

// Name is "namespaces".
func (*Namespaces) Name() string { return "namespaces" }

// Expose writes a line for each namespace.
func (c *Namespaces) Expose(ctx context.Context, out *exporters.Text) error {
	look, err := c.table.Look(ctx)
	if err != nil {
		return err
	}
	info, empty := out.Family(c.info), uint64(0)
	for i := range look.Namespaces {
		n := &look.Namespaces[i]
		info.Uint(n.info, 1)
		if n.pids[0] == 0 {
			empty++
		}
	}
	if look.Host >= 0 {
		host := exporters.AppendLabel(nil, "netns", look.Namespaces[look.Host].Name)
		l := out.Family(c.workload)
		for _, who := range look.Workloads {
			l.Uint(who.append(slices.Clip(host)), 1)
		}
	}
	out.Family(c.count).Uint(nil, uint64(len(look.Namespaces)))
	out.Family(c.denied).Uint(nil, uint64(look.Denied))
	out.Family(c.unread).Uint(nil, empty)
	return nil
}
