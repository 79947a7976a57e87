package nsproc

import (
	"fmt"
	"maps"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

// every picks every field, and remembers which sample is whose.
type every map[string]int

func (e every) pick(proto, field string) int {
	key := proto + "_" + field
	if _, known := e[key]; !known {
		e[key] = len(e)
	}
	return e[key]
}

func (e every) grow(samples []sample) []sample {
	for len(samples) < len(e) {
		samples = append(samples, sample{})
	}
	return samples
}

func (e every) values(samples []sample) map[string]uint64 {
	out := map[string]uint64{}
	for key, i := range e {
		if samples[i].ok {
			out[key] = samples[i].v
		}
	}
	return out
}

func parseMIB(files ...string) map[string]uint64 {
	e := every{}
	m := mib{picker: e}
	var samples []sample
	for _, f := range files {
		clear(samples)
		samples = m.parse([]byte(f), samples, e.grow)
	}
	return e.values(samples)
}

func TestMIB(t *testing.T) {
	const known = "Tcp: RtoMin CurrEstab InSegs\nTcp: 200 7 18446744073709551615\nUdp: NoPorts\nUdp: 3\n"
	want := map[string]uint64{"Tcp_RtoMin": 200, "Tcp_CurrEstab": 7, "Tcp_InSegs": math.MaxUint64, "Udp_NoPorts": 3}
	for name, c := range map[string]struct {
		files []string
		want  map[string]uint64
	}{
		"as it is":              {[]string{known}, want},
		"twice":                 {[]string{known, known}, want},
		"a line more":           {[]string{known, "New: A B\nNew: 1 2\n" + known}, merged(want, "New_A", 1, "New_B", 2)},
		"a line less":           {[]string{known, "Udp: NoPorts\nUdp: 3\n"}, map[string]uint64{"Udp_NoPorts": 3}},
		"a column more":         {[]string{known, strings.NewReplacer("NoPorts\n", "NoPorts New\n", ": 3\n", ": 3 4\n").Replace(known)}, merged(want, "Udp_New", 4)},
		"columns moved":         {[]string{known, "Tcp: InSegs CurrEstab\nTcp: 1 2\n"}, map[string]uint64{"Tcp_InSegs": 1, "Tcp_CurrEstab": 2}},
		"fewer values":          {[]string{"Tcp: A B\nTcp: 1\n"}, map[string]uint64{"Tcp_A": 1}},
		"more values":           {[]string{"Tcp: A\nTcp: 1 2 3\n"}, map[string]uint64{"Tcp_A": 1}},
		"negative":              {[]string{"Tcp: MaxConn B\nTcp: -1 5\n"}, map[string]uint64{"Tcp_B": 5}},
		"too large":             {[]string{"Tcp: A B\nTcp: 18446744073709551616 5\n"}, map[string]uint64{"Tcp_B": 5}},
		"no number":             {[]string{"Tcp: A B\nTcp: x1 5\n"}, map[string]uint64{"Tcp_B": 5}},
		"cut off":               {[]string{"Tcp: A B\nTcp: 1 5"}, map[string]uint64{"Tcp_A": 1, "Tcp_B": 5}},
		"names without values":  {[]string{"Tcp: A B\nUdp: C\nUdp: 1\n"}, map[string]uint64{"Udp_C": 1}},
		"nonsense between":      {[]string{"\x00\xff:\n\nTcp: A\nTcp: 1\n"}, map[string]uint64{"Tcp_A": 1}},
		"empty":                 {[]string{""}, map[string]uint64{}},
		"the file before ended": {[]string{known, ""}, map[string]uint64{}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, parseMIB(c.files...)) })
	}
}

func merged(m map[string]uint64, pairs ...any) map[string]uint64 {
	out := map[string]uint64{}
	maps.Copy(out, m)
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = uint64(pairs[i+1].(int))
	}
	return out
}

