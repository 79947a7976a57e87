package nsproc

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
)

// Counters exposes what the kernel counts of IP, TCP and UDP in each namespace.
type Counters struct {
	table    *Table
	fields   *fields
	snmp     mib
	netstat  mib
	snmp6    mib6
	reader   reader
	samples  []sample
	families []*exporters.Lines
}

// NewCounters exposes the fields whose name, Proto_Field, match matches
// altogether; nil means the default ones.
func NewCounters(t *Table, match *regexp.Regexp) *Counters {
	f := newFields(match)
	return &Counters{table: t, fields: f, snmp: mib{picker: f}, netstat: mib{picker: f}, snmp6: mib6{picker: f}}
}

// Families are the default ones, or those that were met so far.
func (c *Counters) Families() []*exporters.Family {
	if c.fields.match == nil {
		usual := newFields(nil)
		for _, key := range slices.Sorted(maps.Keys(usual.help)) {
			proto, field, _ := strings.Cut(key, "_")
			usual.pick(proto, field)
		}
		return usual.families
	}
	return c.fields.families
}

// Name is "counters".
func (*Counters) Name() string { return "counters" }

// Expose writes the counters of every namespace there is.
func (c *Counters) Expose(ctx context.Context, out *exporters.Text) error {
	look, err := c.table.Look(ctx)
	if err != nil {
		return err
	}
	c.families = c.families[:0]
	return c.table.each(ctx, &c.reader, look, c, func(n *Namespace) { c.write(n, out) })
}

func (c *Counters) write(n *Namespace, out *exporters.Text) {
	for len(c.families) < len(c.fields.families) {
		c.families = append(c.families, out.Family(c.fields.families[len(c.families)]))
	}
	for i, s := range c.samples {
		if s.ok {
			c.families[i].Uint(n.labels, s.v)
		}
	}
}

// read fills the samples. A machine without IPv6 has no snmp6.
func (c *Counters) read(net *reader) error {
	clear(c.samples)
	b, err := net.read("snmp")
	if err != nil {
		return err
	}
	c.samples = c.snmp.parse(b, c.samples, c.fields.grow)
	b, err = net.read("netstat")
	if err != nil {
		return err
	}
	c.samples = c.netstat.parse(b, c.samples, c.fields.grow)
	if b, err = net.read("snmp6"); errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return err
	}
	c.samples = c.snmp6.parse(b, c.samples, c.fields.grow)
	return nil
}
