package pipeline

import "github.com/tocsin/tocsin/page"

// unshadow makes a new revision of a problem that is open while its receiver
// leaves the shadow, so that those the receiver names are told.
func (s *Step) unshadow(e page.Event) {
	if s.Problem.State != page.Open || e.Episode != s.Problem.Episode {
		s.Why = "left the shadow: the episode is over"
		return
	}
	s.Problem = clone(s.Problem)
	s.Why = "left the shadow: its targets are told"
	s.revise(e.At)
}
