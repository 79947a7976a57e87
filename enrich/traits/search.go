package traits

import (
	"cmp"
	"math"
	"slices"
)

// slice is a conjunction: the values that member row has of attrs.
type slice struct {
	attrs []int // ascending
	row   int32
	in    sums
	llr   float64
	cost  float64
}

func (s slice) score() float64 { return s.llr - s.cost }

// search looks for the slice that is best told apart from the rest.
type search struct {
	*cube
	leaves
	live   []int32
	total  sums
	depth  int
	prune  bool
	keep   [][]bool                   // by attribute: codes that conjunctions are made of
	mix    []bool                     // attributes that conjunctions are made of
	table  []int32                    // scratch: key to group
	margin float64                    // by how much more evident than its parts a slice has to be
	best   []slice                    // the best of each cuboid
	guard  func(in, total *sums) bool // what a slice must be to be named at all; nil lets all pass
}

// run returns the best slice of each set of labels.
func (s *search) run() []slice {
	s.best, s.total = s.best[:0], sums{}
	for _, i := range s.live {
		s.total.add(&s.row[i])
	}
	s.keep = make([][]bool, len(s.attrs))
	tell := make([]float64, len(s.attrs)) // how much a label tells by itself
	for a := range s.attrs {
		at := &s.attrs[a]
		acc, first := make([]sums, at.size), make([]int32, at.size)
		for _, i := range s.live {
			c := at.codes[i]
			acc[c].add(&s.row[i])
			first[c] = i
		}
		s.keep[a] = make([]bool, at.size)
		tell[a] = s.groups([]int{a}, acc, first, s.keep[a])
	}
	s.mix = s.mixed(tell)
	for a := range s.attrs {
		if !s.mix[a] {
			continue
		}
		list, ids := make([]int32, 0, len(s.live)), make([]int32, 0, len(s.live))
		for _, i := range s.live {
			if c := s.attrs[a].codes[i]; s.keep[a][c] {
				list = append(list, i)
				ids = append(ids, int32(c))
			}
		}
		s.deeper([]int{a}, list, ids, s.attrs[a].size)
	}
	return s.best
}

// mixed chooses the labels that conjunctions are made of: all, or of very many
// those that tell most by themselves.
func (s *search) mixed(tell []float64) []bool {
	out := make([]bool, len(tell))
	order := make([]int, len(tell))
	for a := range order {
		order[a] = a
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(tell[b], tell[a]) })
	for _, a := range order[:min(len(order), maxMixed)] {
		out[a] = true
	}
	return out
}

// groups scores all slices of one set of labels, keeps the best, marks those
// worth a further label, and returns the most evidence seen.
func (s *search) groups(path []int, acc []sums, first []int32, keep []bool) float64 {
	best := slice{attrs: path, llr: math.Inf(-1), cost: naming(len(s.attrs), len(path))}
	for _, a := range path {
		best.cost += s.attrs[a].cost
	}
	mirror, tell := 0.0, 0.0
	var worth []promise
	for id := range acc {
		in := &acc[id]
		if in.rows == 0 || in.rows >= s.total.rows {
			keep[id] = !s.prune
			continue
		}
		if s.gauss && in.x < 0 {
			mirror = max(mirror, in.x*in.x/in.n/2)
		}
		l := s.llr(in)
		tell = max(tell, l)
		keep[id] = !s.prune
		if s.prune && l > keepLLR && in.rows >= float64(s.first) {
			worth = append(worth, promise{id, l})
		}
		if l < best.llr-1e-9 || !s.allowed(in, path, first[id]) {
			continue
		}
		c := slice{attrs: path, row: first[id], in: *in, llr: l, cost: best.cost}
		if math.IsInf(best.llr, -1) || s.before(c, best) {
			best = c
		}
	}
	top := keepTop
	if len(path) > 1 {
		top = keepDeep
	}
	for _, p := range promising(worth, top) {
		keep[p.id] = true
	}
	if best.llr > 0 && best.llr >= mirrored*mirror {
		best.attrs = slices.Clone(path)
		s.best = append(s.best, best)
	}
	return tell
}

// promise is a group that may hold a better one.
type promise struct {
	id  int
	llr float64
}

func promising(all []promise, top int) []promise {
	if len(all) > top {
		slices.SortFunc(all, func(a, b promise) int { return cmp.Or(cmp.Compare(b.llr, a.llr), cmp.Compare(a.id, b.id)) })
		all = all[:top]
	}
	return all
}

// allowed are the guards of small and slight slices; a member without a label has no trait.
func (s *search) allowed(in *sums, path []int, row int32) bool {
	if in.rows < float64(s.first) && in.bad < sureEvents {
		return false
	}
	for _, a := range path {
		if s.attrs[a].codes[row] == 0 {
			return false
		}
	}
	if s.guard != nil && !s.guard(in, &s.total) {
		return false
	}
	if s.gauss {
		return in.x > 0
	}
	out := s.total.less(in)
	if out.n <= 0 || out.e <= 0 {
		return false
	}
	return in.x/in.e >= minEffect*(out.x/out.e)
}