// What a file makes remembered is bounded, whatever it holds.
func TestMIBForgetsNothingAndLearnsOnlySoMuch(t *testing.T) {
	e := every{}
	m := mib{picker: e}
	var samples []sample
	for i := range 10 * maxHeaders {
		samples = m.parse(fmt.Appendf(nil, "P%d: A\nP%d: 1\n", i, i), samples, e.grow)
	}
	require.Len(t, m.headers, maxHeaders)
	wide := "W:" + strings.Repeat(" X", 10*maxColumns)
	w := mib{picker: e}
	w.parse([]byte(wide+"\n"+wide+"\n"), samples, e.grow)
	require.LessOrEqual(t, len(w.headers[0].slots), maxColumns)
	m6 := mib6{picker: e}
	for i := range 10 * maxColumns {
		samples = m6.parse(fmt.Appendf(nil, "Ip6X%d 1\n", i), samples, e.grow)
	}
	require.Len(t, m6.names, maxColumns)
	f := newFields(nil)
	f.match = nil
	f.help = map[string]string{}
	for i := range 2 * maxFamilies {
		f.help[fmt.Sprintf("P_F%d", i)] = "x"
		f.pick("P", fmt.Sprintf("F%d", i))
	}
	require.Len(t, f.families, maxFamilies)
}

// node_exporter's library reads the same of a recorded machine.
func TestAgreesWithProcfs(t *testing.T) {
	got := parseMIB(string(recorded(t, "snmp")) + string(recorded(t, "netstat")))
	dir := t.TempDir()
	for _, name := range []string{"snmp", "netstat", "dev", "sockstat", "snmp6"} {
		require.NoError(t, os.MkdirAll(dir+"/1/net", 0o700))
		require.NoError(t, os.MkdirAll(dir+"/net", 0o700))
		require.NoError(t, os.WriteFile(dir+"/1/net/"+name, recorded(t, name), 0o600))
		require.NoError(t, os.WriteFile(dir+"/net/"+name, recorded(t, name), 0o600))
	}
	fs, err := procfs.NewFS(dir)
	require.NoError(t, err)
	p, err := fs.Proc(1)
	require.NoError(t, err)
	snmp, err := p.Snmp()
	require.NoError(t, err)
	netstat, err := p.Netstat()
	require.NoError(t, err)
	for key, want := range map[string]*float64{
		"Tcp_RetransSegs": snmp.RetransSegs, "Tcp_PassiveOpens": snmp.PassiveOpens, "Udp_InDatagrams": snmp.Udp.InDatagrams,
		"Ip_InReceives": snmp.InReceives, "TcpExt_TCPTimeouts": netstat.TCPTimeouts, "TcpExt_TCPSynRetrans": netstat.TCPSynRetrans,
		"IpExt_InOctets": netstat.InOctets, "TcpExt_TCPAbortOnData": netstat.TCPAbortOnData,
	} {
		require.NotNil(t, want, key)
		require.InDelta(t, *want, float64(got[key]), 0, key)
		require.Positive(t, got[key], key)
	}
	devices, err := p.NetDev()
	require.NoError(t, err)
	var d device
	n := 0
	for rest, more := d.next(recorded(t, "dev")); more; rest, more = d.next(rest) {
		want := devices[string(d.name)]
		require.Equal(t, want.RxBytes, d.values[0])
		require.Equal(t, want.TxPackets, d.values[9])
		require.Equal(t, want.TxCompressed, d.values[15])
		n++
	}
	require.Len(t, devices, n)
}

func TestMIB6(t *testing.T) {
	e := every{}
	m := mib6{picker: e}
	var samples []sample
	for _, c := range []struct {
		file string
		want map[string]uint64
	}{
		{"Ip6InReceives                   \t248\nIcmp6OutType135\t2\n", map[string]uint64{"Ip6_InReceives": 248, "Icmp6_OutType135": 2}},
		{"Ip6New\t1\nIp6InReceives\t249\n\n\x00\nname\nUdp6NoPorts x\nUdpLite6InDatagrams 7", map[string]uint64{"Ip6_New": 1, "Ip6_InReceives": 249, "UdpLite6_InDatagrams": 7}},
		{"", map[string]uint64{}},
	} {
		clear(samples)
		samples = m.parse([]byte(c.file), samples, e.grow)
		require.Equal(t, c.want, e.values(samples))
	}
}

