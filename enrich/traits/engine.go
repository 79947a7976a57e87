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
	refitMax, rounds           int
	margin, marginNats         float64
}

func defaults() *params {
	return &params{kappa: 50, kappaVar: 3, spread: .5, histMin: 30, histQ: .85, histSpread: .5, counterTau: .05,
		minSigma: .004, clip: 8, budget: 4e6, keepLLR: 2, keepTop: 47, keepDeep: 12, mirror: 1.2, effect: 1.1,
		pooled: true, ownMax: .9, minScore: 6, stopShare: 0, sumSides: true, maxCauses: 20, refitMax: 0, rounds: 0, own: false, rho: .02, lone: 20, margin: 0, marginNats: 2.5}
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

func (s *search) greedy() []slice {
	var found []slice
	whole := s.live
	for range s.p.maxCauses {
		top, ok := s.next(whole, found, -1)
		if !ok || len(found) > 0 && top.llr < s.p.stopShare*found[0].llr {
			break
		}
		found = append(found, top)
		if len(found) > 1 && len(found) <= s.p.refitMax {
			found = s.refit(whole, found, 1)
		}
	}
	if len(found) > 1 {
		found = s.refit(whole, found, s.p.rounds)
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
	return top, top.score() >= s.p.minScore
}

// refit looks at each cause again with all others taken away.
func (s *search) refit(whole []int32, found []slice, rounds int) []slice {
	for range rounds {
		changed := false
		for k := 0; k < len(found); k++ {
			top, ok := s.next(whole, found, k)
			switch {
			case !ok:
				found = slices.Delete(found, k, k+1)
				k--
				changed = true
			case !s.same(top, found[k]):
				found[k] = top
				changed = true
			default:
				found[k] = top
			}
		}
		if !changed {
			break
		}
	}
	return found
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
			if part.in.rows >= s.total.rows || !s.allowed(&part.in, part.attrs, part.row) {
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