func (s *search) deeper(path []int, list, ids []int32, groups int) {
	if len(path) == s.depth || len(list) == 0 {
		return
	}
next:
	for b := path[len(path)-1] + 1; b < len(s.attrs); b++ {
		if !s.mix[b] {
			continue
		}
		for _, a := range path {
			if s.implies[a][b] || s.implies[b][a] {
				continue next
			}
		}
		at := &s.attrs[b]
		acc, first, sub, subIDs := s.split(list, ids, groups, at, s.keep[b])
		if len(acc) == 0 {
			continue
		}
		child := append(slices.Clone(path), b)
		keep := make([]bool, len(acc))
		s.groups(child, acc, first, keep)
		if len(child) < s.depth {
			if s.prune {
				n := 0
				for k, id := range subIDs {
					if keep[id] {
						sub[n], subIDs[n] = sub[k], id
						n++
					}
				}
				sub, subIDs = sub[:n], subIDs[:n]
			}
			s.deeper(child, sub, subIDs, len(acc))
		}
	}
}

// split divides groups of rows by one more label.
func (s *search) split(list, ids []int32, groups int, at *attr, keep []bool) (acc []sums, first []int32, sub, subIDs []int32) {
	size := groups * at.size
	if size > 1<<24 {
		return nil, nil, nil, nil
	}
	if len(s.table) < size {
		s.table = make([]int32, size)
	}
	table := s.table[:size]
	sub, subIDs = make([]int32, 0, len(list)), make([]int32, 0, len(list))
	var touched []int32
	for k, i := range list {
		c := at.codes[i]
		if !keep[c] {
			continue
		}
		key := ids[k]*int32(at.size) + int32(c)
		g := table[key]
		if g == 0 {
			acc = append(acc, sums{})
			first = append(first, i)
			touched = append(touched, key)
			g = int32(len(acc))
			table[key] = g
		}
		acc[g-1].add(&s.row[i])
		sub = append(sub, i)
		subIDs = append(subIDs, g-1)
	}
	for _, key := range touched {
		table[key] = 0
	}
	return acc, first, sub, subIDs
}

// llr is the log-likelihood ratio of two groups, the slice and the rest, over
// one; negative when the slice is the better one.
//
// What all members share is no evidence, and a rise everywhere may multiply
// rates or add to them: a slice has to beat both readings.
func (s *search) llr(in *sums) float64 {
	out := s.total.less(in)
	if s.gauss {
		l := in.x*in.x/in.n - s.total.x*s.total.x/s.total.n
		if out.n > 0 {
			l += out.x * out.x / out.n
		}
		if in.x*out.n < out.x*in.n {
			l = -l
		}
		return l / 2
	}
	if !(s.total.e > 0) || !(in.e > 0) {
		return 0
	}
	times, plus := s.total.x/s.total.e, (s.total.x-s.total.e)/s.total.n
	if in.x < times*in.e || in.x < in.e+plus*in.n {
		return -1
	}
	if s.exact {
		return marginal(in.x, in.n) + marginal(out.x, out.n) - marginal(s.total.x, s.total.n)
	}
	multiplied := deviance(in.x, times*in.e, in.n) + deviance(out.x, times*out.e, out.n)
	return min(multiplied, deviance(in.x, in.e+plus*in.n, in.n)+deviance(out.x, out.e+plus*out.n, out.n))
}

// deviance is the log-likelihood of x among n at its own rate over that at e/n.
func deviance(x, e, n float64) float64 {
	if n <= 0 {
		return 0
	}
	e = min(max(e, 1e-9), n*(1-1e-9))
	x = min(max(x, 0), n)
	l := 0.0
	if x > 0 {
		l += x * math.Log(x/e)
	}
	if y := n - x; y > 0 {
		l += y * math.Log(y/(n-e))
	}
	return l
}

// marginal is the log-likelihood of x among n at a rate of which nothing is
// known, averaged over Jeffreys' prior. Unlike the likelihood at the best rate
// it has the price of that rate in it.
func marginal(x, n float64) float64 {
	bad, _ := math.Lgamma(x + .5)
	good, _ := math.Lgamma(n - x + .5)
	all, _ := math.Lgamma(n + 1)
	return bad + good - all - math.Log(math.Pi)
}

// naming is the length of the description of which k of n labels a conjunction
// has: Rissanen's code for the integer k, then one of as many choices, in nats.
func naming(n, k int) float64 {
	l := math.Log(choose(n, k))
	for bits := math.Log2(float64(k)); bits > 0; bits = math.Log2(bits) {
		l += bits * math.Ln2
	}
	return l
}

func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c *= float64(n-i) / float64(i+1)
	}
	return c
}
