package nsproc

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func all() *regexp.Regexp { return regexp.MustCompile(`.*`) }

func message(kind uint16, seq uint32, body []byte) []byte {
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, uint32(nlHeader+len(body)))
	b = ne.AppendUint16(b, kind)
	b = ne.AppendUint16(b, 0)
	b = ne.AppendUint32(b, seq)
	return append(ne.AppendUint32(b, 0), body...)
}

func socket(state byte, port uint16, length, limit uint32) []byte {
	b := make([]byte, diagMsg)
	b[1] = state
	binary.BigEndian.PutUint16(b[4:], port)
	binary.NativeEndian.PutUint32(b[56:], length)
	binary.NativeEndian.PutUint32(b[60:], limit)
	return b
}

// naive reads pairs of lines the plain way: words of strings in a map.
func naive(file string) map[string]uint64 {
	out := map[string]uint64{}
	lines := strings.Split(file, "\n")
	for i := 0; i+1 < len(lines); i++ {
		proto, names, ok := strings.Cut(lines[i], ":")
		values, pair := strings.CutPrefix(lines[i+1], proto+":")
		if !ok || !pair {
			continue
		}
		i++
		split := func(r rune) bool { return r == ' ' || r == '\t' }
		words := strings.FieldsFunc(values, split)
		for n, name := range strings.FieldsFunc(names, split) {
			if n == len(words) {
				break
			}
			delete(out, proto+"_"+name)
			if v, err := strconv.ParseUint(words[n], 10, 64); err == nil {
				out[proto+"_"+name] = v
			}
		}
	}
	return out
}

// Two files after another: what was learnt of the first must not be read into
// the second.
func FuzzMIB(f *testing.F) {
	snmp, netstat := string(recorded(f, "snmp")), string(recorded(f, "netstat"))
	f.Add(snmp, netstat)
	f.Add(snmp, strings.Replace(snmp, "Tcp: Rto", "Tcp: New Rto", 1))
	f.Add("Tcp: A B\nTcp: 1\n", "Tcp: A B\nTcp: 1 2\nUdp: C\n")
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.Count(first+second, "\n") > maxHeaders || len(first)+len(second) > maxColumns {
			_ = parseMIB(first, second) // more than is remembered
			return
		}
		require.Equal(t, naive(second), parseMIB(first, second))
	})
}

func FuzzMIB6(f *testing.F) {
	f.Add(recorded(f, "snmp6"), []byte("Ip6New 1\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		e := every{}
		m := mib6{picker: e}
		samples := m.parse(first, nil, e.grow)
		clear(samples)
		samples = m.parse(second, samples, e.grow)
		if bytes.Count(first, []byte{'\n'})+bytes.Count(second, []byte{'\n'}) < maxColumns-2 {
			require.Equal(t, naive6(string(second)), e.values(samples))
		}
	})
}

// naive6 reads names and values the plain way.
func naive6(file string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.SplitSeq(file, "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) == 0 {
			continue
		}
		proto, field := cutProto6(words[0])
		delete(out, proto+"_"+field)
		if len(words) > 1 {
			if v, err := strconv.ParseUint(words[1], 10, 64); err == nil {
				out[proto+"_"+field] = v
			}
		}
	}
	return out
}

func FuzzDevices(f *testing.F) {
	f.Add(recorded(f, "dev"))
	f.Add([]byte("a:1:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"))
	f.Fuzz(func(t *testing.T, file []byte) {
		var d device
		n := 0
		for rest, more := d.next(file); more; rest, more = d.next(rest) {
			n++
			require.NotEmpty(t, d.name)
			require.False(t, bytes.ContainsAny(d.name, " \t\n"))
		}
		require.LessOrEqual(t, n, bytes.Count(file, []byte("\n"))+1)
	})
}

func FuzzSockstat(f *testing.F) {
	f.Add(recorded(f, "sockstat"))
	f.Add(recorded(f, "sockstat6"))
	f.Fuzz(func(t *testing.T, file []byte) {
		var s sockstat
		s.parse(file)
		if s.used.ok {
			require.Contains(t, string(file), "used")
		}
	})
}

func FuzzConntrack(f *testing.F) {
	f.Add([]byte("entries drop\n0000002a 00000001\n"), []byte("entries new drop\n1 2 3\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		names := []string{"drop", "new"}
		var used, fresh conntrack
		used.parse(first, names)
		used.parse(second, names)
		fresh.parse(second, names)
		require.Equal(t, fresh.counts, used.counts)
		require.Equal(t, fresh.entries, used.entries)
	})
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte("391 25 0:4 net:[4026532177] /run/netns/a\\040b rw shared:196 - nsfs nsfs rw\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, m := range parseMounts(file) {
			require.Contains(t, string(file), "net:[")
			require.NotEmpty(t, m.name())
		}
	})
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte("77 (a) b) S) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"))
	f.Add([]byte("12:cpu,cpuacct:/kubepods/pod1/abc\n0::/\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, _ = parseStart(file)
		require.NotContains(t, string(parseCgroup(file)), "\n")
	})
}

func FuzzListeners(f *testing.F) {
	f.Add(append(message(sockDiagByFamily, 7, socket(stateListen, 80, 3, 128)), message(nlDone, 7, nil)...))
	f.Add(message(nlError, 7, []byte{1, 2, 3, 4}))
	f.Add(message(nlOverrun, 7, nil))
	f.Fuzz(func(t *testing.T, answer []byte) {
		found, _, _ := parseListeners(answer, 7, nil)
		require.LessOrEqual(t, len(found), len(answer)/(nlHeader+diagMsg))
		for _, q := range fullest(found, nil) {
			require.Positive(t, q.sockets)
		}
	})
}
