package traits

import (
	"math"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// sums are what is known of a set of members, and all that the score of a slice
// needs: they add up. Of counts x of n events are bad where e were to be
// expected; of deviations x is the sum of n, each of unit variance.
type sums struct {
	x, n, e  float64 // weighed by what the members' evidence is worth
	bad, all float64 // as counted
	rows     float64
}

func (s *sums) add(o *sums) {
	s.x += o.x
	s.n += o.n
	s.e += o.e
	s.bad += o.bad
	s.all += o.all
	s.rows += o.rows
}

func (s *sums) less(o *sums) sums {
	return sums{s.x - o.x, s.n - o.n, s.e - o.e, max(0, s.bad-o.bad), max(0, s.all-o.all), s.rows - o.rows}
}

// leaves are the members' own evidence, in one direction of change.
type leaves struct {
	row           []sums  // rows is 0 for a member of which nothing is known
	gauss         bool    // deviations, not counts
	exact         bool    // chance is all the noise there is
	paired        bool    // counts now among counts now and then
	soft          bool    // members differ by more than the model knows
	centre, sigma float64 // of deviations: what is none, and their unit
	first         int     // members that a slice has at least
}

// view is one way to look at a table: the direction of change that is looked
// for, and whether sums are held against what was foreseen as it is or against
// what became of most members.
type view struct {
	sign  float64 // +1 or -1
	plain bool
}

// views are the ways in which a table may have changed.
func views(t *enrich.Table) []view {
	switch t.Model {
	case enrich.Counter:
		return []view{{sign: 1}, {sign: -1}}
	case enrich.Additive:
		return []view{{sign: 1}, {sign: -1}, {sign: 1, plain: true}, {sign: -1, plain: true}}
	case enrich.State, enrich.Value, enrich.Ratio, enrich.Histogram:
	}
	return []view{{sign: 1}}
}

func newLeaves(t *enrich.Table, v view) leaves {
	switch t.Model {
	case enrich.Additive:
		return additiveLeaves(t, v)
	case enrich.Counter:
		return counterLeaves(t, v)
	case enrich.Histogram:
		return histogramLeaves(t)
	case enrich.State, enrich.Value, enrich.Ratio:
	}
	return ratioLeaves(t)
}

// fine reports whether measures are numbers, and of a size that can be summed.
func fine(vs ...float64) bool {
	for _, v := range vs {
		if !(v >= 0 && v <= maxMeasure) {
			return false
		}
	}
	return true
}

func ratioLeaves(t *enrich.Table) leaves {
	x0, n0 := make([]float64, t.Rows()), make([]float64, t.Rows())
	for _, past := range t.Past {
		for i := range x0 {
			if x, n := past.Failing[i], past.Weight[i]; fine(x, n) {
				x0[i] += min(x, n)
				n0[i] += n
			}
		}
	}
	out := binomialLeaves(t.Failing, t.Weight, x0, n0, t.Model == enrich.Ratio)
	out.exact = t.Model == enrich.State
	return out
}

// binomialLeaves holds x of n events against x0 of n0 before, or against the
// mean of all where there was no before. A member's own expected rate leans on
// the mean of its peers as far as its past is short (a beta prior); its events
// are worth fewer than counted as far as that rate is unsure, and as members
// clump and differ for reasons that are none of ours.
func binomialLeaves(x, n, x0, n0 []float64, spread bool) leaves {
	out := leaves{row: make([]sums, len(x)), first: sureRows, soft: spread}
	var past, now sums
	for i := range x {
		if fine(x[i], n[i]) && n[i] > 0 {
			past.add(&sums{x: x0[i], n: n0[i]})
			now.add(&sums{x: min(x[i], n[i]), n: n[i]})
		}
	}
	mean, known := (past.x+.5)/(past.n+1), past.n > 0
	if !known {
		mean = now.x / now.n
	}
	mean = min(max(mean, 1e-9), 1-1e-9)
	for i := range x {
		if !fine(x[i], n[i]) || n[i] == 0 {
			continue
		}
		q, phi := mean, 1.0
		if known {
			q = (x0[i] + kappaMean*mean) / (n0[i] + kappaMean)
			phi += n[i] / (n0[i] + kappaSure)
		}
		if spread {
			extra := dispersion * dispersion * q * (1 - q)
			if known {
				extra = max(extra, clumping)
			}
			phi += n[i] * extra
		}
		bad := min(x[i], n[i])
		out.row[i] = sums{bad / phi, n[i] / phi, q * n[i] / phi, bad, n[i], 1}
	}
	return out
}

// histogramLeaves makes slow events of those above a quantile of the member's
// own past, and judges their share.
func histogramLeaves(t *enrich.Table) leaves {
	rows := t.Rows()
	x, n, x0, n0 := make([]float64, rows), make([]float64, rows), make([]float64, rows), make([]float64, rows)
	before := make([]float64, len(t.Buckets))
	for i := range rows {
		clear(before)
		for _, past := range t.Past {
			for b := range before {
				if v := past.Buckets[b][i]; fine(v) {
					before[b] += v
					n0[i] += v
				}
			}
		}
		if n0[i] < slowEvents {
			n0[i] = 0
			continue
		}
		edge, run := 0, before[0]
		for run < slowAt*n0[i] && edge+1 < len(before) {
			edge++
			run += before[edge]
		}
		x0[i] = n0[i] - run
		for b := range t.Buckets {
			if v := t.Buckets[b][i]; fine(v) {
				n[i] += v
				if b > edge {
					x[i] += v
				}
			}
		}
	}
	return binomialLeaves(x, n, x0, n0, true)
}

// counterLeaves uses that of two Poisson counts the one is binomial among both,
// which holds for small counts too and needs no logarithm of nought. A member
// without a past has no change to tell.
func counterLeaves(t *enrich.Table, v view) leaves {
	now, base := t.Weight, make([]float64, t.Rows())
	for _, past := range t.Past {
		for i, n := range past.Weight {
			if fine(n) {
				base[i] += n
			}
		}
	}
	out := leaves{row: make([]sums, len(now)), first: sureRows, paired: true}
	var logs []float64
	for i := range now {
		if fine(now[i]) && now[i] > 0 && base[i] > 0 {
			logs = append(logs, math.Log(now[i]/base[i]))
		}
	}
	load := median(logs)
	clump, tau2 := spreadOf(now, base, load)
	tau2 = max(tau2, counterTau*counterTau)
	q := 1 / (1 + math.Exp(-load*v.sign))
	for i := range now {
		if !fine(now[i]) || !(base[i] > 0) {
			continue
		}
		x, n := now[i], now[i]+base[i]
		if v.sign < 0 {
			x = base[i]
		}
		phi := clump + n*q*(1-q)*tau2
		out.row[i] = sums{x / phi, n / phi, q * n / phi, x, n, 1}
	}
	return out
}

// chiMedian is the median of chi-squared with one degree of freedom.
const chiMedian = 0.455

// spreadOf fits Var(ln(now/base)) = clump·(1/now + 1/base) + tau2 by medians: of
// members with few events for the first term, with many for the second. Causes
// that hold less than half of the members do not move it.
func spreadOf(now, base []float64, load float64) (clump, tau2 float64) {
	clump = 1
	for range 4 {
		var few, many []float64
		for i := range now {
			if !fine(now[i]) || now[i] < 8 || base[i] < 8 {
				continue
			}
			l, v := math.Log(now[i]/base[i])-load, 1/now[i]+1/base[i]
			if clump*v >= tau2 {
				few = append(few, (l*l-tau2*chiMedian)/(v*chiMedian))
			}
			if v <= max(tau2, .02) {
				many = append(many, l*l/chiMedian-clump*v)
			}
		}
		if len(few) >= 20 {
			clump = min(max(median(few), 1), 4)
		}
		if len(many) >= 10 {
			tau2 = max(median(many), 0)
		}
	}
	return clump, tau2
}

// additiveLeaves are relative deviations of what was from what was foreseen, in
// standard deviations of the honest ones.
func additiveLeaves(t *enrich.Table, v view) leaves {
	out := leaves{row: make([]sums, t.Rows()), gauss: true, first: 1}
	if len(t.Past) == 0 {
		return out
	}
	was, foreseen := t.Weight, t.Past[0].Weight
	rel := make([]float64, len(was))
	var known []float64
	for i := range was {
		size := math.Abs(was[i]) + math.Abs(foreseen[i])
		rel[i] = math.NaN()
		if size > 0 && size <= maxMeasure {
			rel[i] = 2 * (was[i] - foreseen[i]) / size
			known = append(known, rel[i])
		}
	}
	centre := median(known)
	for i, r := range known {
		known[i] = math.Abs(r - centre)
	}
	sigma := max(1.4826*median(known), sigmaFloor) // of a normal distribution, from its median absolute deviation
	if v.plain && math.Abs(centre) < sigma/4 {
		return out // most members are as foreseen: the other view is this one
	}
	if v.plain {
		centre = 0
	}
	out.centre, out.sigma = centre, sigma
	for i, r := range rel {
		if !math.IsNaN(r) {
			z := v.sign * (r - centre) / sigma
			out.row[i] = sums{min(max(z, -bounded), bounded), 1, 0, v.sign * (was[i] - foreseen[i]), math.Abs(was[i]) + math.Abs(foreseen[i]), 1}
		}
	}
	return out
}

// median sorts its argument.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}
