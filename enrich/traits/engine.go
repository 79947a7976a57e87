package traits

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// The engine's numbers, one set for all kinds of tables; docs/traits.md has
// their derivations and what happens without each of them.
const (
	kappaMean   = 50      // events of its own that a member's past needs to count as much as its peers' mean
	kappaSure   = 3       // events that a past which nobody saw is worth
	clumping    = 0.02    // correlation of the events of one member: no member is worth more than 1/clumping events
	sureRows    = 2       // members that a slice has at least, or
	sureEvents  = 20      // bad events of a single one
	minEffect   = 1.1     // rate inside over rate outside
	slowAt      = 0.85    // quantile of a member's own past above which an event is slow
	slowEvents  = 30      // events that a past needs to have a quantile
	counterTau  = 0.05    // relative spread of honest counters, at least
	loadShift   = 0.3     // standard deviation of the logarithm of a whole service's load, now to then
	sigmaFloor  = 0.004   // relative error of an honest forecast, at least
	bounded     = 8.0     // standard deviations beyond which a member says no more
	mirrored    = 1.2     // times more evident than the best slice in the wrong direction
	exactScore  = 1.0     // nats, where chance is all the noise there is and its rates are priced too
	nearNats    = 2.5     // nats within which the simpler of two is named, where it is not
	storyWidth  = 3       // explanations that are followed side by side,
	storyDepth  = 3       // for so many causes
	storyBranch = 4       // causes that are tried next of each
	maxCauses   = 20      // of one table
	budget      = 1.6e6   // cells of a full enumeration (ten times that of few labels); beyond it only promising values are combined
	keepLLR     = 2.0     // nats that make a value promising
	keepTop     = 47      // values of a label
	keepDeep    = 12      // conjunctions of a set of labels
	maxGroups   = 1 << 24 // keys of a set of labels
	maxMixed    = 24      // labels that conjunctions are made of
	fewLabels   = 6       // of so few labels conjunctions may have all
)

// newSearch weighs the members; a cube of the same members may be given, for
// the structure of labels has nothing to do with measures.
func newSearch(t *enrich.Table, v view, known *search) *search {
	s := &search{view: v, leaves: newLeaves(t, v)}
	for i := range s.row {
		if s.row[i].rows > 0 {
			s.live = append(s.live, int32(i))
		}
	}
	if s.all = s.live; known != nil && slices.Equal(known.all, s.all) {
		s.cube = known.cube
	} else {
		s.cube = newCube(t, s.live)
	}
	s.depth = maxLabels
	sets, cells := 0.0, budget
	if len(s.attrs) <= fewLabels {
		s.depth, cells = len(s.attrs), 10*budget
	}
	for k := 1; k <= s.depth; k++ {
		sets += choose(min(len(s.attrs), maxMixed), k)
	}
	s.prune = sets*float64(len(s.live)) > cells
	return s
}

// explain finds the causes in the direction that explains more.
func explain(t *enrich.Table) (*search, []slice) {
	var best *search
	var found []slice
	top := 0.0
	for _, v := range views(t) {
		s := newSearch(t, v, best)
		f := s.causesOf()
		if worth := total(f) - s.shift(f); best == nil || worth > top {
			best, found, top = s, f, worth
		}
	}
	return best, found
}

// causesOf follows several stories where members' own noise is known and the
// table is small, else the most evident one.
func (s *search) causesOf() []slice {
	if (s.exact || s.paired) && !s.prune {
		return s.tell()
	}
	return s.sequence(s.live)
}

// shift is what it costs, in nats, to believe that everything outside the causes
// changed as well: "half of them fell" and "the other half rose" tell the same
// slices apart, and the smaller change of the rest is the likelier story. The
// load of a whole service moves by a factor of e^±loadShift.
func (s *search) shift(found []slice) float64 {
	if len(found) == 0 || !s.paired && !s.gauss {
		return 0
	}
	out := s.rest(found)
	if s.gauss {
		mean := 0.0
		if out.n > 0 {
			mean = math.Abs(s.centre) + math.Abs(out.x/out.n)*s.sigma
		}
		return mean * mean / (2 * loadShift * loadShift)
	}
	l := math.Log((out.x + .5) / (out.n - out.x + .5))
	return l * l / (2 * loadShift * loadShift)
}

