package nsproc

import "bytes"

// The columns of /proc/net/dev.
const deviceColumns = 16

// device is one line of /proc/net/dev: its name and its columns, of which newer
// kernels may have more and none has had fewer since 2.2.
type device struct {
	name   []byte
	values [deviceColumns]uint64
}

// next reads the next device of the file into d; more is false at its end.
// Lines that are no device's, the two of the head among them, are passed over.
func (d *device) next(b []byte) (rest []byte, more bool) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		// a name holds neither a colon nor a blank, unless it is an old alias (eth0:1)
		colon := bytes.LastIndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name, after := cutWord(line[:colon])
		if len(name) == 0 || len(bytes.TrimLeft(after, " \t")) > 0 {
			continue
		}
		d.name = name
		if d.columns(line[colon+1:]) {
			return b, true
		}
	}
	return nil, false
}

func (d *device) columns(b []byte) (ok bool) {
	var word []byte
	for i := range d.values {
		word, b = cutWord(b)
		if d.values[i], ok = decimal(word); !ok {
			return false
		}
	}
	return true
}

// sockstat is what /proc/net/sockstat and sockstat6 say. The kernel counts
// orphan, alloc and mem for the whole machine and shows them in every namespace.
type sockstat struct {
	used     sample
	timeWait sample
	inUse    [protocols]sample
	queues   [2]sample // of fragments; IPv4, IPv6
	memory   [2]sample // of fragments, in bytes

	orphans, allocated, tcpPages, udpPages sample // of the machine
}

// The protocols that have a count of sockets in use, in the order of inUse.
const (
	tcp = iota
	udp
	udplite
	raw
	tcp6
	udp6
	udplite6
	raw6
	protocols
)

func protocolNames() [protocols]string {
	return [protocols]string{"tcp", "udp", "udplite", "raw", "tcp6", "udp6", "udplite6", "raw6"}
}

// parse adds what a file says. Words it does not know are passed over.
func (s *sockstat) parse(b []byte) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		proto, pairs := line[:colon], line[colon+1:]
		for {
			var key, word []byte
			key, pairs = cutWord(pairs)
			word, pairs = cutWord(pairs)
			if len(word) == 0 {
				break
			}
			if into := s.field(proto, key); into != nil {
				into.v, into.ok = decimal(word)
			}
		}
	}
}

func (s *sockstat) field(proto, key []byte) *sample {
	if string(key) == "inuse" {
		switch string(proto) {
		case "FRAG":
			return &s.queues[0]
		case "FRAG6":
			return &s.queues[1]
		}
		if p := protocolOf(proto); p >= 0 {
			return &s.inUse[p]
		}
		return nil
	}
	switch string(proto) {
	case "sockets":
		if string(key) == "used" {
			return &s.used
		}
	case "TCP":
		switch string(key) {
		case "tw":
			return &s.timeWait
		case "orphan":
			return &s.orphans
		case "alloc":
			return &s.allocated
		case "mem":
			return &s.tcpPages
		}
	case "UDP":
		if string(key) == "mem" {
			return &s.udpPages
		}
	case "FRAG":
		if string(key) == "memory" {
			return &s.memory[0]
		}
	case "FRAG6":
		if string(key) == "memory" {
			return &s.memory[1]
		}
	}
	return nil
}

func protocolOf(word []byte) int {
	switch string(word) {
	case "TCP":
		return tcp
	case "UDP":
		return udp
	case "UDPLITE":
		return udplite
	case "RAW":
		return raw
	case "TCP6":
		return tcp6
	case "UDP6":
		return udp6
	case "UDPLITE6":
		return udplite6
	case "RAW6":
		return raw6
	}
	return -1
}

// conntrack reads /proc/net/stat/nf_conntrack: a line of names, then one line of
// hexadecimal numbers for each CPU.
type conntrack struct {
	head  []byte // the line of names which columns were learnt from
	slots []int  // by column; -1 where it is not wanted

	entries sample // every line has the count of the whole namespace
	counts  []sample
}

// parse leaves counts with the sums over the CPUs. names are those of counts.
func (c *conntrack) parse(b []byte, names []string) {
	c.entries = sample{}
	if len(c.counts) != len(names) {
		c.counts = make([]sample, len(names))
	}
	clear(c.counts)
	var line []byte
	line, b = cutLine(b)
	if !bytes.Equal(line, c.head) || c.slots == nil {
		c.learn(line, names)
	}
	for len(b) > 0 {
		line, b = cutLine(b)
		c.row(line)
	}
}

func (c *conntrack) learn(line []byte, names []string) {
	c.head, c.slots = append(c.head[:0], line...), []int{}
	for len(c.slots) < maxColumns {
		var word []byte
		if word, line = cutWord(line); len(word) == 0 {
			return
		}
		slot := -1
		for i, n := range names {
			if n == string(word) {
				slot = i
			}
		}
		c.slots = append(c.slots, slot)
	}
}

func (c *conntrack) row(line []byte) {
	for column, slot := range c.slots {
		var word []byte
		word, line = cutWord(line)
		v, ok := hexadecimal(word)
		if !ok {
			return
		}
		if column == 0 {
			c.entries = sample{v, true}
		}
		if slot >= 0 {
			c.counts[slot].v += v
			c.counts[slot].ok = true
		}
	}
}
