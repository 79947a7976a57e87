package traits

import (
	"slices"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// What the words of strength mean.
const (
	strongScore = 20.0 // nats
	strongShare = 0.6  // of the badness
	likelyShare = 0.3
	rivalNats   = 5.0 // within which another conjunction explains nearly as much
	rivalRows   = 0.5 // weight that it shares with the trait, at least: else it is another cause
)

// strength says how much a trait can be relied on, in words with one meaning:
//
//	strong   20 nats, 60 % of the badness, no rival, and every earlier window agrees
//	likely   6 nats and 30 % of the badness
//	weak     less
func strength(score, share float64, rival bool, agree page.Count) string {
	switch {
	case score >= strongScore && share >= strongShare && !rival && agree.Matched == agree.Total:
		return "strong"
	case score >= minScore && share >= likelyShare:
		return "likely"
	}
	return "weak"
}

// rival returns the best conjunction that holds much of the same rows, explains
// nearly as much, and is neither the trait with one label more or less nor
// another name for its rows.
func (s *scan) rival(top finding, all []finding) []literal {
	best := finding{}
	for _, f := range all {
		if f.score < top.score-rivalNats || nested(f.all, top.all) || best.all != nil && s.before(f, best) > 0 {
			continue
		}
		if o := s.overlap(f.all, top.all); o >= rivalRows && o < 1 {
			best = f
		}
	}
	return best.all
}

// nested reports whether one conjunction has all labels of the other.
func nested(a, b []literal) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return !slices.ContainsFunc(a, func(l literal) bool { return !slices.Contains(b, l) })
}

// rival returns the best conjunction, other than a cause or the cause with one
// label more or less, which holds much of the same events among the members that
// were left when the cause was found, and explains nearly as much.
func (s *search) rival(t *enrich.Table, left []int32, f slice) page.Labels {
	s.live = left
	var best *slice
	for _, c := range slices.Clone(s.run()) {
		if c = s.simplify(c); c.score() < f.score()-rivalNats || s.nested(c, f) || best != nil && !s.before(c, *best) {
			continue
		}
		if o := s.overlap(c, f); o >= rivalRows && o < 1 {
			best = &c
		}
	}
	if best == nil {
		return nil
	}
	return s.labels(t, *best)
}

// nested reports whether one slice has all labels of the other.
func (s *search) nested(a, b slice) bool {
	if len(a.attrs) > len(b.attrs) {
		a, b = b, a
	}
	return s.covers(a, b.row) && !slices.ContainsFunc(a.attrs, func(at int) bool { return !slices.Contains(b.attrs, at) })
}

// overlap is the weight in both slices over the weight in either, 0..1.
func (s *search) overlap(a, b slice) float64 {
	both, either := 0.0, 0.0
	for _, i := range s.live {
		switch ina, inb := s.covers(a, i), s.covers(b, i); {
		case ina && inb:
			both += s.row[i].n
			either += s.row[i].n
		case ina || inb:
			either += s.row[i].n
		}
	}
	if either == 0 {
		return 0
	}
	return both / either
}

// agreement counts the earlier windows that show a conjunction as clearly, each
// taken alone.
func (s *search) agreement(t *enrich.Table, holds func(i int32) bool) page.Count {
	out := page.Count{}
	for _, past := range t.Past {
		one := *t
		one.Past = []enrich.Past{past}
		alone := &search{leaves: newLeaves(&one, s.view)}
		var in sums
		for _, i := range s.live {
			alone.total.add(&alone.row[i])
			if holds(i) {
				in.add(&alone.row[i])
			}
		}
		out.Total++
		if in.rows > 0 && alone.llr(&in) >= minScore {
			out.Matched++
		}
	}
	return out
}
