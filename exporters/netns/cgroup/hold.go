//go:build linux

package cgroup

import (
	"errors"

	"golang.org/x/sys/unix"
)

// CPUStat is a cgroup's cpu.stat, held open. It does not keep the cgroup: one that
// is removed answers ErrGone from then on.
type CPUStat struct {
	fd   int
	size int
	last [300]byte // as far as it goes: that of Linux 6.18 has 200 bytes
}

// HoldCPUStat opens g's cpu.stat in the hierarchy of OpenCPU. The caller closes it.
func (t *Tree) HoldCPUStat(g *Group) (*CPUStat, error) {
	dir, err := g.at[0].open()
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := file("cpu.stat\x00").open(dir, unix.O_RDONLY)
	if gone(err) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	return &CPUStat{fd: fd}, nil
}

// Read reads the counters anew into s, whose other fields it leaves, by way of
// buf. changed is false, and s as it was, if the file says the same as at the last Read.
func (c *CPUStat) Read(s *Stats, buf []byte) (changed bool, err error) {
	n, err := unix.Pread(c.fd, buf, 0)
	switch {
	case err == nil:
	case errors.Is(err, unix.EINTR):
		return false, nil // the next one comes soon
	case errors.Is(err, unix.ENODEV):
		return false, ErrGone
	default:
		return false, err
	}
	if n == c.size && n <= len(c.last) && string(buf[:n]) == string(c.last[:n]) {
		return false, nil
	}
	c.size = n
	copy(c.last[:], buf[:n])
	cpuStat(s, whole(buf[:n], len(buf)))
	return true, nil
}

// Close closes the file.
func (c *CPUStat) Close() error { return unix.Close(c.fd) }

// cpuStat reads what throttling needs of cpu.stat of either version.
func cpuStat(s *Stats, b []byte) {
	for len(b) > 0 {
		var l []byte
		l, b = line(b)
		name, rest := word(l)
		val, _ := word(rest)
		field, unit := Periods, uint64(ones)
		switch string(name) {
		case "nr_periods":
		case "nr_throttled":
			field = Throttled
		case "throttled_usec":
			field, unit = ThrottledTime, micro
		case "throttled_time":
			field = ThrottledTime
		default:
			continue
		}
		if n, ok := number(val, unit); ok {
			s.Set(field, n)
		}
	}
}
