package pipeline

import (
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// decide hands on what somebody said of a dispatch that asks. Whether it counts is
// found out where the dispatch is.
func (s *Step) decide(e page.Event) {
	p, a := &s.Problem, e.Act
	at := slices.IndexFunc(p.Runs, func(r page.Run) bool { return r.Dispatch == a.Dispatch && a.Dispatch != "" })
	if at < 0 || !p.Runs[at].Asks.After(e.At) {
		s.refuse(string(a.Verb) + " by " + who(e) + ": nobody is asked for it")
		return
	}
	s.decides = true
	s.Why = string(a.Verb) + " by " + who(e) + ": dispatch " + a.Dispatch
}

// ran takes in how far a step of a remediation has come: what the page is told
// stands on it also once the problem is over, for that is when it was verified.
func (s *Step) ran(e page.Event) {
	p, r := s.Problem, e.Run
	if r == nil || p.ID == "" || e.Episode != p.Episode {
		s.Why = "a step of a remediation: the episode is over"
		return
	}
	s.Problem = clone(p)
	q := &s.Problem
	var newer bool
	if q.Runs, newer = page.WithRun(q.Runs, *r); !newer {
		s.Why = "a step of a remediation that is known"
		return
	}
	if r.Aloud && q.State == page.Open {
		s.rung(e.At, r.Text)
	}
	u := s.say(page.UpdateRun, e.At, r.Text)
	u.Link, u.Aloud = r.Link, r.Aloud
	for _, line := range r.Evidence[:min(len(r.Evidence), page.MaxEvidence)] {
		u.Evidence = append(u.Evidence, page.OneLine(s.hidden().Text(line)))
	}
	s.Why = page.OneLine(r.Text)
	s.revise(e.At)
}

// rung counts that people are needed: a further incident is opened for each time.
func (s *Step) rung(at time.Time, text string) {
	p := &s.Problem
	if p.Folded != "" { // nobody was told of it: its own page rings
		s.unfold(at, "people are needed: "+text)
		return
	}
	p.Peak.Rung++
	p.Peak.At = at
}
