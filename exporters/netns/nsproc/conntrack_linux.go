package nsproc

import (
	"context"

	"github.com/tocsin/tocsin/exporters"
)

// Conntrack exposes the tracked connections of each namespace and what came of
// a full table. The limit is the machine's, and each namespace is held to it: a
// lower one that newer kernels let a namespace have is not visible from outside.
type Conntrack struct {
	table   *Table
	reader  reader
	limits  reader
	stat    conntrack
	names   []string
	counts  []*exporters.Family
	entries *exporters.Family
	limit   *exporters.Family
	lines   []*exporters.Lines
	tracked *exporters.Lines
}

// NewConntrack makes the collector.
func NewConntrack(t *Table) *Conntrack {
	c := &Conntrack{
		table:   t,
		entries: &exporters.Family{Name: "netns_conntrack_entries", Help: "Connections that are tracked.", Type: exporters.Gauge, Labels: []string{"netns"}},
		limit: &exporters.Family{
			Name: "netns_conntrack_entries_limit", Type: exporters.Gauge,
			Help: "Tracked connections beyond which new ones are dropped, in each namespace by itself: net.netfilter.nf_conntrack_max.",
		},
	}
	for _, w := range [][2]string{
		{"drop", "Packets dropped because a connection could not be tracked: the table was full, or memory was short"},
		{"early_drop", "Tracked connections forgotten to make room for a new one"},
		{"insert_failed", "Connections that could not be tracked because one like them was"},
		{"invalid", "Packets that belong to no connection and begin none"},
		{"search_restart", "Look-ups begun again because the table was made larger or moved"},
	} {
		c.names = append(c.names, w[0])
		c.counts = append(c.counts, &exporters.Family{Name: "netns_conntrack_" + w[0] + "_total", Help: w[1] + ".", Type: exporters.Counter, Labels: []string{"netns"}})
	}
	return c
}

// Families are all it may expose.
func (c *Conntrack) Families() []*exporters.Family {
	return append([]*exporters.Family{c.entries, c.limit}, c.counts...)
}

// Name is "conntrack".
func (*Conntrack) Name() string { return "conntrack" }

// Expose writes the connections of every namespace. Without nf_conntrack in the
// kernel there are none.
func (c *Conntrack) Expose(ctx context.Context, out *exporters.Text) error {
	look, err := c.table.Look(ctx)
	if err != nil {
		return err
	}
	c.tracked = out.Family(c.entries)
	c.lines = c.lines[:0]
	for _, f := range c.counts {
		c.lines = append(c.lines, out.Family(f))
	}
	c.limits.path = append(c.limits.path[:0], c.table.options.ProcFS...)
	if b, err := c.limits.read("/sys/net/netfilter/nf_conntrack_max"); err == nil {
		line, _ := cutLine(b)
		v, ok := decimal(line)
		set(out.Family(c.limit), nil, sample{v, ok}, 1)
	}
	return c.table.each(ctx, &c.reader, look, c, c.write)
}

func (c *Conntrack) read(net *reader) error {
	b, err := net.read("stat/nf_conntrack")
	if err != nil {
		return err
	}
	c.stat.parse(b, c.names)
	return nil
}

func (c *Conntrack) write(n *Namespace) {
	set(c.tracked, n.labels, c.stat.entries, 1)
	for i, v := range c.stat.counts {
		set(c.lines[i], n.labels, v, 1)
	}
}
