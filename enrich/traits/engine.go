package traits

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// params are the engine's numbers.
type params struct {
	doubts                     int
	doubtNats, exactScore      float64
	kappaVar                   float64
	lone                       float64
	rho                        float64
	sumSides                   bool
	kappa, spread              float64
	eb, own                    bool
	ownMax                     float64
	histMin, histQ, histSpread float64
	counterTau                 float64
	minSigma, clip             float64
	budget                     float64
	keepLLR                    float64
	keepTop, keepDeep          int
	mirror                     float64
	effect                     float64
	pooled                     bool
	minScore                   float64
	stopShare                  float64
	maxCauses                  int
	margin, marginNats         float64
}

func defaults() *params {
	return &params{kappa: 50, doubts: 3, doubtNats: 3, exactScore: 3, kappaVar: 3, spread: .5, histMin: 30, histQ: .85, histSpread: .5, counterTau: .05,
		minSigma: .004, clip: 8, budget: 4e6, keepLLR: 2, keepTop: 47, keepDeep: 12, mirror: 1.2, effect: 1.1,
		pooled: true, ownMax: .9, minScore: 6, stopShare: 0, sumSides: true, maxCauses: 20, own: false, rho: .02, lone: 20, margin: 0, marginNats: 2.5}
}

func newSearch(t *enrich.Table, d side, p *params) *search {
	s := &search{leaves: newLeaves(t, d, p), p: p}
	for i := range s.row {
		if s.row[i].rows > 0 {
			s.live = append(s.live, int32(i))
		}
	}
	s.cube = newCube(t, s.live)
	s.depth = 3
	if len(s.attrs) <= 6 {
		s.depth = len(s.attrs)
	}
	return s
}

// explain finds causes greedily.
func explain(t *enrich.Table, p *params) (*search, []slice) {
	var bestS *search
	var bestF []slice
	top := 0.0
	for _, d := range sides(t) {
		s := newSearch(t, d, p)
		found := s.greedy()
		sum := 0.0
		for _, f := range found {
			sum += f.score()
			if !p.sumSides {
				break
			}
		}
		if bestS == nil || sum > top {
			bestS, bestF, top = s, found, sum
		}
	}
	return bestS, bestF
}

// greedy names the best slice, takes its rows away and looks again. The scores
// of a sequence add up to the score of the whole explanation, so sequences can
// be compared: where one without a slice scores better, that slice only stood
// for several others.
func (s *search) greedy() []slice {
	whole := s.live
	found := s.sequence(whole, nil)
	var ban []slice
	for k := 0; s.exact && k < min(len(found), s.p.doubts) && len(ban) < s.p.doubts && !s.prune; k++ {
		without := append(slices.Clone(ban), found[k])
		if other := s.sequence(whole, without); sum(other) > sum(found)+s.p.doubtNats {
			found, ban, k = other, without, -1
		}
	}
	return found
}

func sum(found []slice) float64 {
	total := 0.0
	for _, f := range found {
		total += f.score()
	}
	return total
}

func (s *search) sequence(whole []int32, ban []slice) []slice {
	s.ban = ban
	var found []slice
	for range s.p.maxCauses {
		top, ok := s.next(whole, found, -1)
		if !ok || len(found) > 0 && top.llr < s.p.stopShare*found[0].llr {
			break
		}
		found = append(found, top)
	}
	return found
}

// next finds the best slice among the rows that no cause but number skip covers.
func (s *search) next(whole []int32, found []slice, skip int) (slice, bool) {
	s.live = s.live[:0:0]
	for _, i := range whole {
		free := true
		for k := range found {
			if k != skip && s.covers(found[k], i) {
				free = false
				break
			}
		}
		if free {
			s.live = append(s.live, i)
		}
	}
	if len(s.live) < 2 {
		return slice{}, false
	}
	all := s.run()
	if len(all) == 0 {
		return slice{}, false
	}
	top := slices.MaxFunc(all, func(a, b slice) int { return cmp.Compare(a.score(), b.score()) })
	top = s.simplify(top)
	return top, top.score() >= s.bar()
}

// simplify drops literals that hardly add to the evidence.
func (s *search) simplify(top slice) slice {
	nats := 0.0
	if s.soft {
		nats = s.p.marginNats
	}
	for len(top.attrs) > 1 {
		best, found := slice{}, false
		for mask := 1; mask < 1<<len(top.attrs)-1; mask++ {
			part := slice{row: top.row, cost: math.Log(choose(len(s.attrs), bits.OnesCount(uint(mask))))}
			for k, a := range top.attrs {
				if mask>>k&1 == 1 {
					part.attrs = append(part.attrs, a)
					part.cost += s.attrs[a].cost
				}
			}
			for _, i := range s.live {
				if s.covers(part, i) {
					part.in.add(&s.row[i])
				}
			}
			if part.in.rows >= s.total.rows || !s.allowed(&part.in, part.attrs, part.row) || s.banned(part.attrs, part.row) {
				continue
			}
			part.llr = s.llr(&part.in)
			if part.score()*(1+s.p.margin)+nats >= top.score() && (!found || len(part.attrs) < len(best.attrs) || len(part.attrs) == len(best.attrs) && part.score() > best.score()) {
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

func (s *search) same(a, b slice) bool {
	if !slices.Equal(a.attrs, b.attrs) {
		return false
	}
	return s.covers(a, b.row)
}

func (s *search) covers(c slice, i int32) bool {
	for _, a := range c.attrs {
		if s.attrs[a].codes[i] != s.attrs[a].codes[c.row] {
			return false
		}
	}
	return true
}

// bar is the score a cause has to reach: less where chance is all the noise there is.
func (s *search) bar() float64 {
	if s.exact {
		return s.p.exactScore
	}
	return s.p.minScore
}

func (s *search) banned(attrs []int, row int32) bool {
	for _, b := range s.ban {
		if slices.Equal(b.attrs, attrs) && s.covers(b, row) {
			return true
		}
	}
	return false
}
