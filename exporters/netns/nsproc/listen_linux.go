package nsproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
)

// Listen exposes the queues of listening TCP sockets, by port.
//
// /proc/<pid>/net/tcp has them too, but to read it costs the machine's whole
// table of sockets for each namespace, milliseconds for one without a socket, and
// it does not have the limit. sock_diag(7) costs microseconds; its socket must be
// opened in the namespace, which takes CAP_SYS_ADMIN. The thread is back before
// anything is asked, and the socket is closed after: one that is held would keep
// the namespace.
type Listen struct {
	table  *Table
	budget time.Duration
	ports  int
	next   uint64 // inode number of the namespace the next scrape begins with

	length, limit, sockets, hidden *exporters.Family

	reader   reader
	dial     func() error // opens socket, in the namespace
	socket   int
	patience unix.Timeval

	request, answer, labels []byte
	found                   []listener
	queues                  []portQueue
	seq                     uint32
}

// NewListen asks for as long as the budget lasts; what was left out comes first
// at the next scrape. At most ports of a namespace are exposed, the fullest ones.
func NewListen(t *Table, budget time.Duration, ports int) *Listen {
	g := func(name, help string, labels ...string) *exporters.Family {
		return &exporters.Family{Name: name, Help: help, Type: exporters.Gauge, Labels: labels}
	}
	l := &Listen{
		table: t, patience: unix.Timeval{Sec: 1}, budget: budget, ports: ports,
		length:  g("netns_listen_queue_length", "Connections that wait to be accepted, of the socket of the port whose queue is nearest to its limit.", "netns", "port"),
		limit:   g("netns_listen_queue_limit", "Length beyond which that socket takes no more connections: the lesser of listen(2)'s backlog and net.core.somaxconn.", "netns", "port"),
		sockets: g("netns_listen_sockets", "Sockets that listen on the port, IPv4 and IPv6.", "netns", "port"),
		hidden:  g("netns_listen_hidden_ports", "Listening ports of the namespace that are not exposed because there are too many.", "netns"),
	}
	l.dial = func() (err error) {
		l.socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
		return err
	}
	return l
}

// Families are all it may expose.
func (l *Listen) Families() []*exporters.Family {
	return []*exporters.Family{l.length, l.limit, l.sockets, l.hidden}
}

// Name is "listen".
func (*Listen) Name() string { return "listen" }

// Expose writes the queues of as many namespaces as the budget allows.
func (l *Listen) Expose(ctx context.Context, out *exporters.Text) error {
	look, err := l.table.Look(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.budget)
	defer cancel()
	lines := listenLines{out.Family(l.length), out.Family(l.limit), out.Family(l.sockets), out.Family(l.hidden)}
	all := look.Namespaces
	begin, _ := slices.BinarySearchFunc(all, l.next, func(n Namespace, inode uint64) int { return cmp.Compare(n.inode, inode) })
	var first error
	for i := range all {
		n := &all[(begin+i)%len(all)]
		if i > 0 && ctx.Err() != nil { // the first one is always asked: no budget is too small to come round
			l.next = n.inode
			return errors.Join(first, fmt.Errorf("%d of %d namespaces are left for the next scrape, after %s", len(all)-i, len(all), l.budget))
		}
		switch err := l.ask(n); {
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("%w: the listen collector takes CAP_SYS_ADMIN", err)
		case err == nil:
		case passing(err):
			continue
		default:
			first = cmp.Or(first, err)
			continue
		}
		l.queues = fullest(l.found, l.queues)
		l.write(n, lines)
	}
	return first
}

type listenLines struct{ length, limit, sockets, hidden *exporters.Lines }

// write exposes the queues of a namespace, the fullest ones where there are too many.
func (l *Listen) write(n *Namespace, out listenLines) {
	if more := len(l.queues) - l.ports; more > 0 {
		slices.SortFunc(l.queues, func(a, b portQueue) int {
			switch {
			case a.fuller(b.listener):
				return -1
			case b.fuller(a.listener):
				return 1
			}
			return cmp.Compare(a.port, b.port)
		})
		l.queues = l.queues[:l.ports]
		out.hidden.Uint(n.labels, uint64(more))
	}
	for _, q := range l.queues {
		l.labels = append(append(l.labels[:0], n.labels...), `,port="`...)
		l.labels = append(strconv.AppendUint(l.labels, uint64(q.port), 10), '"')
		out.length.Uint(l.labels, uint64(q.length))
		out.limit.Uint(l.labels, uint64(q.limit))
		out.sockets.Uint(l.labels, q.sockets)
	}
}

// ask fills found with the listening sockets of a namespace, in order of ports.
func (l *Listen) ask(n *Namespace) error {
	l.found = l.found[:0]
	l.socket = -1
	err := l.table.within(&l.reader, n, l.dial)
	if l.socket >= 0 {
		defer func() { _ = unix.Close(l.socket) }()
	}
	if err != nil {
		return err
	}
	// the kernel answers a dump at once; the time-out is for one that does not
	if err := unix.SetsockoptTimeval(l.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &l.patience); err != nil {
		return fmt.Errorf("set receive timeout: %w", err)
	}
	for _, family := range [2]byte{unix.AF_INET, unix.AF_INET6} {
		if err := l.dump(l.socket, family); err != nil {
			return fmt.Errorf("dump listening sockets: %w", err)
		}
	}
	slices.SortFunc(l.found, func(a, b listener) int { return cmp.Compare(a.port, b.port) })
	return nil
}

func (l *Listen) dump(fd int, family byte) error {
	l.seq++
	l.request = appendListenRequest(l.request[:0], family, l.seq)
	if _, err := unix.Write(fd, l.request); err != nil {
		return err
	}
	if l.answer == nil {
		l.answer = make([]byte, 64<<10)
	}
	for {
		n, err := read(fd, l.answer)
		if err != nil {
			return err
		}
		var done bool
		if l.found, done, err = parseListeners(l.answer[:n], l.seq, l.found); done {
			if errors.Is(err, unix.ENOENT) {
				return nil // a kernel without this family
			}
			return err
		}
	}
}
