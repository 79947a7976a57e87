package nsproc

import (
	"context"
	"regexp"
	"strings"

	"github.com/tocsin/tocsin/exporters"
)

// Interfaces exposes what each network device of a namespace has sent and received.
type Interfaces struct {
	table            *Table
	exclude, onHost  *regexp.Regexp
	reader           reader
	device           device
	columns          [deviceColumns]*exporters.Family // nil where it is not wanted
	lines            [deviceColumns]*exporters.Lines
	labels           []byte
	file             []byte
	excluded, hidden map[string]bool // what the expressions said of a name
}

// NewInterfaces leaves out devices whose name exclude matches altogether, and in
// the host's namespace also those that onHost matches. columns matches the
// words of the metrics: receive_bytes.
func NewInterfaces(t *Table, exclude, onHost, columns *regexp.Regexp) *Interfaces {
	i := &Interfaces{table: t, exclude: exclude, onHost: onHost, excluded: map[string]bool{}, hidden: map[string]bool{}}
	for n, f := range deviceFamilies() {
		if columns.MatchString(strings.TrimSuffix(strings.TrimPrefix(f.Name, "netns_interface_"), "_total")) {
			i.columns[n] = f
		}
	}
	return i
}

func deviceFamilies() (out [deviceColumns]*exporters.Family) {
	words := [deviceColumns][2]string{
		{"receive_bytes", "Bytes received"},
		{"receive_packets", "Packets received"},
		{"receive_errors", "Packets received with errors"},
		{"receive_dropped", "Packets dropped on receipt"},
		{"receive_fifo_errors", "Packets lost on receipt because a ring was full"},
		{"receive_frame_errors", "Frames received that were no frames"},
		{"receive_compressed", "Compressed packets received"},
		{"receive_multicast", "Multicast packets received"},
		{"transmit_bytes", "Bytes sent"},
		{"transmit_packets", "Packets sent"},
		{"transmit_errors", "Packets that could not be sent"},
		{"transmit_dropped", "Packets dropped on sending"},
		{"transmit_fifo_errors", "Packets lost on sending because a ring was full"},
		{"transmit_collisions", "Collisions while sending"},
		{"transmit_carrier_errors", "Packets lost on sending for want of a carrier"},
		{"transmit_compressed", "Compressed packets sent"},
	}
	for i, w := range words {
		out[i] = &exporters.Family{Name: "netns_interface_" + w[0] + "_total", Help: w[1] + " by a network device of the namespace.", Type: exporters.Counter, Labels: []string{"netns", "device"}}
	}
	return out
}

// Families are the columns that are wanted.
func (i *Interfaces) Families() (out []*exporters.Family) {
	for _, f := range i.columns {
		if f != nil {
			out = append(out, f)
		}
	}
	return out
}

// Name is "interfaces".
func (*Interfaces) Name() string { return "interfaces" }

// Expose writes the columns of every device there is.
func (i *Interfaces) Expose(ctx context.Context, out *exporters.Text) error {
	look, err := i.table.Look(ctx)
	if err != nil {
		return err
	}
	for c, f := range i.columns {
		if f != nil {
			i.lines[c] = out.Family(f)
		}
	}
	return i.table.each(ctx, &i.reader, look, i, i.write)
}

func (i *Interfaces) read(net *reader) (err error) {
	i.file, err = net.read("dev")
	return err
}

func (i *Interfaces) write(n *Namespace) {
	rest, more := i.device.next(i.file)
	for ; more; rest, more = i.device.next(rest) {
		if i.skips(n) {
			continue
		}
		i.labels = exporters.AppendLabel(append(i.labels[:0], n.labels...), "device", i.device.name)
		for c, l := range i.lines {
			if l != nil {
				l.Uint(i.labels, i.device.values[c])
			}
		}
	}
}

func (i *Interfaces) skips(n *Namespace) bool {
	return matches(i.exclude, i.excluded, i.device.name) || n.Host && matches(i.onHost, i.hidden, i.device.name)
}

// matches remembers what an expression said of up to a thousand names: a scrape
// sees the same ones again and again.
func matches(re *regexp.Regexp, said map[string]bool, name []byte) bool {
	yes, known := said[string(name)]
	if !known {
		yes = re.Match(name)
		if len(said) >= 1000 {
			clear(said)
		}
		said[string(name)] = yes
	}
	return yes
}
