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
	view    view
	all     []int32 // members of which something is known
	live    []int32
	total   sums
	depth   int
	prune   bool
	keep    []kept                     // by attribute: codes that conjunctions are made of
	mix     []bool                     // attributes that conjunctions are made of
	table   []int32                    // scratch: key to group
	touched []int32                    // scratch: keys of table that are in use
	level   []groups                   // scratch: by number of labels
	margin  float64                    // by how much more evident than its parts a slice has to be
	best    []slice                    // the best of each cuboid
	guard   func(in, total *sums) bool // what a slice must be to be named at all; nil lets all pass
}

// kept are the values of a label that conjunctions are made of, numbered anew.
type kept struct {
	id []int32 // by code; -1 for none
	n  int32
}

// groups are members by the values of some labels.
type groups struct {
	sums  []sums
	first []int32 // the first member of each
	keep  []bool  // by group: worth a further label
	list  []int32 // members of the groups that are worth it
	ids   []int32 // their groups
}

// sized clears a level for n groups.
func (g *groups) sized(n int) {
	if cap(g.sums) < n {
		g.sums, g.first, g.keep = make([]sums, n), make([]int32, n), make([]bool, n)
	}
	g.sums, g.first, g.keep = g.sums[:n], g.first[:n], g.keep[:n]
	clear(g.sums)
	clear(g.keep)
}

// run returns the best slice of each set of labels.
func (s *search) run() []slice {
	s.best, s.total = s.best[:0], sums{}
	for _, i := range s.live {
		s.total.add(&s.row[i])
	}
	if s.level == nil {
		s.level, s.keep = make([]groups, max(s.depth, 1)+1), make([]kept, len(s.attrs))
	}
	one := &s.level[1]
	tell := make([]float64, len(s.attrs)) // how much a label tells by itself
	for a := range s.attrs {
		at := &s.attrs[a]
		one.sized(at.size)
		for _, i := range s.live {
			c := at.codes[i]
			one.sums[c].add(&s.row[i])
			one.first[c] = i
		}
		tell[a] = s.score([]int{a}, one)
		s.keep[a].renew(one.keep)
	}
	s.mix = s.mixed(tell)
	for a := range s.attrs {
		if !s.mix[a] {
			continue
		}
		one.list, one.ids = slices.Grow(one.list[:0], len(s.live)), slices.Grow(one.ids[:0], len(s.live))
		for _, i := range s.live {
			if id := s.keep[a].id[s.attrs[a].codes[i]]; id >= 0 {
				one.list = append(one.list, i)
				one.ids = append(one.ids, id)
			}
		}
		s.deeper([]int{a}, int(s.keep[a].n))
	}
	return s.best
}

func (k *kept) renew(keep []bool) {
	k.id, k.n = k.id[:0], 0
	for _, is := range keep {
		id := int32(-1)
		if is {
			id = k.n
			k.n++
		}
		k.id = append(k.id, id)
	}
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

// score rates all slices of one set of labels, keeps the best, marks those worth
// a further label, and returns the most evidence seen.
func (s *search) score(path []int, g *groups) float64 {
	best := slice{attrs: path, llr: math.Inf(-1), cost: naming(len(s.attrs), len(path))}
	for _, a := range path {
		best.cost += s.attrs[a].cost
	}
	mirror, tell := 0.0, 0.0
	var worth []promise
	for id := range g.sums {
		in := &g.sums[id]
		if in.rows == 0 || in.rows >= s.total.rows {
			g.keep[id] = !s.prune
			continue
		}
		if s.gauss && in.x < 0 {
			mirror = max(mirror, in.x*in.x/in.n/2)
		}
		l := s.llr(in)
		tell = max(tell, l)
		g.keep[id] = !s.prune
		if s.prune && l > keepLLR && in.rows >= float64(s.first) {
			worth = append(worth, promise{id, l})
		}
		if l < best.llr-1e-9 || !s.allowed(in, path, g.first[id]) {
			continue
		}
		c := slice{attrs: path, row: g.first[id], in: *in, llr: l, cost: best.cost}
		if math.IsInf(best.llr, -1) || s.before(c, best) {
			best = c
		}
	}
	top := keepTop
	if len(path) > 1 {
		top = keepDeep
	}
	for _, p := range promising(worth, top) {
		g.keep[p.id] = true
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

// deeper adds one label more to the groups of a set of labels.
func (s *search) deeper(path []int, size int) {
	at := &s.level[len(path)]
	if len(path) == s.depth || len(at.list) == 0 {
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
		g := &s.level[len(path)+1]
		if s.split(at, size, b, g); len(g.sums) == 0 {
			continue
		}
		child := append(slices.Clone(path), b)
		s.score(child, g)
		if len(child) < s.depth {
			if s.prune {
				g.pick()
			}
			s.deeper(child, len(g.sums))
		}
	}
}

// pick drops the members of groups that are not worth a further label.
func (g *groups) pick() {
	n := 0
	for k, id := range g.ids {
		if g.keep[id] {
			g.list[n], g.ids[n] = g.list[k], id
			n++
		}
	}
	g.list, g.ids = g.list[:n], g.ids[:n]
}

// split divides the groups of a level by one label more.
func (s *search) split(from *groups, size, b int, to *groups) {
	codes, keep := s.attrs[b].codes, s.keep[b]
	to.sums, to.first, to.list, to.ids = to.sums[:0], to.first[:0], to.list[:0], to.ids[:0]
	if size *= int(keep.n); size > maxGroups {
		return
	}
	if len(s.table) < size {
		s.table = make([]int32, size)
	}
	table := s.table[:size]
	for k, i := range from.list {
		id := keep.id[codes[i]]
		if id < 0 {
			continue
		}
		key := from.ids[k]*keep.n + id
		g := table[key]
		if g == 0 {
			to.sums = append(to.sums, sums{})
			to.first = append(to.first, i)
			s.touched = append(s.touched, key)
			g = int32(len(to.sums))
			table[key] = g
		}
		to.sums[g-1].add(&s.row[i])
		to.list = append(to.list, i)
		to.ids = append(to.ids, g-1)
	}
	for _, key := range s.touched {
		table[key] = 0
	}
	s.touched = s.touched[:0]
	to.keep = slices.Grow(to.keep[:0], len(to.sums))[:len(to.sums)]
	clear(to.keep)
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
