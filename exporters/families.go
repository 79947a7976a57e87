package exporters

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Families are what the exporter may expose, in order of their names, for a
// reference. An Exposer that has a method Families, and a Collector that
// describes itself, are in it; of the latter the type is not known.
func (e *Exporter) Families() []*Family {
	all := []*Family{e.self.success, e.self.duration, e.self.cpu}
	for _, name := range e.names {
		switch x := e.sources[name].exposer.(type) {
		case interface{ Families() []*Family }:
			all = append(all, x.Families()...)
		case gathered:
			all = append(all, described(x.Collector)...)
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
