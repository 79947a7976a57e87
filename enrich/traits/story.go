package traits

import (
	"cmp"
	"slices"
)

// story is an explanation under way: causes, each of which splits what those
// before it left.
type story struct {
	found []slice
	live  []int32 // members that are left
	worth float64 // score of all causes, less the bar of each
}

// tell looks for the explanation that is worth most. Causes can hide each other:
// the cluster of two failing zones is more evident than either of them, and three
// nodes that hold all failing members may each look like nothing. So a few
// stories are followed side by side, whatever the first cause of each is worth
// alone (a beam search).
func (s *search) tell() []slice {
	best := story{live: s.live}
	beam := []story{best}
	for range storyDepth {
		var next []story
		for _, told := range beam {
			for _, c := range s.openings(told.live) {
				next = s.follow(next, told, c)
			}
		}
		slices.SortStableFunc(next, func(a, b story) int { return cmp.Compare(b.worth, a.worth) })
		beam = next[:min(len(next), storyWidth)]
		if len(beam) > 0 && beam[0].worth > best.worth {
			best = beam[0]
		}
	}
	return append(best.found, s.sequence(best.live)...)
}

// openings are the most evident slices of the members given which are not mostly
// the same members as a more evident one.
func (s *search) openings(live []int32) []slice {
	if len(live) < 2 {
		return nil
	}
	s.live = live
	all := slices.Clone(s.run())
	slices.SortFunc(all, func(a, b slice) int {
		if s.before(a, b) {
			return -1
		}
		return 1
	})
	var out []slice
	for _, c := range all {
		if len(out) == storyBranch {
			break
		}
		if !slices.ContainsFunc(out, func(o slice) bool { return s.alike(o, c) }) {
			out = append(out, c)
		}
	}
	return out
}

// alike reports whether two slices hold mostly the same events.
func (s *search) alike(a, b slice) bool {
	if min(a.in.x, b.in.x) < sameRows*max(a.in.x, b.in.x) {
		return false
	}
	both := 0.0
	for _, i := range s.live {
		if s.covers(a, i) && s.covers(b, i) {
			both += s.row[i].x
		}
	}
	return both > sameRows*(a.in.x+b.in.x-both)
}

// follow adds a story with one cause more, or finds that the same causes were
// told in another order.
func (s *search) follow(all []story, told story, c slice) []story {
	n := story{found: append(slices.Clone(told.found), c), worth: told.worth + c.score() - s.bar()}
	for k := range all {
		if o := &all[k]; s.same(o.found, n.found) {
			if n.worth > o.worth {
				o.found, o.worth = n.found, n.worth
			}
			return all
		}
	}
	for _, i := range told.live {
		if !s.covers(c, i) {
			n.live = append(n.live, i)
		}
	}
	return append(all, n)
}

// same reports whether two explanations name the same causes, in whatever order.
func (s *search) same(a, b []slice) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x slice) bool {
		return !slices.ContainsFunc(b, func(y slice) bool { return slices.Equal(x.attrs, y.attrs) && s.covers(x, y.row) })
	})
}
