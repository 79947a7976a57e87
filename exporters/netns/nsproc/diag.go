package nsproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// What follows speaks sock_diag(7): one request for the listening TCP sockets of
// a family, answered by a dump of netlink messages in the byte order of the machine.

const (
	nlHeader  = 16 // struct nlmsghdr
	diagReq   = 56 // struct inet_diag_req_v2
	diagMsg   = 72 // struct inet_diag_msg
	nlDone    = 3
	nlError   = 2
	nlOverrun = 4

	sockDiagByFamily = 20
	nlRequestDump    = 0x1 | 0x300
	protoTCP         = 6
	stateListen      = 10
)

var errInterrupted = errors.New("dump was interrupted")

// listener is a listening socket: connections that wait to be taken, and how
// many may. It is full when length is greater than limit: the kernel lets one
// more in than listen(2) was told.
type listener struct {
	port          uint16
	length, limit uint32
}

// appendListenRequest asks for the listening TCP sockets of an address family.
func appendListenRequest(b []byte, family byte, seq uint32) []byte {
	ne := binary.NativeEndian
	b = ne.AppendUint32(b, nlHeader+diagReq)
	b = ne.AppendUint16(b, sockDiagByFamily)
	b = ne.AppendUint16(b, nlRequestDump)
	b = ne.AppendUint32(b, seq)
	b = ne.AppendUint32(b, 0)
	b = append(b, family, protoTCP, 0, 0)
	b = ne.AppendUint32(b, 1<<stateListen)
	return append(b, make([]byte, diagReq-8)...) // any address, any port
}

// parseListeners adds the sockets of one datagram to found. done is at the end
// of the dump, or at an error.
func parseListeners(b []byte, seq uint32, found []listener) (_ []listener, done bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= nlHeader {
		size, kind := ne.Uint32(b), ne.Uint16(b[4:])
		if size < nlHeader || uint64(size) > uint64(len(b)) {
			return found, true, fmt.Errorf("netlink message of %d bytes in %d", size, len(b))
		}
		body := b[nlHeader:size]
		fromUs := ne.Uint32(b[8:]) == seq
		b = b[min(len(b), int(size+3)&^3):]
		if !fromUs {
			continue // an answer to a request that was given up
		}
		switch kind {
		case nlDone:
			return found, true, nil
		case nlError:
			if len(body) < 4 {
				return found, true, errors.New("netlink error without a number")
			}
			return found, true, syscall.Errno(-int32(ne.Uint32(body)))
		case nlOverrun:
			return found, true, errInterrupted
		case sockDiagByFamily:
			if len(body) >= diagMsg && body[1] == stateListen {
				found = append(found, listener{
					port:   binary.BigEndian.Uint16(body[4:]),
					length: ne.Uint32(body[56:]), limit: ne.Uint32(body[60:]),
				})
			}
		}
	}
	return found, false, nil
}

// fullest keeps, of the sockets of each port, the one that is nearest to its
// limit, with the number of sockets of the port, in order of ports.
func fullest(found []listener, into []portQueue) []portQueue {
	into = into[:0]
	for _, l := range found {
		if n := len(into) - 1; n >= 0 && into[n].port == l.port {
			into[n].sockets++
			if l.fuller(into[n].listener) {
				into[n].listener = l
			}
			continue
		}
		into = append(into, portQueue{l, 1})
	}
	return into
}

type portQueue struct {
	listener
	sockets uint64
}

func (l listener) fuller(than listener) bool {
	a := uint64(l.length) * uint64(max(than.limit, 1))
	b := uint64(than.length) * uint64(max(l.limit, 1))
	return a > b || a == b && l.limit < than.limit
}
