package pipeline

import (
	"fmt"
	"maps"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Storms says when new problems are too many to tell of each: more than
// Problems of one receiver within Within. A storm is over once no problem was
// folded into it for Calm. Problems 0: there are no storms.
type Storms struct {
	Problems int
	Within   time.Duration
	Calm     time.Duration
}

const (
	// stormAfter is how long a storm gathers before its first page: a title that
	// counts one problem would be all that PagerDuty ever shows.
	stormAfter = 3 * time.Second
	// stormEvery is the time between two revisions of a storm that bring nothing
	// but other counts.
	stormEvery = 5 * time.Second
	// mostRules bounds the rules a storm tells apart.
	mostRules = 100
)

// blow takes in what happened to a problem that is folded into this storm, or
// that it is time to show the counts.
func (s *Step) blow(e page.Event) {
	p, g := s.Problem, e.Gust
	open := p.Storm != nil && p.State == page.Open
	switch {
	case g == nil && !open, g != nil && g.Over && !open:
		s.Why, s.Again = "of a storm that is over", true
	case g == nil:
		s.Problem = clone(p)
		s.show(e.At)
	case g.Over:
		s.Problem = clone(p)
		s.blowOver(*g, e.At)
	default:
		s.Problem = clone(p)
		if !open {
			s.gather(*g, e)
		}
		s.blowIn(*g, e.At)
	}
}

// gather begins a storm.
func (s *Step) gather(g page.Gust, e page.Event) {
	p := &s.Problem
	if p.ID == "" {
		*p = page.Problem{ID: e.Problem, Cluster: "tocsin", Receiver: g.Receiver, GroupKey: "storm"}
	}
	p.Members, p.Storm = map[string]page.Member{}, &page.Storm{Rules: map[string]page.Tally{}}
	p.Group = page.Notification{Cluster: p.Cluster, Receiver: p.Receiver, GroupKey: p.GroupKey, Status: page.Firing, CommonLabels: g.Labels.Clone()}
	delete(p.Group.CommonLabels, "alertname")
	s.begin(e.At)
	p.Updated = e.At
	s.Opened, s.blows = true, true
	s.Why = fmt.Sprintf("a storm begins: more than %d new problems within %s", s.rules.Storms.Problems, page.Span(s.rules.Storms.Within))
}

// blowIn counts a problem that was folded in. What rings is a rule that was not
// critical before, and a jump in how many are open.
func (s *Step) blowIn(g page.Gust, at time.Time) {
	p := &s.Problem
	st := p.Storm
	s.blows = s.blows || st.Calmed
	st.Calmed = false
	p.Settling = at.Add(s.rules.Storms.Calm)
	before := swing{known: alertnames(*p)}
	name := s.slot(g)
	t := st.Rules[name]
	if t.Total == 0 {
		t.Sample = g.Labels
	}
	if t.Total == 0 || g.Severity.Rank() < t.Severity.Rank() {
		t.Severity = g.Severity
	}
	t.Total, t.Open = t.Total+1, t.Open+1
	st.Total, st.Open = st.Total+1, st.Open+1
	intersect(p.Group.CommonLabels, g.Labels)
	s.tally(name, t, g.Labels, at)
	if !s.Opened {
		s.Why, s.Again = "folded in: "+named(g.Alert), t.Total > 1
	}
	if p.Clock.Decided.IsZero() { // nobody was told yet
		// the job that asks for it stands behind all gusts that wait
		if at.Sub(p.Opened) >= stormAfter {
			s.show(at)
		}
		return
	}
	if why := s.raise(before, at); why != "" {
		s.worse(at, why)
		s.revise(at)
		s.Again = false
		return
	}
	s.soon(at)
}

// blowOver counts a problem that is over, or that is told by itself again.
func (s *Step) blowOver(g page.Gust, at time.Time) {
	p := &s.Problem
	st := p.Storm
	was := st.Open
	st.Open = max(0, st.Open-1)
	// a problem of several rules may go by the name of another than it came by:
	// the storm's own count is exact, those of its rules nearly so
	name := g.Alert
	if st.Rules[name].Open == 0 {
		name = ""
	}
	if t := st.Rules[name]; t.Open > 0 {
		t.Open--
		s.tally(name, t, nil, at)
	}
	s.Why, s.Again = "over: "+named(g.Alert), true
	if st.Calmed && st.Open == 0 {
		s.blowAway(at)
		return
	}
	if st.Total >= calmFrom && was*calmShare > st.Total && st.Open*calmShare <= st.Total {
		s.say(page.UpdateBetter, at, fmt.Sprintf("better: %d of %d problems still open", st.Open, st.Total))
		s.revise(at)
		s.Again = false
		return
	}
	s.soon(at)
}

// soon shows the counts now, if the last time is long enough ago, else in a moment.
func (s *Step) soon(at time.Time) {
	if at.Sub(s.Problem.Updated) >= stormEvery {
		s.revise(at)
		return
	}
	s.later = s.Problem.Updated.Add(stormEvery)
}

// show makes the storm's first page, or one with the counts of now.
func (s *Step) show(at time.Time) {
	p := &s.Problem
	s.Why, s.Again = fmt.Sprintf("shows %d problems, %d open", p.Storm.Total, p.Storm.Open), true
	if p.Clock.Decided.IsZero() {
		p.Clock.Decided = at
		p.Peak = page.Peak{Severity: p.Severity(), Critical: remember(nil, criticals(*p)...), Alerts: p.Storm.Open}
		s.Why, s.Again = fmt.Sprintf("a storm of %d problems is told", p.Storm.Total), false
	}
	s.revise(at)
}

// lull notes that nothing was folded in for a while.
func (s *Step) lull(at time.Time) {
	p := &s.Problem
	switch {
	case at.Before(p.Settling):
		s.Why, s.blows = "not calm yet: another problem was folded in", true
		return
	case p.Storm.Calmed:
		s.Why = "calm already"
		return
	}
	p.Storm.Calmed = true
	if p.Storm.Open == 0 {
		s.blowAway(at)
		return
	}
	s.Why = fmt.Sprintf("calm: no new problem for %s, %d of %d still open; those that are critical are told by themselves now",
		page.Span(s.rules.Storms.Calm), p.Storm.Open, p.Storm.Total)
	s.say(page.UpdateStorm, at, s.Why)
	s.revise(at)
}

// blowAway ends the storm.
func (s *Step) blowAway(at time.Time) {
	p := &s.Problem
	for name, t := range p.Storm.Rules {
		if t.Open > 0 {
			t.Open = 0
			s.tally(name, t, nil, at)
		}
	}
	s.close(at)
	s.Why, s.Again = fmt.Sprintf("closed: the storm of %d problems is over", p.Storm.Total), false
	s.revise(at)
}

// slot returns the rule a gust is counted under. The table is bounded: what does
// not fit is counted together, but a critical rule takes the place of one that
// is not.
func (s *Step) slot(g page.Gust) string {
	rules := s.Problem.Storm.Rules
	if _, ok := rules[g.Alert]; ok || len(rules) < mostRules-1 {
		return g.Alert
	}
	if g.Severity != page.Critical {
		return ""
	}
	out, found := "", false
	for name, t := range rules {
		if name == "" || t.Severity == page.Critical {
			continue
		}
		if !found || t.Total < rules[out].Total || t.Total == rules[out].Total && name < out {
			out, found = name, true
		}
	}
	if !found {
		return ""
	}
	gone, rest := rules[out], rules[""]
	if rest.Total == 0 || gone.Severity.Rank() < rest.Severity.Rank() {
		rest.Severity = gone.Severity
	}
	rest.Total, rest.Open = rest.Total+gone.Total, rest.Open+gone.Open
	rules[""] = rest
	delete(rules, out)
	delete(s.Problem.Members, gone.Alert(out, nil).ID)
	s.tally("", rest, page.Labels{}, s.Problem.Updated)
	return g.Alert
}

// tally sets the counts of one rule and the alert that stands for it. labels are
// those of the problem that blew in; nil where none did.
func (s *Step) tally(name string, t page.Tally, labels page.Labels, at time.Time) {
	p := &s.Problem
	p.Storm.Rules[name] = t
	id := t.Alert(name, nil).ID
	m, known := p.Members[id]
	common := labels
	if known {
		common = m.Alert.Labels.Clone()
		if labels != nil {
			intersect(common, labels)
		}
	}
	a := t.Alert(name, common)
	a.StartsAt = at
	if known {
		a.StartsAt = m.Alert.StartsAt
	}
	switch {
	case t.Open > 0:
		m = fire(m, a, at)
	case m.Open:
		a.EndsAt = at
		m = cease(m, a, at)
	}
	p.Members[id] = m
}

// intersect takes out of l what other does not have.
func intersect(l, other page.Labels) {
	maps.DeleteFunc(l, func(name, value string) bool { return other[name] != value })
}
