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

// agreement counts the earlier windows that show a conjunction as clearly, each
// taken alone.
func (s *scan) agreement(q *search, all []literal) page.Count {
	out := page.Count{}
	for _, past := range s.t.Past {
		t := *s.t
		t.Past = []enrich.Past{past}
		alone := &search{leaves: newLeaves(&t, view{sign: 1})}
		var in sums
		for _, i := range q.live {
			alone.total.add(&alone.row[i])
			if s.holds(all, int(i)) {
				in.add(&alone.row[i])
			}
		}
		out.Total++
		if alone.llr(&in) >= minScore {
			out.Matched++
		}
	}
	return out
}
