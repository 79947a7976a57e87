package replay

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/page"
)

// Page is what one receiver would have been told of one group, from the first
// notification until everything in it had resolved.
type Page struct {
	Receiver      string      `json:"receiver"`
	Route         string      `json:"route"`              // Alertmanager's key of it
	Group         page.Labels `json:"group"`              // the group's labels
	Opened        time.Time   `json:"opened"`             // of the first notification
	Closed        time.Time   `json:"closed,omitzero"`    // of the one that told the end; zero: open at the window's end
	Notifications int         `json:"notifications"`      // all that Alertmanager would have sent
	Firings       []Firing    `json:"firings"`            // that were told on it
	Headline      string      `json:"headline,omitempty"` // what the page would have said first, where it was asked
	Runs          []string    `json:"runs,omitempty"`     // what remediation would have done, where it was asked
}

// Title is the page in a few words, as its own title: which alerts, of which group.
func (p Page) Title() string {
	names := map[string]bool{}
	for _, f := range p.Firings {
		names[f.Alert] = true
	}
	var group []string
	for _, name := range p.Group.Names() {
		if name != "alertname" {
			group = append(group, name+"="+p.Group[name])
		}
	}
	out := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
	if len(group) > 0 {
		out += " · " + strings.Join(group, ", ")
	}
	return out
}

// Alertmanager groups firings as a server of that config would, alone: without
// a peer that is late, and without silences, which leave no history.
type Alertmanager struct {
	route     *dispatch.Route
	inhibits  []*inhibit.InhibitRule
	intervals *timeinterval.Intervener
}

// NewAlertmanager reads an alertmanager.yml.
func NewAlertmanager(text string) (*Alertmanager, error) {
	c, err := config.Load(text)
	if err != nil {
		return nil, fmt.Errorf("alertmanager config: %w", err)
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, t := range c.TimeIntervals {
		intervals[t.Name] = t.TimeIntervals
	}
	for _, t := range c.MuteTimeIntervals { // old configs have them
		intervals[t.Name] = t.TimeIntervals
	}
	am := &Alertmanager{route: dispatch.NewRoute(c.Route, nil), intervals: timeinterval.NewIntervener(intervals)}
	for _, r := range c.InhibitRules {
		am.inhibits = append(am.inhibits, inhibit.NewInhibitRule(r))
	}
	return am, nil
}

// group is one aggregation group of a route. It ends with its last alert.
type group struct {
	*entry
	route  *dispatch.Route
	labels page.Labels
	key    string
	in     map[string]Firing // by the labels' ID
}

// entry is what a receiver was told of a group last, as Alertmanager's
// notification log has it, beyond the group's end.
type entry struct {
	told map[string]bool // to fire; nil: nothing was told
	done map[string]bool // to have resolved
	at   time.Time
	open *Page
}

// moment is something that happens: an alert comes, or a group is flushed.
type moment struct {
	at      time.Time
	order   int // of those of the same time: alerts come before flushes
	firing  *Firing
	labels  page.Labels
	flushed *group
}

// agenda is a heap of moments, the next first.
type agenda []moment

// Len implements heap.Interface.
func (a agenda) Len() int { return len(a) }

// Less implements heap.Interface.
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].order < a[j].order
}

// Swap implements heap.Interface.
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(moment)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// Pages walks firings through the route tree until a time. The outcomes'
// external labels are added to their alerts, as the servers do.
func (am *Alertmanager) Pages(outcomes []Outcome, until time.Time) ([]Page, error) {
	d := &desk{am: am, groups: map[string]*group{}, log: map[string]*entry{}, sources: make([]map[string][]Firing, len(am.inhibits))}
	for _, o := range outcomes {
		for i := range o.Firings {
			f := o.Firings[i]
			l := f.Labels.Clone()
			for name, value := range o.Rule.External {
				if l[name] == "" {
					l[name] = value
				}
			}
			f.Labels = l
			heap.Push(&d.agenda, moment{at: f.Fired, order: d.count(), firing: &f, labels: l})
			d.inhibits(f)
		}
	}
	for d.agenda.Len() > 0 {
		m := heap.Pop(&d.agenda).(moment)
		if !m.at.Before(until) {
			break
		}
		if m.firing != nil {
			d.come(m)
			continue
		}
		if err := d.flush(m.flushed, m.at); err != nil {
			return nil, err
		}
	}
	for _, e := range d.log {
		if e.open != nil {
			d.pages = append(d.pages, *e.open)
		}
	}
	slices.SortFunc(d.pages, func(a, b Page) int {
		return cmp.Or(a.Opened.Compare(b.Opened), strings.Compare(a.Receiver, b.Receiver), strings.Compare(a.Group.ID(), b.Group.ID()))
	})
	return d.pages, nil
}

// desk is one walk.
type desk struct {
	am      *Alertmanager
	agenda  agenda
	n       int
	groups  map[string]*group
	log     map[string]*entry
	sources []map[string][]Firing // per rule of inhibition, by the labels that must be equal
	pages   []Page
}

func (d *desk) count() int { d.n++; return d.n }