// rest sums the members outside all causes.
func (s *search) rest(found []slice) sums {
	var out sums
	for i := range s.row {
		if s.row[i].rows > 0 && !s.covered(found, int32(i)) {
			out.add(&s.row[i])
		}
	}
	return out
}

// total is the score of a whole explanation. Each cause of a sequence splits
// what the ones before it left, so the scores add up.
func total(found []slice) float64 {
	sum := 0.0
	for _, f := range found {
		sum += f.score()
	}
	return sum
}

// sequence names the best slice, takes its members away and looks again.
func (s *search) sequence(live []int32) []slice {
	s.live = slices.Clone(live)
	var found []slice
	for len(found) < maxCauses && len(s.live) > 1 {
		var top slice
		for i, c := range s.run() {
			if i == 0 || s.before(c, top) {
				top = c
			}
		}
		if len(top.attrs) == 0 {
			break
		}
		if top = s.simplify(top); top.score() < s.bar() {
			break
		}
		found = append(found, top)
		s.live = slices.DeleteFunc(s.live, func(i int32) bool { return s.covers(top, i) })
	}
	return found
}

// before orders slices by score, then so that the order of rows does not matter.
func (s *search) before(a, b slice) bool {
	if d := a.score() - b.score(); math.Abs(d) > 1e-9 {
		return d > 0
	}
	if c := cmp.Or(cmp.Compare(len(a.attrs), len(b.attrs)), slices.Compare(a.attrs, b.attrs)); c != 0 {
		return c < 0
	}
	for _, at := range a.attrs {
		l := &s.attrs[at]
		if c := cmp.Compare(l.dict[l.codes[a.row]], l.dict[l.codes[b.row]]); c != 0 {
			return c < 0
		}
	}
	return false
}

// bar is the score a cause has to reach.
func (s *search) bar() float64 {
	if s.exact {
		return exactScore
	}
	return minScore
}

// simplify drops labels that hardly add to the evidence.
func (s *search) simplify(top slice) slice {
	nats := 0.0
	if s.soft {
		nats = nearNats
	}
	for len(top.attrs) > 1 {
		best, found := slice{}, false
		for mask := uint(1); mask < 1<<len(top.attrs)-1; mask++ {
			part, ok := s.part(top, mask)
			if !ok || part.score()*(1+s.margin)+nats < top.score() {
				continue
			}
			if !found || len(part.attrs) < len(best.attrs) || len(part.attrs) == len(best.attrs) && s.before(part, best) {
				best, found = part, true
			}
		}
		if !found {
			break
		}
		top = best
	}
	return top
}

// part is a slice with only those of its labels that a mask has.
func (s *search) part(whole slice, mask uint) (slice, bool) {
	out := slice{row: whole.row, cost: naming(len(s.attrs), bits.OnesCount(mask))}
	for k, a := range whole.attrs {
		if mask>>k&1 == 1 {
			out.attrs = append(out.attrs, a)
			out.cost += s.attrs[a].cost
		}
	}
	for _, i := range s.live {
		if s.covers(out, i) {
			out.in.add(&s.row[i])
		}
	}
	if out.in.rows >= s.total.rows || !s.allowed(&out.in, out.attrs, out.row) {
		return out, false
	}
	out.llr = s.llr(&out.in)
	return out, true
}

// covers reports whether a row is in a slice.
func (s *search) covers(c slice, i int32) bool {
	for _, a := range c.attrs {
		if codes := s.attrs[a].codes; codes[i] != codes[c.row] {
			return false
		}
	}
	return true
}
