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
	g := func(name, help string, labels ...string) *exporters.Family {
		return &exporters.Family{Name: name, Help: help, Type: exporters.Gauge, Labels: labels}
	}
	return &Sockets{table: t, page: uint64(os.Getpagesize()), families: socketFamilies{
		used:      g("netns_sockets_used", "Sockets of every kind.", "netns"),
		inUse:     g("netns_sockets_in_use", "Sockets of a protocol.", "netns", "protocol"),
		timeWait:  g("netns_sockets_time_wait", "TCP connections that are closed and wait for late segments.", "netns"),
		queues:    g("netns_fragment_queues", "Packets of which some fragments are still to come.", "netns", "protocol"),
		memory:    g("netns_fragment_memory_bytes", "Memory of fragments that wait for others.", "netns", "protocol"),
		orphans:   g("netns_host_tcp_orphans", "TCP sockets of the whole machine that no process holds any more."),
		allocated: g("netns_host_tcp_allocated_sockets", "TCP sockets of the whole machine, in any state."),
		tcpMemory: g("netns_host_tcp_memory_bytes", "Memory of the TCP sockets of the whole machine. All namespaces share the limit."),
		udpMemory: g("netns_host_udp_memory_bytes", "Memory of the UDP sockets of the whole machine. All namespaces share the limit."),
		tcpLimit:  g("netns_host_tcp_memory_limit_bytes", "Memory beyond which TCP sockets are refused more: the third of net.ipv4.tcp_mem."),
		udpLimit:  g("netns_host_udp_memory_limit_bytes", "Memory beyond which UDP sockets are refused more: the third of net.ipv4.udp_mem."),
	}}
}

// Families are all it may expose.
func (s *Sockets) Families() []*exporters.Family {
	f := s.families
	return []*exporters.Family{
		f.used, f.inUse, f.timeWait, f.queues, f.memory,
		f.orphans, f.allocated, f.tcpMemory, f.udpMemory, f.tcpLimit, f.udpLimit,
	}
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
