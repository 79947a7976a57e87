package pipeline

import "github.com/tocsin/tocsin/page"

// advanceUnshadowed makes a new revision of a problem that is open while its
// receiver leaves the shadow, so that those the receiver names are told.
func advanceUnshadowed(p page.Problem, e page.Event) Step {
	s := Step{Problem: p, Why: "left the shadow: the episode is over"}
	if p.State != page.Open || e.Episode != p.Episode {
		return s
	}
	s.Problem = clone(p)
	s.Problem.Updated = e.At
	s.Problem.Revision++
	s.Changed = true
	s.Why = "left the shadow: its targets are told"
	return s
}
