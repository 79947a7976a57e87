package cgroup

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

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

// Collector reads all cgroups that have tasks of their own, and those that have
// a CPU quota, since it throttles the tasks below them. It is for one goroutine.
type Collector struct {
	tree    *Tree
	names   Namer
	inline  bool
	metrics []metric
	descs   []*prometheus.Desc // of metrics
	info    *prometheus.Desc
	told    map[*Group]*labelled
	round   uint64

	readings []reading // of the last collection, used again
}

// labelled is a cgroup as its series are labelled.
type labelled struct {
	name  names.Name
	pairs [][]*dto.LabelPair // of metrics
	info  []*dto.LabelPair
	round uint64
}

// reading is one cgroup read.
type reading struct {
	labels *labelled
	stats  Stats
}

// NewCollector finds out how the cgroups at o.Root are laid out.
func NewCollector(o Options) (*Collector, error) {
	tree, err := Open(o.Root)
	if err != nil {
		return nil, err
	}
	c := &Collector{tree: tree, names: o.Names, inline: o.Inline, metrics: metrics(), told: map[*Group]*labelled{}}
	for i := range c.metrics {
		c.descs = append(c.descs, c.metrics[i].desc(o.Inline))
	}
	c.info = prometheus.NewDesc("cgroup_info", "1, with whose the cgroup is and where. Join on cgroup.", append([]string{Label, "path"}, names.Labels()...), nil)
	return c, nil
}

// Name is "cgroup".
func (c *Collector) Name() string { return "cgroup" }

// Describe sends all families.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.info
}

// Collect sends what all cgroups say now. Where some cannot be read, or ctx ends,
// it sends those that could be read until then, and an error.
func (c *Collector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	err := c.read(ctx)
	samples := make([]sample, 0, len(c.readings)*(len(c.metrics)+1))
	for i := range c.readings {
		r := &c.readings[i]
		for j := range c.metrics {
			if v, ok := c.metrics[j].value(&r.stats); ok {
				samples = append(samples, sample{c.descs[j], r.labels.pairs[j], v, c.metrics[j].counter})
			}
		}
		samples = append(samples, sample{c.info, r.labels.info, 1, false})
	}
	for i := range samples {
		ch <- &samples[i]
	}
	return err
}

// read fills c.readings.
func (c *Collector) read(ctx context.Context) error {
	c.readings = c.readings[:0]
	c.round++
	groups, err := c.tree.Scan(ctx)
	broken := 0
	for _, g := range groups {
		if e := ctx.Err(); e != nil {
			return errors.Join(err, fmt.Errorf("read cgroups: %w", e))
		}
		c.readings = append(c.readings, reading{})
		r := &c.readings[len(c.readings)-1]
		e := c.tree.Read(g, &r.stats)
		if e != nil && !errors.Is(e, ErrGone) {
			if broken++; broken == 1 {
				err = errors.Join(err, e)
			}
		}
		if _, quota := r.stats.Get(Quota); errors.Is(e, ErrGone) || !r.stats.Tasks && !quota {
			c.readings = c.readings[:len(c.readings)-1]
			continue
		}
		r.labels = c.label(g)
	}
	for g, l := range c.told {
		if l.round != c.round {
			delete(c.told, g)
		}
	}
	if broken > 1 {
		err = errors.Join(err, fmt.Errorf("read cgroups: %d more could not be read", broken-1))
	}
	return err
}

// label returns g's labels, made anew only if its name has become known.
func (c *Collector) label(g *Group) *labelled {
	name := c.names.Resolve(g.Path)
	l := c.told[g]
	if l == nil || l.name != name {
		l = &labelled{name: name}
		all, values := Labels(c.inline), Values(c.inline, g.ID, name)
		base := pairs(all, values)
		for i := range c.metrics {
			p := base
			if m := &c.metrics[i]; m.label != "" {
				p = pairs(append(Labels(c.inline), m.label), append(Values(c.inline, g.ID, name), m.answer))
			}
			l.pairs = append(l.pairs, p)
		}
		l.info = pairs(append([]string{Label, "path"}, names.Labels()...), append([]string{g.ID, names.Clean(g.Path)}, name.Values()...))
		c.told[g] = l
	}
	l.round = c.round
	return l
}
