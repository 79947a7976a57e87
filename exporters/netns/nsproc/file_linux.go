package nsproc

import (
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFile is the largest file that is read, in bytes: a thousand interfaces make
// 120 kB of /proc/net/dev.
const maxFile = 8 << 20

// reader reads files of /proc again and again into the same buffer. Its paths
// are bytes with a NUL at their end, as the kernel takes them: a string for each
// of thousands of files a scrape would be the largest part of our garbage.
type reader struct {
	path []byte
	buf  []byte
	link []byte
}

// at begins a path below the process, or below thread-self for pid 0.
func (r *reader) at(proc string, pid int32) *reader {
	r.path = append(append(r.path[:0], proc...), '/')
	if pid == 0 {
		r.path = append(r.path, "thread-self"...)
	} else {
		r.path = strconv.AppendInt(r.path, int64(pid), 10)
	}
	return r
}

// read returns the whole file below the path; the bytes are good until the next
// read. The path stays what at made of it.
func (r *reader) read(name string) ([]byte, error) {
	base := len(r.path)
	r.path = append(append(r.path, name...), 0)
	fd, err := open(r.path, unix.O_RDONLY)
	r.path = r.path[:base]
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	if r.buf == nil {
		r.buf = make([]byte, 32<<10)
	}
	for n := 0; ; {
		m, err := read(fd, r.buf[n:])
		if err != nil {
			return nil, err
		}
		if n += m; m == 0 {
			return r.buf[:n], nil
		}
		if n == len(r.buf) {
			if n >= maxFile {
				return nil, fmt.Errorf("%s: more than %d bytes", name, maxFile)
			}
			r.buf = append(r.buf, make([]byte, n)...)
		}
	}
}

// open takes a path that ends with a NUL.
func open(path []byte, flags int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, atCWD(), uintptr(unsafe.Pointer(&path[0])), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

func read(fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func atCWD() uintptr {
	cwd := unix.AT_FDCWD
	return uintptr(cwd)
}

// identity is what tells a namespace from every other one. Inode numbers are
// used again, the lowest free one first; id never is, within a boot, but kernels
// before 6.18 do not tell it: there it is 0.
type identity struct {
	inode uint64
	id    uint64
}

// identify asks which namespace the file of a path (with a NUL at its end) is,
// without opening it: an open file would hold the namespace.
func (r *reader) identify(path []byte, handles bool) (identity, error) {
	if handles {
		return handle(path)
	}
	var stat unix.Stat_t
	_, _, errno := unix.Syscall6(unix.SYS_NEWFSTATAT, atCWD(), uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&stat)), 0, 0, 0)
	if errno != 0 {
		return identity{}, errno
	}
	return identity{inode: stat.Ino}, nil
}

// inode asks for the number alone, in the cheapest way: the kernel writes it
// into the link, net:[4026531840]. A tree of plain files has no links.
func (r *reader) inode(path []byte) (identity, error) {
	if r.link == nil {
		r.link = make([]byte, 64)
	}
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, atCWD(), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(&r.link[0])), uintptr(len(r.link)), 0, 0)
	switch errno {
	case 0:
	case unix.EINVAL:
		return r.identify(path, false)
	default:
		return identity{}, errno
	}
	if inode, ok := bracketed(r.link[:n]); ok {
		return identity{inode: inode}, nil
	}
	return identity{}, unix.EINVAL
}

// fileHandle is struct file_handle with struct nsfs_file_handle in it
// (include/uapi/linux/nsfs.h, since 6.18).
type fileHandle struct {
	size   uint32
	kind   int32
	id     uint64
	nstype uint32
	inode  uint32
}

// The kind of handle that nsfs gives (FILEID_NSFS).
const handleNSFS = 0xf1

func handle(path []byte) (identity, error) {
	h := fileHandle{size: 16}
	var mount int32
	_, _, errno := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, atCWD(), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&mount)), unix.AT_SYMLINK_FOLLOW, 0)
	if errno != 0 {
		return identity{}, errno
	}
	if h.kind != handleNSFS || h.nstype != unix.CLONE_NEWNET {
		return identity{}, unix.EOPNOTSUPP
	}
	return identity{uint64(h.inode), h.id}, nil
}

// handlesWork says whether the kernel tells the identity of a namespace.
func handlesWork(proc string) bool {
	_, err := handle([]byte(proc + "/thread-self/ns/net\x00"))
	return err == nil
}
