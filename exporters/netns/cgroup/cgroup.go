//go:build linux

// Package cgroup finds the cgroups of a machine and reads what each of them
// suffers: CPU quota and throttling, also that inherited from a parent,
// pressure, memory and tasks against their limits. It knows cgroup v1, v2 and
// the hybrid of both, under systemd's layout and cgroupfs', however deeply nested.
//
// A cgroup is named by its [Group.ID], which is made of its path and its inode: a
// cgroup that is removed and made again under the same path is another one, and so
// is one that was given a dead one's inode. Reading opens the directory, compares
// the inode and reads beneath that descriptor, so that nothing of a successor is
// ever taken for its predecessor's. No descriptor is kept.
package cgroup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// ErrGone says that a cgroup was removed, or made anew, since it was found.
var ErrGone = errors.New("cgroup is gone")

// Group is one cgroup, seen in one or more hierarchies.
type Group struct {
	// ID is 12 hex digits, the same for every exporter that reads this cgroup.
	ID string
	// Path is where it is below the root of its hierarchies: /kubepods/…, or / for the root.
	Path string

	at    []place // by hierarchy
	inode uint64  // in the first hierarchy that has it
	round uint64  // of the last scan that saw it
}

// place is a cgroup's directory in one hierarchy.
type place struct {
	dir   file
	inode uint64 // 0: it is not in this hierarchy
	round uint64
}

// identify makes an ID from the path and the inode in the first hierarchy that
// has the cgroup. On 64-bit kernels the inode carries a generation and does not
// come back before 2^32 cgroups have gone; elsewhere the path keeps apart what it can.
func identify(path string, inode uint64) string {
	h := sha256.New()
	h.Write([]byte(path))
	h.Write(binary.BigEndian.AppendUint64([]byte{0}, inode))
	return hex.EncodeToString(h.Sum(nil)[:6])
}
