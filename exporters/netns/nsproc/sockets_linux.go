package nsproc

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
)

// Sockets exposes how many sockets each namespace has, and once what the kernel
// counts for the whole machine though it shows it in every namespace.
type Sockets struct {
	table    *Table
	reader   reader
	limits   reader
	stat     sockstat
	page     uint64
	families socketFamilies
	labels   []byte

	used, inUse, timeWait, queues, memory *exporters.Lines
}

type socketFamilies struct {
	used, inUse, timeWait, queues, memory                        *exporters.Family
	orphans, allocated, tcpMemory, udpMemory, tcpLimit, udpLimit *exporters.Family
}

// NewSockets makes the collector.
func NewSockets(t *Table) *Sockets {
	g := func(name, help string) *exporters.Family {
		return &exporters.Family{Name: name, Help: help, Type: exporters.Gauge}
	}
	return &Sockets{table: t, page: uint64(os.Getpagesize()), families: socketFamilies{
		used:      g("netns_sockets_used", "Sockets of every kind."),
		inUse:     g("netns_sockets_in_use", "Sockets of a protocol."),
		timeWait:  g("netns_sockets_time_wait", "TCP connections that are closed and wait for late segments."),
		queues:    g("netns_fragment_queues", "Packets of which some fragments are still to come."),
		memory:    g("netns_fragment_memory_bytes", "Memory of fragments that wait for others."),
		orphans:   g("netns_host_tcp_orphans", "TCP sockets of the whole machine that no process holds any more."),
		allocated: g("netns_host_tcp_allocated_sockets", "TCP sockets of the whole machine, in any state."),
		tcpMemory: g("netns_host_tcp_memory_bytes", "Memory of the TCP sockets of the whole machine. All namespaces share the limit."),
		udpMemory: g("netns_host_udp_memory_bytes", "Memory of the UDP sockets of the whole machine. All namespaces share the limit."),
		tcpLimit:  g("netns_host_tcp_memory_limit_bytes", "Memory beyond which TCP sockets are refused more: the third of net.ipv4.tcp_mem."),
		udpLimit:  g("netns_host_udp_memory_limit_bytes", "Memory beyond which UDP sockets are refused more: the third of net.ipv4.udp_mem."),
	}}
}

// Name is "sockets".
func (*Sockets) Name() string { return "sockets" }

// Expose writes the sockets of every namespace, and those of the machine.
func (s *Sockets) Expose(ctx context.Context, out *exporters.Text) error {
	look, err := s.table.Look(ctx)
	if err != nil {
		return err
	}
	f := &s.families
	s.used, s.inUse, s.timeWait = out.Family(f.used), out.Family(f.inUse), out.Family(f.timeWait)
	s.queues, s.memory = out.Family(f.queues), out.Family(f.memory)
	if len(look.Namespaces) == 0 {
		return nil
	}
	var machine sockstat
	err = s.table.each(ctx, &s.reader, look, s, func(n *Namespace) {
		machine = s.stat
		s.write(n)
	})
	s.writeMachine(out, &machine)
	return err
}

func (s *Sockets) read(net *reader) error {
	s.stat = sockstat{}
	b, err := net.read("sockstat")
	if err != nil {
		return err
	}
	s.stat.parse(b)
	if b, err = net.read("sockstat6"); errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return err
	}
	s.stat.parse(b)
	return nil
}

func (s *Sockets) write(n *Namespace) {
	set(s.used, n.labels, s.stat.used, 1)
	set(s.timeWait, n.labels, s.stat.timeWait, 1)
	names := protocolNames()
	for p, v := range s.stat.inUse {
		s.labels = exporters.AppendLabel(append(s.labels[:0], n.labels...), "protocol", names[p])
		set(s.inUse, s.labels, v, 1)
	}
	for i, proto := range [2]string{"ip", "ip6"} {
		s.labels = exporters.AppendLabel(append(s.labels[:0], n.labels...), "protocol", proto)
		set(s.queues, s.labels, s.stat.queues[i], 1)
		set(s.memory, s.labels, s.stat.memory[i], 1)
	}
}

func (s *Sockets) writeMachine(out *exporters.Text, m *sockstat) {
	f := &s.families
	set(out.Family(f.orphans), nil, m.orphans, 1)
	set(out.Family(f.allocated), nil, m.allocated, 1)
	set(out.Family(f.tcpMemory), nil, m.tcpPages, s.page)
	set(out.Family(f.udpMemory), nil, m.udpPages, s.page)
	set(out.Family(f.tcpLimit), nil, s.limit("/sys/net/ipv4/tcp_mem"), s.page)
	set(out.Family(f.udpLimit), nil, s.limit("/sys/net/ipv4/udp_mem"), s.page)
}

// limit reads the third of three numbers, in pages.
func (s *Sockets) limit(file string) sample {
	s.limits.path = append(s.limits.path[:0], s.table.options.ProcFS...)
	b, err := s.limits.read(file)
	if err != nil {
		return sample{}
	}
	line, _ := cutLine(b)
	var word []byte
	for range 3 {
		word, line = cutWord(line)
	}
	v, ok := decimal(word)
	return sample{v, ok}
}

func set(l *exporters.Lines, labels []byte, s sample, unit uint64) {
	if s.ok {
		l.Uint(labels, s.v*unit)
	}
}

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
		entries: &exporters.Family{Name: "netns_conntrack_entries", Help: "Connections that are tracked.", Type: exporters.Gauge},
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
		c.counts = append(c.counts, &exporters.Family{Name: "netns_conntrack_" + w[0] + "_total", Help: w[1] + ".", Type: exporters.Counter})
	}
	return c
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
