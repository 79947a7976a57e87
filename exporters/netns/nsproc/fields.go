package nsproc

import (
	"cmp"
	"regexp"
	"strings"
	"unicode"

	"github.com/tocsin/tocsin/exporters"
)

// maxFamilies bounds the names a collector makes of what files hold.
const maxFamilies = 1000

// fields turns the fields of snmp, netstat and snmp6 into metrics. It is the
// picker of their parsers: a field that matches is given a sample and a family
// when it is first seen.
type fields struct {
	match    *regexp.Regexp // of Proto_Field
	help     map[string]string
	families []*exporters.Family // by sample
	index    map[string]int      // by the family's name
}

// defaultFields are the fields that people look at, of about 400, with their
// help. Their meaning is RFC 4293, 4022 and 4113's, and for TcpExt the kernel's
// Documentation/networking/snmp_counter.rst.
func defaultFields() map[string]string {
	return map[string]string{
		"Ip_InHdrErrors": "Packets dropped for errors in their header",
		"Ip_InDiscards":  "Packets dropped on receipt though nothing was wrong with them",
		"Ip_OutDiscards": "Packets dropped on sending though nothing was wrong with them",
		"Ip_OutNoRoutes": "Packets dropped because no route led to their destination",
		"Ip_ReasmFails":  "Packets that could not be put together from fragments",
		"Ip_FragFails":   "Packets dropped because they had to be fragmented and could not be",

		"Ip6_InDiscards":  "Packets dropped on receipt though nothing was wrong with them",
		"Ip6_OutDiscards": "Packets dropped on sending though nothing was wrong with them",
		"Ip6_OutNoRoutes": "Packets dropped because no route led to their destination",

		"Tcp_ActiveOpens":  "Connections begun from here",
		"Tcp_PassiveOpens": "Connections taken from a listening socket",
		"Tcp_AttemptFails": "Connections that were refused, or timed out before they were open",
		"Tcp_EstabResets":  "Open connections that were reset",
		"Tcp_CurrEstab":    "Connections that are open now",
		"Tcp_InSegs":       "Segments received",
		"Tcp_OutSegs":      "Segments sent, retransmitted ones not counted",
		"Tcp_RetransSegs":  "Segments sent again",
		"Tcp_InErrs":       "Segments received with errors",
		"Tcp_OutRsts":      "Resets sent",

		"TcpExt_SyncookiesSent":       "SYN cookies sent because the queue of half-open connections was full",
		"TcpExt_ListenOverflows":      "Connections not taken because the queue of a listening socket was full",
		"TcpExt_ListenDrops":          "Connections not taken by a listening socket, for any reason",
		"TcpExt_TCPTimeouts":          "Times a retransmission timer ran out",
		"TcpExt_TCPSynRetrans":        "SYN and SYN-ACK segments sent again",
		"TcpExt_TCPLostRetransmit":    "Retransmitted segments that were lost too",
		"TcpExt_TCPAbortOnData":       "Connections reset because data came for a socket that was closed",
		"TcpExt_TCPAbortOnTimeout":    "Connections given up after too many retransmissions",
		"TcpExt_TCPAbortOnMemory":     "Connections given up for want of memory",
		"TcpExt_TCPBacklogDrop":       "Segments dropped because the backlog of a busy socket was full",
		"TcpExt_TCPRcvQDrop":          "Segments dropped because the receive queue of a socket was full",
		"TcpExt_TCPZeroWindowDrop":    "Segments dropped because the receive window was closed",
		"TcpExt_TCPReqQFullDrop":      "SYNs dropped because the queue of half-open connections was full and SYN cookies are off",
		"TcpExt_TCPReqQFullDoCookies": "SYNs answered with a SYN cookie because the queue of half-open connections was full",

		"Udp_InDatagrams":  "Datagrams delivered",
		"Udp_OutDatagrams": "Datagrams sent",
		"Udp_NoPorts":      "Datagrams for a port on which nobody listened",
		"Udp_InErrors":     "Datagrams that could not be delivered, for other reasons than that nobody listened",
		"Udp_RcvbufErrors": "Datagrams dropped because the receive buffer of a socket was full",
		"Udp_SndbufErrors": "Datagrams dropped because the send buffer of a socket was full",

		"Udp6_NoPorts":      "Datagrams for a port on which nobody listened",
		"Udp6_InErrors":     "Datagrams that could not be delivered, for other reasons than that nobody listened",
		"Udp6_RcvbufErrors": "Datagrams dropped because the receive buffer of a socket was full",
		"Udp6_SndbufErrors": "Datagrams dropped because the send buffer of a socket was full",
	}
}

// newFields picks the fields whose Proto_Field the expression matches, or the
// default ones where it is nil.
func newFields(match *regexp.Regexp) *fields {
	return &fields{match: match, help: defaultFields(), index: map[string]int{}}
}

// constants are written among the counters and count nothing.
func constant(key string) bool {
	switch key {
	case "Tcp_RtoAlgorithm", "Tcp_RtoMin", "Tcp_RtoMax", "Tcp_MaxConn":
		return true
	}
	return false
}

func gauge(key string) bool {
	switch key {
	case "Tcp_CurrEstab", "Ip_Forwarding", "Ip_DefaultTTL":
		return true
	}
	return false
}

func (f *fields) pick(proto, field string) int {
	key := proto + "_" + field
	help, usual := f.help[key]
	wanted := usual
	if f.match != nil {
		wanted = f.match.MatchString(key)
	}
	name := "netns_" + snake(proto) + "_" + snake(field)
	if !wanted || constant(key) || !legal(name) {
		return -1
	}
	kind := exporters.Counter
	if gauge(key) {
		kind = exporters.Gauge
	} else {
		name += "_total"
	}
	if i, known := f.index[name]; known {
		return i // two spellings of one name: the later line of the file counts
	}
	if len(f.families) == maxFamilies {
		return -1
	}
	f.index[name] = len(f.families)
	f.families = append(f.families, &exporters.Family{
		Name: name, Type: kind, Labels: []string{"netns"}, Help: cmp.Or(help, "What the kernel counts as "+proto+" "+field) + " (" + key + ").",
	})
	return f.index[name]
}

func (f *fields) grow(samples []sample) []sample {
	for len(samples) < len(f.families) {
		samples = append(samples, sample{})
	}
	return samples
}

// snake turns TCPSynRetrans into tcp_syn_retrans: a word begins at an upper case
// letter that follows a lower case one or a digit, or that a lower case one
// follows; a single letter is no word (HMac is hmac).
func snake(s string) string {
	var out strings.Builder
	begun := 0 // of the word under way
	for i, c := range s {
		begins := i > 0 && unicode.IsUpper(c) && (!unicode.IsUpper(rune(s[i-1])) || i+1 < len(s) && unicode.IsLower(rune(s[i+1])))
		if begins && i-begun > 1 {
			out.WriteByte('_')
			begun = i
		}
		out.WriteRune(unicode.ToLower(c))
	}
	return strings.ReplaceAll(out.String(), "__", "_")
}

// legal says whether a name may be that of a metric of ours: the kernel's own
// names are letters, digits and underscores.
func legal(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(name) < 200
}
