package nsproc

import (
	"bytes"
)

// Bounds on what is remembered of files, whatever they hold.
const (
	maxHeaders = 64
	maxColumns = 1024
)

// sample is a value a file may or may not hold.
type sample struct {
	v  uint64
	ok bool
}

// picker says which sample a field fills, or -1 where nobody wants it. It is
// asked once per field that is new, not once per file.
type picker interface {
	pick(proto, field string) int
}

// mib reads /proc/net/snmp and netstat: pairs of lines, of names and of values.
// The names of a pair are compared with those of an earlier file and taken apart
// only if they are new; then only the columns that are wanted become numbers.
type mib struct {
	picker  picker
	headers []header
}

type header struct {
	line  []byte // "Tcp: RtoAlgorithm RtoMin …"
	slots []int  // by column, up to the last one that is wanted
}

// parse fills samples, which the picker's answers point into; it calls grow when
// it learnt new fields. Lines it does not understand are passed over.
func (m *mib) parse(b []byte, samples []sample, grow func([]sample) []sample) []sample {
	next := 0
	for len(b) > 0 {
		var names, values []byte
		names, b = cutLine(b)
		colon := bytes.IndexByte(names, ':')
		if colon < 0 || !bytes.HasPrefix(b, names[:colon+1]) {
			continue // not the first of a pair
		}
		values, b = cutLine(b)
		h, known := m.header(names, colon, &next)
		if h == nil {
			continue
		}
		if !known {
			samples = grow(samples)
		}
		h.read(values[colon+1:], samples)
	}
	return samples
}

// header finds what is known of a line of names, or learns it. The lines of a
// file come in the order of the file before.
func (m *mib) header(names []byte, colon int, next *int) (h *header, known bool) {
	for range m.headers {
		if *next >= len(m.headers) {
			*next = 0
		}
		h := &m.headers[*next]
		*next++
		if bytes.Equal(h.line, names) {
			return h, true
		}
	}
	if len(m.headers) == maxHeaders {
		return nil, false
	}
	m.headers = append(m.headers, m.learn(names, colon))
	*next = len(m.headers)
	return &m.headers[len(m.headers)-1], false
}

func (m *mib) learn(names []byte, colon int) header {
	h := header{line: bytes.Clone(names)}
	proto, rest := string(names[:colon]), names[colon+1:]
	wanted := 0
	for len(h.slots) < maxColumns {
		var name []byte
		if name, rest = cutWord(rest); len(name) == 0 {
			break
		}
		slot := m.picker.pick(proto, string(name))
		h.slots = append(h.slots, slot)
		if slot >= 0 {
			wanted = len(h.slots)
		}
	}
	h.slots = h.slots[:wanted]
	return h
}

func (h *header) read(values []byte, samples []sample) {
	var word []byte
	for _, slot := range h.slots {
		if word, values = cutWord(values); len(word) == 0 {
			return
		}
		if slot >= 0 {
			samples[slot].v, samples[slot].ok = decimal(word)
		}
	}
}

// mib6 reads /proc/net/snmp6: a name and a value per line. Names are looked for
// where the file before had them.
type mib6 struct {
	picker picker
	names  []name6
}

type name6 struct {
	name []byte
	slot int
}

func (m *mib6) parse(b []byte, samples []sample, grow func([]sample) []sample) []sample {
	next := 0
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		name, value := cutWord(line)
		if len(name) == 0 {
			continue
		}
		n, known := m.find(name, &next)
		if n == nil || n.slot < 0 {
			continue
		}
		if !known {
			samples = grow(samples)
		}
		word, _ := cutWord(value)
		samples[n.slot].v, samples[n.slot].ok = decimal(word)
	}
	return samples
}

func (m *mib6) find(name []byte, next *int) (n *name6, known bool) {
	for range m.names {
		if *next >= len(m.names) {
			*next = 0
		}
		n := &m.names[*next]
		*next++
		if bytes.Equal(n.name, name) {
			return n, true
		}
	}
	if len(m.names) == maxColumns {
		return nil, false
	}
	proto, field := cutProto6(string(name))
	m.names = append(m.names, name6{bytes.Clone(name), m.picker.pick(proto, field)})
	*next = len(m.names)
	return &m.names[len(m.names)-1], false
}

// cutProto6 cuts Ip6InReceives after its 6.
func cutProto6(name string) (proto, field string) {
	for i := range len(name) {
		if name[i] == '6' {
			return name[:i+1], name[i+1:]
		}
	}
	return "", name
}
