//go:build linux

package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/names"
)

// Namer says whose the cgroup at a path is, without waiting for anyone.
type Namer interface {
	Resolve(path string) names.Name
}

// Options are what a Collector works with.
type Options struct {
	Root   string // /sys/fs/cgroup
	Names  Namer
	Inline bool // app, container, namespace and pod on every series
}

// Collector exposes all cgroups that have tasks of their own, and those that have
// a CPU quota, since it throttles the tasks below them. It is for one goroutine.
type Collector struct {
	tree     *Tree
	names    Namer
	inline   bool
	metrics  []metric
	families []exporters.Family // of metrics
	info     exporters.Family
	known    map[*Group]*labelled
	round    uint64

	stats Stats              // of the cgroup being read
	lines []*exporters.Lines // of the collection under way, by metric
}

var _ exporters.Exposer = (*Collector)(nil)

// labelled is a cgroup as its series are labelled, ready to be written.
type labelled struct {
	name  names.Name
	of    [][]byte // of metrics
	info  []byte
	round uint64
}

// NewCollector finds out how the cgroups at o.Root are laid out.
func NewCollector(o Options) (*Collector, error) {
	tree, err := Open(o.Root)
	if err != nil {
		return nil, err
	}
	c := &Collector{tree: tree, names: o.Names, inline: o.Inline, metrics: metrics(), info: info(), known: map[*Group]*labelled{}}
	for i := range c.metrics {
		c.families = append(c.families, c.metrics[i].family())
	}
	c.lines = make([]*exporters.Lines, len(c.metrics))
	return c, nil
}

// Families are all it may expose.
func (c *Collector) Families() []*exporters.Family {
	var all []*exporters.Family
	for i := range c.families {
		if i == 0 || c.families[i].Name != c.families[i-1].Name {
			all = append(all, &c.families[i])
		}
	}
	return append(all, &c.info)
}

// Name is "cgroup".
func (*Collector) Name() string { return "cgroup" }

// Expose writes what all cgroups say now. Where some cannot be read, or ctx ends,
// it writes those that could be read until then, and returns an error.
func (c *Collector) Expose(ctx context.Context, out *exporters.Text) error {
	c.round++
	for i := range c.families {
		c.lines[i] = out.Family(&c.families[i])
	}
	infos := out.Family(&c.info)
	groups, err := c.tree.Scan(ctx)
	broken := 0
	for _, g := range groups {
		if e := ctx.Err(); e != nil {
			return errors.Join(err, fmt.Errorf("read cgroups: %w", e))
		}
		e := c.tree.Read(g, &c.stats)
		if errors.Is(e, ErrGone) {
			continue
		}
		if e != nil {
			if broken++; broken == 1 {
				err = errors.Join(err, e)
			}
		}
		if _, quota := c.stats.Get(Quota); c.stats.Tasks || quota {
			l := c.label(g)
			c.write(l, quota)
			infos.Uint(l.info, 1)
		}
	}
	for g, l := range c.known {
		if l.round != c.round {
			delete(c.known, g)
		}
	}
	if broken > 1 {
		err = errors.Join(err, fmt.Errorf("read cgroups: %d more could not be read", broken-1))
	}
	return err
}

// write adds the samples of c.stats.
func (c *Collector) write(l *labelled, quota bool) {
	for i := range c.metrics {
		m := &c.metrics[i]
		v, ok := c.stats.Get(m.field)
		switch {
		case !ok:
		case m.ofQuota && !quota && (v == 0 || !m.counter):
		case m.seconds:
			c.lines[i].Float(l.of[i], float64(v)/1e9)
		default:
			c.lines[i].Uint(l.of[i], v)
		}
	}
}

// label returns g's labels, made anew only if its name has become known.
func (c *Collector) label(g *Group) *labelled {
	name := c.names.Resolve(g.Path)
	l := c.known[g]
	if l == nil || l.name != name {
		base := Labels(nil, g, name, c.inline)
		l = &labelled{name: name, info: Labels(nil, g, names.Name{}, false)}
		for i := range c.metrics {
			of := base
			if m := &c.metrics[i]; m.label != "" {
				of = exporters.AppendLabel(bytes.Clone(base), m.label, m.answer)
			}
			l.of = append(l.of, of)
		}
		l.info = exporters.AppendLabel(l.info, "path", names.Clean(g.Path))
		values := name.Values()
		for i, label := range names.Labels() {
			l.info = exporters.AppendLabel(l.info, label, values[i])
		}
		c.known[g] = l
	}
	l.round = c.round
	return l
}

// Labels appends the labels that every series of a cgroup has.
func Labels(dst []byte, g *Group, name names.Name, inline bool) []byte {
	dst = exporters.AppendLabel(dst, Label, g.ID)
	if !inline {
		return dst
	}
	values := name.InlineValues()
	for i, label := range names.InlineLabels() {
		dst = exporters.AppendLabel(dst, label, values[i])
	}
	return dst
}
