package exporters

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Families are what the exporter may expose, in order of their names, for a
// reference. An Exposer or Collector that has a method Families is in it, and so
// is a Collector that describes itself, whose types are not known.
func (e *Exporter) Families() []*Family {
	all := []*Family{e.self.available, e.self.success, e.self.duration, e.self.cpu}
	for _, name := range e.names {
		var of any = e.sources[name].exposer
		if g, ok := of.(gathered); ok {
			of = g.Collector
		}
		switch x := of.(type) {
		case interface{ Families() []*Family }:
			all = append(all, x.Families()...)
		case Collector:
			all = append(all, described(x)...)
		}
	}
	slices.SortFunc(all, func(a, b *Family) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// described reads what a Collector says of itself: a Desc shows it only as text.
func described(c Collector) (out []*Family) {
	re := regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)
	ch := make(chan *prometheus.Desc)
	go func() {
		c.Describe(ch)
		close(ch)
	}()
	for desc := range ch {
		if m := re.FindStringSubmatch(desc.String()); m != nil {
			out = append(out, &Family{Name: m[1], Help: m[2], Labels: strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' })})
		}
	}
	return out
}
