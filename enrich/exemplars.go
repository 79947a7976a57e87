package enrich

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Exemplars are single events of the members of a table.
type Exemplars struct {
	Failing []Exemplar
	Healthy []Exemplar
	Queries []page.Query
	Cut     bool // a limit ended the reading early: they are no fair sample
}

// Exemplar is one event.
type Exemplar struct {
	At     time.Time
	Value  float64
	Labels []page.Label // its own, beside those of its member
	Inside bool         // its member has the labels that were asked for
}

// Bounds of what events tell. They are few, and which of them a client keeps is
// its own choice: half of the failing ones, twice the share of the healthy ones
// and the bar of states (docs/traits.md).
const (
	minEvents   = 5
	minCarried  = .5
	minContrast = 2.0
	minNats     = 3.0
	maxCarried  = 2
	maxWord     = 256 // bytes of a value that is compared
	maxTraces   = 3
)

// exemplars looks at single events of the leading trait, or of all members where
// they have nothing in common. What fails there leaves the answer as it was.
func (e *Enricher) exemplars(ctx context.Context, s Named, q Question, a answer) (out answer) {
	out = a
	if a.err != nil || a.sample == nil || (len(a.finding.Traits) == 0 && !a.finding.None) {
		return out
	}
	defer func() {
		if r := recover(); r != nil {
			e.Metrics.panics.Inc()
			e.Log.Error("panic while asking for exemplars", "source", s.Name, "alert", q.Alert, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	inside := page.Labels{}
	if len(a.finding.Traits) > 0 {
		inside = a.finding.Traits[0].Labels
	}
	x, err := a.sample(ctx, inside)
	out.queries = append(slices.Clone(a.queries), x.Queries...)
	if err != nil {
		e.Log.Warn("source has no exemplars", "source", s.Name, "alert", q.Alert, "err", err)
		return out
	}
	out.events = e.told(x, a.labels)
	return out
}

// told says what exemplars show; nil where there are none. members are the
// labels that a member's own series has: what those tell is told by the table.
func (e *Enricher) told(x Exemplars, members []string) *page.Exemplars {
	failing, seen := e.traced(x.Failing, nil)
	healthy, _ := e.traced(x.Healthy, seen)
	if inside := slices.DeleteFunc(slices.Clone(healthy), func(v Exemplar) bool { return !v.Inside }); len(inside) >= minEvents {
		healthy = inside // then the trait itself is no difference between the two
	}
	if len(failing) == 0 {
		return nil
	}
	out := &page.Exemplars{Failing: len(failing), Healthy: len(healthy)}
	if !x.Cut {
		out.Carried = e.carried(failing, healthy, members)
	}
	links := 0
	for _, v := range failing {
		id := e.Traces.id(v)
		if id == "" || len(out.Traces) == maxTraces {
			continue
		}
		t := page.Trace{ID: id, At: v.At, Value: v.Value}
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			t.Value = 0 // JSON has no word for it
		}
		t.Links = e.Traces.links(v, e.hides, maxTraces-links)
		links += len(t.Links)
		out.Traces = append(out.Traces, t)
	}
	return out
}

// traced returns the events, the latest first, each trace once and none that
// was seen.
func (e *Enricher) traced(events []Exemplar, seen map[string]bool) ([]Exemplar, map[string]bool) {
	all := maps.Clone(seen)
	if all == nil {
		all = map[string]bool{}
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Exemplar) int { return b.At.Compare(a.At) })
	return slices.DeleteFunc(events, func(v Exemplar) bool {
		id := e.Traces.id(v)
		known := id != "" && all[id]
		all[id] = true
		return known
	}), all
}

// carried finds the labels with a role that set failing events apart from healthy ones.
func (e *Enricher) carried(failing, healthy []Exemplar, members []string) []page.Carried {
	if len(failing) < minEvents || len(healthy) < minEvents {
		return nil
	}
	type found struct {
		page.Carried
		nats float64
	}
	counts := map[string]map[string][2]int{} // by label and value: failing, healthy
	for side, events := range [][]Exemplar{failing, healthy} {
		for _, v := range events {
			for _, l := range v.Labels {
				if e.Roles.Of(l.Name) == "" || l.Value == "" || len(l.Value) > maxWord || slices.Contains(members, l.Name) {
					continue
				}
				if counts[l.Name] == nil {
					counts[l.Name] = map[string][2]int{}
				}
				n := counts[l.Name][l.Value]
				n[side]++
				counts[l.Name][l.Value] = n
			}
		}
	}
	var all []found
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		best := found{}
		for _, v := range slices.Sorted(maps.Keys(counts[name])) {
			n := counts[name][v]
			in, out := page.Count{Matched: n[0], Total: len(failing)}, page.Count{Matched: n[1], Total: len(healthy)}
			nats := apart(in, out) - math.Log(float64(len(counts[name]))) - math.Log(float64(len(counts)))
			if in.Share() >= minCarried && in.Share() >= minContrast*out.Share() && nats >= minNats && nats > best.nats {
				best = found{page.Carried{Label: page.Label{Name: name, Value: v}, Role: e.Roles.Of(name), Failing: in, Healthy: out}, nats}
			}
		}
		if best.nats > 0 {
			all = append(all, best)
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(b.nats, a.nats) })
	var out []page.Carried
	for _, f := range all[:min(len(all), maxCarried)] {
		out = append(out, f.Carried)
	}
	return out
}

// apart is the log-likelihood ratio of two shares against one, in nats.
func apart(a, b page.Count) float64 {
	h := func(x, n int) float64 {
		if x <= 0 || x >= n {
			return 0
		}
		p := float64(x) / float64(n)
		return float64(x)*math.Log(p) + float64(n-x)*math.Log(1-p)
	}
	return h(a.Matched, a.Total) + h(b.Matched, b.Total) - h(a.Matched+b.Matched, a.Total+b.Total)
}

// exemplars hides values.
func (m *merger) exemplars(x *page.Exemplars) *page.Exemplars {
	if x == nil {
		return nil
	}
	out := *x
	out.Carried = slices.Clone(x.Carried)
	for i, c := range out.Carried {
		out.Carried[i].Label.Value = m.redact.value(c.Label.Name, c.Label.Value)
	}
	return &out
}
