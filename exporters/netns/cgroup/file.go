//go:build linux

package cgroup

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFile is how much of a control file is read. The longest that is read here
// has some 500 bytes; more is a kernel of the future, whose first fields are
// still true, so what follows is cut at the last whole line.
const maxFile = 8 << 10

// file is a path with its closing NUL. The calls below take it as it is: the
// ones of package unix copy the path each time, which at some twelve files per
// cgroup is most of what reading one would allocate.
type file string

func fileOf(path string) file { return file(path + "\x00") }

// open opens f below dir, or anywhere with unix.AT_FDCWD.
func (f file) open(dir, flags int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(unsafe.StringData(string(f)))), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// read reads f below dir into buf and returns what was read. The kernel answers
// a control file in one read if the buffer holds it.
func (f file) read(dir int, buf []byte) ([]byte, error) {
	fd, err := f.open(dir, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	n, err := readOnce(fd, buf)
	_ = unix.Close(fd)
	if err != nil {
		return nil, err
	}
	return whole(buf[:n], len(buf)), nil
}

func readOnce(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// whole cuts b at its last whole line if it filled the buffer.
func whole(b []byte, size int) []byte {
	if len(b) < size {
		return b
	}
	return b[:bytes.LastIndexByte(b, '\n')+1]
}