func TestDevices(t *testing.T) {
	row := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"recorded":      {string(recorded(t, "dev")), []string{"lo", "ifb0", "ifb1", "eth0"}},
		"no blank":      {"eth0:1" + row[2:] + "\n", []string{"eth0"}},
		"columns more":  {"  eth0:" + row + " 17 18\n", []string{"eth0"}},
		"columns less":  {"  eth0: 1 2 3\n  eth1:" + row + "\n", []string{"eth1"}},
		"an alias":      {"  eth0:1:" + row + "\n", []string{"eth0:1"}},
		"two words":     {"eth 0:" + row + "\n", nil},
		"no name":       {"  :" + row + "\n", nil},
		"bytes":         {"  \xff\"\\{}:" + row, []string{"\xff\"\\{}"}},
		"negative":      {"  eth0: -1" + row + "\n", nil},
		"nothing there": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var d device
			for rest, more := d.next([]byte(c.file)); more; rest, more = d.next(rest) {
				got = append(got, string(d.name))
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestSockstat(t *testing.T) {
	var s sockstat
	s.parse([]byte("sockets: used 46\nTCP: inuse 23 orphan 1 tw 1281 alloc 24 mem 313 new 5\nUDP: inuse 2 mem 3\nFRAG: inuse 4 memory 5\nNEW: inuse 9\nTCP: odd\nx\n"))
	s.parse([]byte("TCP6: inuse 6\nUDPLITE6: inuse 7\nFRAG6: inuse 8 memory x\n"))
	require.Equal(t, sockstat{
		used: sample{46, true}, timeWait: sample{1281, true}, orphans: sample{1, true}, allocated: sample{24, true},
		tcpPages: sample{313, true}, udpPages: sample{3, true}, queues: [2]sample{{4, true}, {8, true}}, memory: [2]sample{{5, true}, {}},
		inUse: [protocols]sample{tcp: {23, true}, udp: {2, true}, tcp6: {6, true}, udplite6: {7, true}},
	}, s)
}

func TestConntrack(t *testing.T) {
	names := []string{"drop", "early_drop", "insert_failed"}
	var c conntrack
	for _, f := range []struct {
		file    string
		entries uint64
		counts  []sample
	}{
		{"entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error\n" +
			"0000002a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000010 00000003 00000000\n" +
			"0000002a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000001 00000000 00000000\n", 42, []sample{{17, true}, {3, true}, {2, true}}},
		{"entries searched drop\n00000001 0000000f 00000002\n", 1, []sample{{2, true}, {}, {}}}, // another kernel
		{"entries searched drop\n", 0, []sample{{}, {}, {}}},
		{"entries searched drop\n0000000g 1 1\n", 0, []sample{{}, {}, {}}},
		{"", 0, []sample{{}, {}, {}}},
	} {
		c.parse([]byte(f.file), names)
		require.Equal(t, f.entries, c.entries.v)
		require.Equal(t, f.counts, c.counts)
	}
}

func TestMounts(t *testing.T) {
	found := parseMounts([]byte(`22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
391 25 0:4 net:[4026532177] /run/netns/blue rw shared:196 - nsfs nsfs rw
392 25 0:4 net:[4026532178] /run/docker/netns/a\040b\134 rw - nsfs nsfs rw
393 25 0:4 mnt:[4026532179] /run/x rw - nsfs nsfs rw
394 25 0:4 net:[4026532180] /run/liar rw - tmpfs tmpfs rw
395 25 0:4 net:[abc] /run/liar rw - nsfs nsfs rw
net:[1] - nsfs
396 25 0:4 net:[4026532181] /run/netns/odd\9 rw - nsfs nsfs rw`))
	require.Equal(t, []mount{{4026532177, 391, "/run/netns/blue"}, {4026532178, 392, `/run/docker/netns/a b\`}, {4026532181, 396, `/run/netns/odd\9`}}, found)
	require.Equal(t, `a b\`, found[1].name())
}

func TestCgroupAndStart(t *testing.T) {
	require.Equal(t, "/kubepods/burstable/pod1/abc", string(parseCgroup([]byte("12:cpu,cpuacct:/kubepods/burstable/pod1/abc\n1:name=systemd:/x:y\n0::/\n"))))
	require.Equal(t, "/system.slice/docker-abc.scope", string(parseCgroup([]byte("0::/system.slice/docker-abc.scope\n"))))
	require.Empty(t, parseCgroup([]byte("nonsense\n\n")))
	start, ok := parseStart([]byte("77 (a) b) S) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21"))
	require.True(t, ok)
	require.EqualValues(t, 4711, start)
	_, ok = parseStart([]byte("77 (sleep) S 1 2"))
	require.False(t, ok)
}

func TestNamesOfFields(t *testing.T) {
	for in, want := range map[string]string{
		"TCPSynRetrans": "tcp_syn_retrans", "ListenOverflows": "listen_overflows", "InECNPkts": "in_ecn_pkts",
		"TcpExt": "tcp_ext", "OutType135": "out_type135", "TW": "tw", "Ip6": "ip6", "MPTcpExt": "mp_tcp_ext", "MPJoinAckHMacFailure": "mp_join_ack_hmac_failure",
	} {
		require.Equal(t, want, snake(in))
	}
	f := newFields(all())
	require.Equal(t, -1, f.pick("Tcp", "RtoMin"), "a constant")
	require.Equal(t, -1, f.pick("Tcp", "A{}\n"), "no name of a metric")
	require.Equal(t, -1, f.pick("é", "A"))
	i := f.pick("Tcp", "CurrEstab")
	require.Equal(t, "netns_tcp_curr_estab", f.families[i].Name)
	require.Equal(t, i, f.pick("Tcp", "CurrEstab"))
	require.Equal(t, "netns_new_ext_things_done_total", f.families[f.pick("NewExt", "ThingsDone")].Name)
	require.Equal(t, -1, newFields(nil).pick("NewExt", "ThingsDone"))
}

func TestListenersOfADump(t *testing.T) {
	req := appendListenRequest(nil, 2, 7)
	require.Len(t, req, nlHeader+diagReq)
	a := message(sockDiagByFamily, 7, socket(stateListen, 80, 3, 128))
	b := message(sockDiagByFamily, 7, socket(1, 81, 3, 128)) // not listening
	old := message(sockDiagByFamily, 6, socket(stateListen, 82, 3, 128))
	done := message(nlDone, 7, []byte{0, 0, 0, 0})
	found, end, err := parseListeners(append(append(append([]byte{}, a...), b...), old...), 7, nil)
	require.NoError(t, err)
	require.False(t, end)
	require.Equal(t, []listener{{80, 3, 128}}, found)
	_, end, err = parseListeners(done, 7, nil)
	require.True(t, end)
	require.NoError(t, err)
	_, end, err = parseListeners(message(nlError, 7, []byte{0xff, 0xff, 0xff, 0xff}), 7, nil)
	require.True(t, end)
	require.ErrorContains(t, err, "operation not permitted")
	for _, hostile := range [][]byte{message(nlError, 7, nil), message(nlOverrun, 7, nil), {255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 16)} {
		_, end, err = parseListeners(hostile, 7, nil)
		require.True(t, end)
		require.Error(t, err)
	}
	queues := fullest([]listener{{80, 1, 10}, {80, 5, 10}, {80, 5, 100}, {443, 0, 0}}, nil)
	require.Equal(t, []portQueue{{listener{80, 5, 10}, 3}, {listener{443, 0, 0}, 1}}, queues)
}
