package traits

import (
	"cmp"
	"math"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// tally sums rows: their number, their events, and their events by weight.
type tally struct {
	rows     int
	bad, all float64 // as counted
	x, n     float64 // as weighed
}

func (t *tally) add(o tally) {
	t.rows += o.rows
	t.bad += o.bad
	t.all += o.all
	t.x += o.x
	t.n += o.n
}

func (t tally) less(o tally) tally {
	return tally{t.rows - o.rows, max(0, t.bad-o.bad), max(0, t.all-o.all), max(0, t.x-o.x), max(0, t.n-o.n)}
}

// scan holds what is left to explain.
type scan struct {
	t     *enrich.Table
	rank  []preference
	row   []tally // per row; rows is 0 for a member without events, or explained
	total tally   // of the rows that are left
	whole tally   // of all rows
	rows  int     // members with events
	per   [][]tally
	used  []int    // columns that tell members apart
	minor *finding // the best value that is worse than the rest and holds too little of the badness
}

func newScan(t *enrich.Table, roles enrich.Roles) *scan {
	s := &scan{t: t, row: make([]tally, t.Rows()), per: make([][]tally, len(t.Cols))}
	for i := range s.row {
		bad, all := t.Failing[i], t.Weight[i]
		if !(all > 0) || math.IsInf(all, 0) || math.IsNaN(bad) {
			continue // no events, or no number: nothing is known about this member
		}
		s.row[i] = tally{rows: 1, bad: min(max(bad, 0), all), all: all}
		s.total.add(s.row[i])
	}
	s.weigh()
	s.whole, s.rows = s.total, s.total.rows
	for c := range t.Cols {
		s.per[c] = make([]tally, len(t.Cols[c].Dict))
		s.sum(c)
		if s.varies(c) {
			s.used = append(s.used, c)
		}
	}
	values := make([]int, len(t.Cols))
	for c := range values {
		values[c] = s.values(c)
	}
	s.rank = preferences(t, values, roles)
	return s
}

// weigh gives each row the evidence it is worth. The members of an honest fleet
// differ by more than chance (retries, mixes of requests): a rate has a relative
// spread, so the variance of a row's bad events is np(1-p) + (spread·np)², and
// each event counts 1 in so many. A busy member thus cannot shout alone.
func (s *scan) weigh() {
	p := s.total.bad / s.total.all
	total := tally{rows: s.total.rows, bad: s.total.bad, all: s.total.all}
	for i := range s.row {
		r := &s.row[i]
		w := 1.0
		if s.t.Model == enrich.Ratio && p < 1 {
			w = 1 / (1 + dispersion*dispersion*r.all*p/(1-p))
		}
		r.x, r.n = w*r.bad, w*r.all
		total.x += r.x
		total.n += r.n
	}
	s.total = total
}

// sum tallies the rows that are left by the values of one column.
func (s *scan) sum(c int) {
	per := s.per[c]
	clear(per)
	for i, code := range s.t.Cols[c].Codes {
		if s.row[i].rows > 0 {
			per[code].add(s.row[i])
		}
	}
}

// varies reports whether a column has two values or more among members.
func (s *scan) varies(c int) bool {
	for _, t := range s.per[c] {
		if t.rows > 0 {
			return t.rows < s.rows
		}
	}
	return false
}

// find names the causes, the most evident first.
func (s *scan) find() []finding {
	q := newSearch(s.t, view{sign: 1}, nil)
	q.margin = pageMargin
	if s.t.Model == enrich.Value {
		q.margin = valueMargin
	}
	q.depth = min(q.depth, maxLabels)
	var found []finding
	for len(found) < maxTraits && len(q.live) > 1 {
		q.guard = s.guard
		var all, rivals []finding
		for _, c := range q.run() {
			c = q.simplify(c)
			f := s.named(q, c)
			rivals = append(rivals, f)
			if f.score >= s.bar(&c.in) && s.matters(tally{bad: c.in.bad, all: c.in.all}) {
				all = append(all, f)
			}
		}
		if len(all) == 0 {
			break
		}
		top := slices.MinFunc(all, s.before)
		top = s.prefer(top, all)
		top.also, top.rival = s.aliases(top.all), s.rival(top, rivals)
		top.agree = q.agreement(s.t, func(i int32) bool { return s.holds(top.all, int(i)) })
		found = append(found, top)
		s.explainAway(top.all)
		q.live = slices.DeleteFunc(slices.Clone(q.live), func(i int32) bool { return s.row[i].rows == 0 })
	}
	return found
}

// named makes a finding of a slice, its literals by preference.
func (s *scan) named(q *search, c slice) finding {
	f := finding{score: c.score(), share: c.in.bad / s.whole.bad}
	for _, a := range c.attrs {
		// of labels with the same values the most telling one stands for all
		cols := append([]int{q.attrs[a].col}, q.attrs[a].same...)
		col := slices.MinFunc(cols, func(a, b int) int { return s.rank[a].compare(s.rank[b]) })
		f.all = append(f.all, literal{col, s.t.Cols[col].Codes[c.row]})
	}
	slices.SortFunc(f.all, func(a, b literal) int { return s.rank[a.col].compare(s.rank[b.col]) })
	return f
}

// guard says whether a slice is large and bad enough to be named.
func (s *scan) guard(in, total *sums) bool {
	few := in.rows < minRows && (s.t.Model != enrich.Ratio || in.all < minEvents)
	t := tally{int(in.rows), in.bad, in.all, in.x, in.n}
	return !few && in.bad >= minPart*s.whole.bad && s.worse(t, s.total.less(t)) && total.rows > in.rows
}

// bar is the score that a slice has to reach.
func (s *scan) bar(in *sums) float64 {
	switch {
	case s.t.Model == enrich.Ratio:
	case in.bad == in.all && 2*in.bad >= s.total.bad:
		return minPure
	case in.bad >= s.total.bad: // none of the others fails
		return minWhole
	}
	return minScore
}

// hint looks for a value that is worse than the rest and yet no trait.
func (s *scan) hint() {
	for _, c := range s.used {
		s.sum(c)
		cost := math.Log(float64(s.values(c))) + math.Log(float64(len(s.used)))
		for code, in := range s.per[c] {
			if code == 0 || in.rows == 0 || in.rows == s.total.rows {
				continue // without the label, gone, or all that is left
			}
			f := finding{all: []literal{{c, uint32(code)}}, score: s.score(in, cost), share: in.bad / s.whole.bad}
			if f.score >= minHint && (s.minor == nil || s.before(f, *s.minor) < 0) {
				s.minor = &f
			}
		}
	}
}

// before orders findings by score, and equal ones so that the order of rows and
// columns does not matter.
func (s *scan) before(a, b finding) int {
	if d := a.score - b.score; math.Abs(d) > 1e-9 {
		return cmp.Compare(b.score, a.score)
	}
	if c := s.telling(a, b); c != 0 {
		return c
	}
	for i := range a.all {
		dict := s.t.Cols[a.all[i].col].Dict
		if c := cmp.Compare(dict[a.all[i].code], dict[b.all[i].code]); c != 0 {
			return c
		}
	}
	return 0
}

// values counts the values of a column among the rows that are left.
func (s *scan) values(c int) int {
	n := 0
	for _, t := range s.per[c] {
		if t.rows > 0 {
			n++
		}
	}
	return n
}

// score is the evidence for a value, less the cost of naming it.
func (s *scan) score(in tally, cost float64) float64 {
	out := s.total.less(in)
	few := in.rows < minRows && (s.t.Model != enrich.Ratio || in.all < minEvents)
	if few || in.bad < minPart*s.whole.bad || !s.worse(in, out) {
		return 0
	}
	return entropy(in.x, in.n) + entropy(out.x, out.n) - entropy(s.total.x, s.total.n) - cost
}

// matters reports whether a value holds enough of the badness that is left, or
// all that keeps the rule firing.
func (s *scan) matters(in tally) bool {
	return in.bad >= minShare*s.total.bad || s.calms(s.total.less(in))
}

// calms reports whether the rule would be content with what is outside: then a
// value explains the alert, however small its part of all bad events.
func (s *scan) calms(out tally) bool {
	return s.t.Share > 0 && rate(out) <= s.t.Share && rate(s.total) > s.t.Share
}

// worse reports whether the rate inside is above the one outside by enough to
// matter, and is itself one that the rule would not like: a rule looks back over
// a range that a young fault has filled only in part.
func (s *scan) worse(in, out tally) bool {
	pin, pout := in.bad/in.all, rate(out)
	rise := minRise
	if s.t.Share > 0 {
		rise = min(rise, s.t.Share*windowFilled)
		if pin < s.t.Share*windowFilled {
			return false
		}
	}
	// Half an event on either side keeps an empty outside from infinite odds.
	odds := (in.bad + .5) / (in.all - in.bad + .5) * (out.all - out.bad + .5) / (out.bad + .5)
	return pin-pout >= rise && odds >= minOdds && in.x/in.n > rate(tally{bad: out.x, all: out.n})
}

func rate(t tally) float64 {
	if t.all <= 0 {
		return 0
	}
	return t.bad / t.all
}

// entropy is the log-likelihood of x bad among n at its best rate, x ln(x/n) + (n-x) ln(1-x/n).
func entropy(x, n float64) float64 {
	l := 0.0
	if x > 0 && n > 0 {
		l += x * math.Log(x/n)
	}
	if y := n - x; y > 0 && n > 0 {
		l += y * math.Log(y/n)
	}
	return l
}

// explainAway takes the rows of a conjunction out of what is left.
func (s *scan) explainAway(all []literal) {
	for i := range s.row {
		if s.row[i].rows > 0 && s.holds(all, i) {
			s.total = s.total.less(s.row[i])
			s.row[i].rows = 0
		}
	}
}