// come puts an alert into the groups of its routes (dispatch.groupAlert).
func (d *desk) come(m moment) {
	for _, r := range d.am.route.Match(labelSet(m.labels)) {
		labels := page.Labels{}
		for name, value := range m.labels {
			if _, by := r.RouteOpts.GroupBy[model.LabelName(name)]; by || r.RouteOpts.GroupByAll {
				labels[name] = value
			}
		}
		key := r.ID() + "\x00" + labels.ID()
		g := d.groups[key]
		if g == nil {
			g = &group{entry: d.entry(r, labels), route: r, labels: labels, key: key, in: map[string]Firing{}}
			d.groups[key] = g
			heap.Push(&d.agenda, moment{at: m.at.Add(r.RouteOpts.GroupWait), order: d.count(), flushed: g})
		}
		g.in[m.labels.ID()] = *m.firing
	}
}

// entry finds what was told of a group before. Routes with the same matchers in
// the same place share it, as in Alertmanager.
func (d *desk) entry(r *dispatch.Route, group page.Labels) *entry {
	key := r.RouteOpts.Receiver + "\x00" + r.Key() + "\x00" + group.ID()
	if d.log[key] == nil {
		d.log[key] = &entry{}
	}
	return d.log[key]
}

// flush is one round of a group: what notify.DedupStage and dispatch.flush do.
func (d *desk) flush(g *group, now time.Time) error {
	firing, over := map[string]bool{}, map[string]bool{}
	var told []Firing
	for id, f := range g.in {
		switch {
		case d.inhibited(f, now):
		case f.At(now):
			firing[id] = true
			told = append(told, f)
		default:
			over[id] = true
			told = append(told, f)
		}
	}
	muted, err := d.am.muted(g.route, now)
	if err != nil {
		return err
	}
	if !muted && (len(firing) > 0 || len(over) > 0) && g.due(firing, over, now) {
		g.tell(firing, over, told, now)
		if len(firing) == 0 && g.open != nil {
			g.open.Closed = now
			d.pages = append(d.pages, *g.open)
			g.open = nil
		}
	}
	for id, f := range g.in {
		if !f.At(now) {
			delete(g.in, id)
		}
	}
	if len(g.in) == 0 {
		delete(d.groups, g.key)
		return nil
	}
	heap.Push(&d.agenda, moment{at: now.Add(g.route.RouteOpts.GroupInterval), order: d.count(), flushed: g})
	return nil
}

// due is notify.DedupStage's needsUpdate, for a receiver with send_resolved.
func (g *group) due(firing, over map[string]bool, now time.Time) bool {
	switch {
	case g.told == nil:
		return len(firing) > 0
	case !within(firing, g.told):
		return true
	case len(firing) == 0:
		return len(g.told) > 0
	case !within(over, g.done):
		return true
	}
	return g.at.Before(now.Add(-g.route.RouteOpts.RepeatInterval))
}

func within(a, b map[string]bool) bool {
	for id := range a {
		if !b[id] {
			return false
		}
	}
	return true
}

// tell notes a notification on the group's page.
func (g *group) tell(firing, over map[string]bool, told []Firing, now time.Time) {
	g.told, g.done, g.at = firing, over, now
	if g.open == nil {
		if len(firing) == 0 {
			return
		}
		g.open = &Page{Receiver: g.route.RouteOpts.Receiver, Route: g.route.Key(), Group: g.labels, Opened: now}
	}
	g.open.Notifications++
	slices.SortFunc(told, func(a, b Firing) int {
		return cmp.Or(a.Fired.Compare(b.Fired), strings.Compare(a.Labels.ID(), b.Labels.ID()))
	})
	for _, f := range told {
		if !slices.ContainsFunc(g.open.Firings, func(have Firing) bool {
			return have.Fired.Equal(f.Fired) && have.Labels.ID() == f.Labels.ID()
		}) {
			g.open.Firings = append(g.open.Firings, f)
		}
	}
}

// inhibits notes what a firing may hold back.
func (d *desk) inhibits(f Firing) {
	for i, r := range d.am.inhibits {
		if r.SourceMatchers.Matches(labelSet(f.Labels)) {
			if d.sources[i] == nil {
				d.sources[i] = map[string][]Firing{}
			}
			key := equal(r, f.Labels)
			d.sources[i][key] = append(d.sources[i][key], f)
		}
	}
}

// inhibited says whether something holds a firing back (inhibit.Inhibitor.Mutes).
func (d *desk) inhibited(f Firing, now time.Time) bool {
	set := labelSet(f.Labels)
	for i, r := range d.am.inhibits {
		if !r.TargetMatchers.Matches(set) {
			continue
		}
		both := r.SourceMatchers.Matches(set)
		if slices.ContainsFunc(d.sources[i][equal(r, f.Labels)], func(source Firing) bool {
			return source.At(now) && (!both || !r.TargetMatchers.Matches(labelSet(source.Labels)))
		}) {
			return true
		}
	}
	return false
}

func equal(r *inhibit.InhibitRule, l page.Labels) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Equal)) {
		b.WriteString(l[string(name)])
		b.WriteByte(0)
	}
	return b.String()
}

func labelSet(l page.Labels) model.LabelSet {
	set := make(model.LabelSet, len(l))
	for name, value := range l {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return set
}

// muted asks the route's time intervals.
func (am *Alertmanager) muted(r *dispatch.Route, now time.Time) (bool, error) {
	if len(r.RouteOpts.MuteTimeIntervals) > 0 {
		in, _, err := am.intervals.Mutes(r.RouteOpts.MuteTimeIntervals, now)
		if err != nil || in {
			return in, err
		}
	}
	if len(r.RouteOpts.ActiveTimeIntervals) > 0 {
		in, _, err := am.intervals.Mutes(r.RouteOpts.ActiveTimeIntervals, now)
		return !in, err
	}
	return false, nil
}
