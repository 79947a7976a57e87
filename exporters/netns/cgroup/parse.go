//go:build linux

package cgroup

import "math"

// The parsers take what a kernel of the last ten years or the next one writes: a
// key that is not known is skipped, a value that is not understood is as one that
// is not there. They allocate nothing.

// parser reads one control file into s.
type parser func(s *Stats, b []byte)

// The units a number may be in, as factors to those of Field.
const (
	ones  = 1
	micro = 1000
)

// none is from where a lone value means that there is none: v1 writes "no memory
// limit" as the greatest multiple of a page that fits a signed word.
const none = 1 << 62

type key struct {
	name  string
	field Field
	unit  uint64
}

// keyed reads lines of "key value".
func keyed(keys ...key) parser {
	return func(s *Stats, b []byte) {
		for len(b) > 0 {
			var l []byte
			l, b = line(b)
			name, rest := word(l)
			for i := range keys {
				if string(name) != keys[i].name {
					continue
				}
				val, _ := word(rest)
				if n, ok := number(val, keys[i].unit); ok {
					s.Set(keys[i].field, n)
				}
				break
			}
		}
	}
}

// lone reads a file of one number; "max", -1 and v1's "unlimited" are none.
func lone(f Field, unit uint64) parser {
	return func(s *Stats, b []byte) {
		w, _ := word(b)
		if n, ok := number(w, unit); ok && n < none {
			s.Set(f, n)
		}
	}
}

// cpuMax reads v2's "quota period", where the quota may be "max".
func cpuMax(s *Stats, b []byte) {
	quota, rest := word(b)
	period, _ := word(rest)
	if n, ok := number(quota, micro); ok {
		s.Set(Quota, n)
	}
	if n, ok := number(period, micro); ok {
		s.Set(Period, n)
	}
}

// pressure reads the totals of a PSI file; the field of "full" follows that of "some".
func pressure(some Field) parser {
	return func(s *Stats, b []byte) {
		for len(b) > 0 {
			var l []byte
			l, b = line(b)
			kind, rest := word(l)
			n, ok := total(rest)
			switch {
			case !ok:
			case string(kind) == "some":
				s.Set(some, n)
			case string(kind) == "full":
				s.Set(some+1, n)
			}
		}
	}
}

// total finds total=<microseconds> among the words of a line.
func total(l []byte) (ns uint64, ok bool) {
	const name = "total="
	for len(l) > 0 {
		var w []byte
		if w, l = word(l); len(w) > len(name) && string(w[:len(name)]) == name {
			return number(w[len(name):], micro)
		}
	}
	return 0, false
}

// tasks: a pid in cgroup.procs is a process in the cgroup itself.
func tasks(s *Stats, b []byte) {
	w, _ := word(b)
	s.Tasks = s.Tasks || len(w) > 0
}

// line splits off the first line of b, without its end.
func line(b []byte) (l, rest []byte) {
	for i, c := range b {
		if c == '\n' {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// word splits off the first word of b.
func word(b []byte) (w, rest []byte) {
	i := 0
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	j := i
	for j < len(b) && !isSpace(b[j]) {
		j++
	}
	return b[i:j], b[j:]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// number reads a decimal without sign and multiplies it; what overflows is no number.
func number(b []byte, unit uint64) (n uint64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n * unit, n <= math.MaxUint64/unit
}
