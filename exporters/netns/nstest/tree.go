//go:build linux

package nstest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tree is a proc file system made of plain files, with processes in namespaces.
// The number of a namespace is the inode number of a file that the processes in
// it share by links.
type Tree struct {
	Dir string
	t   testing.TB
}

// NewTree makes a tree whose process 1 lives in the namespace "host".
func NewTree(t testing.TB) *Tree {
	t.Helper()
	tree := &Tree{t.TempDir(), t}
	tree.write("ns/.keep", "")
	tree.write("sys/net/netfilter/nf_conntrack_max", "262144\n")
	tree.write("sys/net/ipv4/tcp_mem", "1000 2000\t3000\n")
	tree.write("sys/net/ipv4/udp_mem", "100 200 300\n")
	tree.Process(1, "host", "/init.scope", 0)
	tree.write("1/root/.keep", "")
	tree.write("1/mountinfo", "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
	return tree
}

func (p *Tree) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.Dir, name)
	require.NoError(p.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(p.t, os.WriteFile(path, []byte(text), 0o600))
}

// Process adds a process. n is in its counters, to tell it from others.
func (p *Tree) Process(pid int, namespace, cgroup string, n int) {
	p.t.Helper()
	if _, err := os.Stat(filepath.Join(p.Dir, "ns", namespace)); err != nil {
		p.write("ns/"+namespace, "")
	}
	dir := strconv.Itoa(pid)
	p.write(dir+"/cgroup", "0::"+cgroup+"\n")
	p.write(dir+"/stat", fmt.Sprintf("%d (a b) S 1 %s4711 0\n", pid, strings.Repeat("0 ", 17)))
	for name, text := range netFiles(n) {
		p.write(dir+"/net/"+name, text)
	}
	require.NoError(p.t, os.MkdirAll(filepath.Join(p.Dir, dir, "ns"), 0o700))
	require.NoError(p.t, os.Link(filepath.Join(p.Dir, "ns", namespace), filepath.Join(p.Dir, dir, "ns/net")))
}

// End removes a process.
func (p *Tree) End(pid int) {
	p.t.Helper()
	require.NoError(p.t, os.RemoveAll(filepath.Join(p.Dir, strconv.Itoa(pid))))
}

// Inode is the number of a namespace.
func (p *Tree) Inode(namespace string) string {
	p.t.Helper()
	info, err := os.Stat(filepath.Join(p.Dir, "ns", namespace))
	require.NoError(p.t, err)
	return strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10)
}

// netFiles are those of a kernel that is newer than the code: there are lines,
// columns and words that nobody knows yet.
func netFiles(n int) map[string]string {
	return map[string]string{
		"snmp": fmt.Sprintf("Ip: Forwarding DefaultTTL InReceives InHdrErrors InDiscards NewField\nIp: 1 64 1000 0 %d 9\n"+
			"Tcp: RtoAlgorithm MaxConn ActiveOpens CurrEstab InSegs OutSegs RetransSegs\nTcp: 1 -1 %d 3 18446744073709551615 200 7\n"+
			"Udp: InDatagrams NoPorts RcvbufErrors\nUdp: 5 6 %d\nQuic: Streams\nQuic: 1\n", n, n+1, n+2),
		"netstat":   fmt.Sprintf("TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPNew\nTcpExt: 0 %d %d 1\nIpExt: InOctets\nIpExt: 1\n", n+3, n+4),
		"snmp6":     fmt.Sprintf("Ip6InReceives                   \t%d\nIp6OutNoRoutes                  \t%d\nIcmp6New\t1\n", n, n+5),
		"sockstat":  fmt.Sprintf("sockets: used %d\nTCP: inuse 4 orphan 2 tw 3 alloc 12 mem 99 new 1\nUDP: inuse 1 mem 5\nFRAG: inuse 0 memory 0\n", n+6),
		"sockstat6": "TCP6: inuse 2\nUDP6: inuse 0\nFRAG6: inuse 1 memory 4096\n",
		"dev": "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed\n" +
			"    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n" +
			fmt.Sprintf("  eth0: %d 2 3 4 5 6 7 8 %d 10 11 12 13 14 15 16 17\n", n+7, n+8) +
			"veth\"1: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		"stat/nf_conntrack": "entries clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error new\n" +
			fmt.Sprintf("%08x 0 0 0 00000001 0 0 0 0 00000002 00000003 00000004 0 0\n", n+9) +
			fmt.Sprintf("%08x 0 0 0 00000010 0 0 0 0 00000002 00000003 00000004 0 0\n", n+9),
	}
}
