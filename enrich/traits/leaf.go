package traits

import (
	"math"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// sums are what is known of a set of members, and all that the score of a slice
// needs: they add up. Counts (x of n events are bad, e were to be expected) and
// deviations (x is the sum of n unit-variance deviations) share them.
type sums struct {
	x, n, e  float64 // weighed by what the member's evidence is worth
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

func (s sums) less(o sums) sums {
	return sums{s.x - o.x, s.n - o.n, s.e - o.e, max(0, s.bad-o.bad), max(0, s.all-o.all), s.rows - o.rows}
}

// leaves are the members' own evidence, in one direction of change.
type leaves struct {
	row   []sums // rows is 0 for a member of which nothing is known
	gauss bool
	exact bool // chance is all the noise there is
	soft  bool // members differ by more than their model knows: near-equal scores are equal
	first int  // rows that a slice has at least, unless they have bad events enough
}

// side is the direction of change that is looked for.
type side int

const (
	up   side = 1
	down side = -1
)

// sides are the directions in which a table may have changed for the worse.
func sides(t *enrich.Table) []side {
	if t.Model == enrich.Counter || t.Model == enrich.Additive {
		return []side{up, down}
	}
	return []side{up}
}

func newLeaves(t *enrich.Table, d side, p *params) leaves {
	switch t.Model {
	case enrich.Additive:
		return additiveLeaves(t, d, p)
	case enrich.Counter:
		return counterLeaves(t, d, p)
	case enrich.Histogram:
		return histogramLeaves(t, p)
	}
	return ratioLeaves(t, p)
}

func fine(vs ...float64) bool {
	for _, v := range vs {
		if !(v >= 0) || v > maxMeasure {
			return false
		}
	}
	return true
}

func ratioLeaves(t *enrich.Table, p *params) leaves {
	rows := t.Rows()
	x0, n0 := make([]float64, rows), make([]float64, rows)
	for _, past := range t.Past {
		for i := range rows {
			if fine(past.Failing[i], past.Weight[i]) {
				x0[i] += min(past.Failing[i], past.Weight[i])
				n0[i] += past.Weight[i]
			}
		}
	}
	spread := p.spread
	if t.Model != enrich.Ratio {
		spread = 0
	}
	out := binomialLeaves(t.Failing, t.Weight, x0, n0, spread, p)
	out.exact = t.Model == enrich.State
	return out
}

// binomialLeaves judges x of n against x0 of n0 before.
func binomialLeaves(x, n, x0, n0 []float64, spread float64, p *params) leaves {
	rows := len(x)
	out := leaves{row: make([]sums, rows), first: minRows, soft: spread > 0}
	var bx, bn, nx, nn float64
	for i := range rows {
		if fine(x[i], n[i]) && n[i] > 0 {
			bx, bn, nx, nn = bx+x0[i], bn+n0[i], nx+min(x[i], n[i]), nn+n[i]
		}
	}
	mean := (bx + .5) / (bn + 1)
	past := bn > 0
	if !past {
		mean = nx / nn
	}
	mean = min(max(mean, 1e-9), 1-1e-9)
	kappa := p.kappa
	if past && p.eb {
		kappa = concentration(x0, n0, mean)
	}
	for i := range rows {
		if !fine(x[i], n[i]) || !(n[i] > 0) {
			continue
		}
		xi, ni := min(x[i], n[i]), n[i]
		q := (x0[i] + kappa*mean) / (n0[i] + kappa)
		q = min(max(q, 1e-9), 1-1e-9)
		known := n0[i] + p.kappaVar
		if !past {
			known = math.Inf(1)
		}
		r := q
		if p.own && past && spread > 0 {
			r = max(q, (xi+kappa*q)/(ni+kappa))
			r = min(r, p.ownMax)
		}
		phi := 1 + ni/known + ni*spread*spread*r*(1-r)
		if past && spread > 0 {
			phi = max(phi, 1+ni/known+ni*p.rho)
		}
		out.row[i] = sums{xi / phi, ni / phi, q * ni / phi, xi, ni, 1}
	}
	return out
}

// concentration is the beta prior's weight by moments.
func concentration(x, n []float64, mean float64) float64 {
	var num, den float64
	for i := range x {
		if n[i] < 2 {
			continue
		}
		r := x[i]/n[i] - mean
		num += n[i] * (r*r - mean*(1-mean)/n[i])
		den += n[i] * mean * (1 - mean) * (1 - 1/n[i])
	}
	if den <= 0 || num <= 0 {
		return 1000
	}
	return min(max(den/num-1, 5), 1000)
}

func histogramLeaves(t *enrich.Table, p *params) leaves {
	rows := t.Rows()
	x, n, x0, n0 := make([]float64, rows), make([]float64, rows), make([]float64, rows), make([]float64, rows)
	for i := range rows {
		total := 0.0
		for _, past := range t.Past {
			for b := range past.Buckets {
				if v := past.Buckets[b][i]; fine(v) {
					total += v
				}
			}
		}
		if total < p.histMin {
			continue
		}
		edge, run := 0, 0.0
		for b := range t.Buckets {
			for _, past := range t.Past {
				if v := past.Buckets[b][i]; fine(v) {
					run += v
				}
			}
			edge = b
			if run >= p.histQ*total {
				break
			}
		}
		n0[i], x0[i] = total, total-run
		for b := range t.Buckets {
			if v := t.Buckets[b][i]; fine(v) {
				n[i] += v
				if b > edge {
					x[i] += v
				}
			}
		}
	}
	return binomialLeaves(x, n, x0, n0, p.histSpread, p)
}

// counterLeaves uses that of two Poisson counts the first is binomial among both.
func counterLeaves(t *enrich.Table, d side, p *params) leaves {
	rows := t.Rows()
	out := leaves{row: make([]sums, rows), first: minRows}
	now := t.Weight
	var all, past float64
	base := make([]float64, rows)
	for _, w := range t.Past {
		for i := range rows {
			if fine(w.Weight[i]) {
				base[i] += w.Weight[i]
			}
		}
	}
	for i := range rows {
		if fine(now[i]) && base[i] > 0 {
			all += now[i]
			past += base[i]
		}
	}
	var logs []float64
	for i := range rows {
		if fine(now[i]) && base[i] > 0 && now[i] > 0 {
			logs = append(logs, math.Log(now[i]/base[i]))
		}
	}
	if len(logs) == 0 {
		return out
	}
	slices.Sort(logs)
	g := math.Exp(logs[len(logs)/2])
	clump, tau2 := spreadOf(now, base, math.Log(g))
	tau2 = max(tau2, p.counterTau*p.counterTau)
	q := g / (1 + g)
	for i := range rows {
		if !fine(now[i]) || !(base[i] > 0) {
			continue
		}
		x, n, qi := now[i], now[i]+base[i], q
		if d == down {
			x, qi = base[i], 1-q
		}
		phi := clump + n*qi*(1-qi)*tau2
		out.row[i] = sums{x / phi, n / phi, qi * n / phi, x, n, 1}
	}
	return out
}

// spreadOf fits Var(ln(now/base)) = clump·(1/now + 1/base) + tau², by medians:
// of members with few events for the first term, with many for the second.
func spreadOf(now, base []float64, g float64) (clump, tau2 float64) {
	clump = 1
	for range 4 {
		var few, many []float64
		for i := range now {
			if !(now[i] >= 8 && base[i] >= 8 && now[i] <= maxMeasure && base[i] <= maxMeasure) {
				continue
			}
			l, v := math.Log(now[i]/base[i])-g, 1/now[i]+1/base[i]
			if clump*v >= tau2 {
				few = append(few, (l*l-tau2*chiMedian)/(v*chiMedian))
			}
			if v <= max(tau2, .02) {
				many = append(many, l*l/chiMedian-clump*v)
			}
		}
		if len(few) >= 20 {
			slices.Sort(few)
			clump = min(max(few[len(few)/2], 1), 4)
		}
		if len(many) >= 10 {
			slices.Sort(many)
			tau2 = max(many[len(many)/2], 0)
		}
	}
	return clump, tau2
}

const chiMedian = .455 // of chi-squared with one degree of freedom

func additiveLeaves(t *enrich.Table, d side, p *params) leaves {
	rows := t.Rows()
	out := leaves{row: make([]sums, rows), gauss: true, first: 1}
	v, f := t.Weight, t.Past[0].Weight
	z := make([]float64, rows)
	var sorted []float64
	for i := range rows {
		s := math.Abs(v[i]) + math.Abs(f[i])
		if !(s > 0) || s > maxMeasure {
			z[i] = math.NaN()
			continue
		}
		z[i] = 2 * (v[i] - f[i]) / s
		sorted = append(sorted, z[i])
	}
	if len(sorted) == 0 {
		return out
	}
	slices.Sort(sorted)
	median := sorted[len(sorted)/2]
	for i, x := range sorted {
		sorted[i] = math.Abs(x - median)
	}
	slices.Sort(sorted)
	sigma := max(1.4826*sorted[len(sorted)/2], p.minSigma)
	for i := range rows {
		if math.IsNaN(z[i]) {
			continue
		}
		x := float64(d) * (z[i] - median) / sigma
		x = min(max(x, -p.clip), p.clip)
		out.row[i] = sums{x, 1, 0, float64(d) * (v[i] - f[i]), math.Abs(v[i]) + math.Abs(f[i]), 1}
	}
	return out
}
