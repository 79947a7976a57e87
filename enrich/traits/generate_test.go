//go:build accuracy

package traits

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// generated is a table drawn by a seeded generator, and its causes.
type generated struct {
	table  *enrich.Table
	causes []map[string]string
}

// grid draws a full cube of labels a, b, c … with the numbers of values given.
func grid(sizes []int) (cols []enrich.Column, rows int) {
	rows = 1
	for _, n := range sizes {
		rows *= n
	}
	run := rows
	for c, n := range sizes {
		name := string(rune('a' + c))
		col := enrich.Column{Name: name, Dict: []string{""}, Codes: make([]uint32, rows)}
		for v := range n {
			col.Dict = append(col.Dict, fmt.Sprintf("%s%d", name, v+1))
		}
		run /= n
		for i := range rows {
			col.Codes[i] = uint32(1 + i/run%n)
		}
		cols = append(cols, col)
	}
	return cols, rows
}

// inside lists the rows of a conjunction.
func inside(cols []enrich.Column, cause map[string]string) []int {
	var out []int
	for i := range cols[0].Codes {
		all := true
		for _, c := range cols {
			if v, ok := cause[c.Name]; ok && c.Dict[c.Codes[i]] != v {
				all = false
				break
			}
		}
		if all {
			out = append(out, i)
		}
	}
	return out
}

// pick draws n conjunctions of the labels given; no two have a row in common
// where apart, nor does one lie in an earlier one.
func pick(r *rand.Rand, cols []enrich.Column, labels []int, n int, have []map[string]string) []map[string]string {
	var out []map[string]string
next:
	for tries := 0; len(out) < n && tries < 200; tries++ {
		m := map[string]string{}
		for _, c := range labels {
			m[cols[c].Name] = cols[c].Dict[1+r.IntN(len(cols[c].Dict)-1)]
		}
		for _, o := range slices.Concat(have, out) {
			clash := true // some row is in both
			for k, v := range m {
				if w, ok := o[k]; ok && w != v {
					clash = false
				}
			}
			if clash {
				continue next
			}
		}
		out = append(out, m)
	}
	return out
}

func subset(r *rand.Rand, n, k int) []int {
	out := r.Perm(n)[:k]
	slices.Sort(out)
	return out
}

func additiveTable(cols []enrich.Column, real, foreseen []float64) *enrich.Table {
	return &enrich.Table{
		Model: enrich.Additive, Cols: cols, Bad: make([]bool, len(real)), Failing: make([]float64, len(real)), Weight: real,
		Past: []enrich.Past{{Name: "predict", Weight: foreseen}},
	}
}

// synthetic draws a table like those that the authors of RiskLoc (2022, section
// on synthetic data) describe: leaves from a Weibull distribution of mean about
// 100 with a share of zeros, a normal relative error either way, and one to
// several anomalies. An anomaly has one severity, its leaves deviate from
// that by a little, all anomalies of a table go in one direction: what fell lost
// that share of its forecast, what rose had a forecast short by that share.
//
//	S  five labels, 48,000 leaves, any set of labels, one to three elements of an anomaly
//	L  four labels, 36,000 leaves, single leaves, one to five
//	H  four labels, 100,000 leaves, weaker anomalies among less noise
func synthetic(seed uint64, shape string) generated {
	r := rand.New(rand.NewPCG(seed, uint64(shape[0])))
	var sizes []int
	noise, low, high, anomalies := .25*r.Float64(), .5, 1.0, 1+r.IntN(3)
	switch shape {
	case "S":
		sizes = []int{10, 12, 10, 8, 5}
	case "L":
		sizes, noise, anomalies = []int{10, 24, 10, 15}, .1*r.Float64(), 1+r.IntN(5)
	case "H":
		sizes, noise, low, high, anomalies = []int{10, 5, 250, 8}, .1*r.Float64(), .25, .75, 1+r.IntN(4)
	}
	cols, rows := grid(sizes)
	zero, k := .25*r.Float64(), .5+.5*r.Float64()
	f, v := make([]float64, rows), make([]float64, rows)
	for i := range f {
		if r.Float64() >= zero {
			f[i] = 100 * math.Pow(r.ExpFloat64(), 1/k)
			v[i] = max(0, f[i]*(1+noise*r.NormFloat64()))
			if r.IntN(2) == 1 {
				f[i], v[i] = v[i], f[i]
			}
		}
	}
	out := generated{}
	up := r.IntN(2) == 1
	for range anomalies {
		severity, deviation := low+(high-low)*r.Float64(), .1*r.Float64()
		depth, elements := 1+r.IntN(len(sizes)), 1+r.IntN(3)
		if shape == "L" {
			deviation, depth, elements = 0, len(sizes), 1
		}
		for _, m := range pick(r, cols, subset(r, len(sizes), depth), elements, out.causes) {
			hit := false
			for _, i := range inside(cols, m) {
				s := severity + deviation*r.NormFloat64()
				if f[i] > 0 {
					hit = true
				}
				if up {
					v[i], f[i] = f[i], max(0, f[i]*(1-s))
				} else {
					v[i] = max(0, f[i]*(1-s))
				}
			}
			if hit {
				out.causes = append(out.causes, m)
			}
		}
	}
	if len(out.causes) == 0 {
		return synthetic(seed+1_000_003, shape) // every leaf chosen was empty
	}
	out.table = additiveTable(cols, v, f)
	return out
}

// injected draws a table like Squeeze's B sets (2019): four labels, leaves that
// spread over many orders of magnitude, many of them empty, good forecasts, and
// one to three causes of one set of labels, each of which lost a share of its own
// of all its leaves, whose counts stay whole.
func injected(seed uint64, layer, elements int, noise float64) generated {
	r := rand.New(rand.NewPCG(seed, uint64(10*layer+elements)))
	cols, rows := grid([]int{6, 36, 10, 10})
	f, v := make([]float64, rows), make([]float64, rows)
	size := make([][]float64, len(cols)) // values differ in size as such
	for c := range cols {
		for range cols[c].Dict {
			size[c] = append(size[c], .8*r.NormFloat64())
		}
	}
	for i := range f {
		l := 1.5 + 2.2*r.NormFloat64()
		for c := range cols {
			l += size[c][cols[c].Codes[i]]
		}
		v[i] = math.Floor(math.Exp(l))
		f[i] = v[i] * max(0, 1+noise*r.NormFloat64())
	}
	out := generated{}
	total := 0.0
	for _, x := range v {
		total += x
	}
	used := 0.0
	labels := subset(r, 4, layer)
	for tries := 0; len(out.causes) < elements && tries < 500; tries++ {
		for _, m := range pick(r, cols, labels, 1, out.causes) {
			part, alive := 0.0, 0
			in := inside(cols, m)
			for _, i := range in {
				part += v[i]
				if v[i] > 0 {
					alive++
				}
			}
			if alive < 5 || part < 1e-4*total || used+part > .6*total {
				continue
			}
			used += part
			lost := .2*float64(1+len(out.causes)) + .3*r.Float64() // no two alike: causes of one deviation are one to Squeeze
			for _, i := range in {
				v[i] = math.Floor(v[i] * max(0, 1-lost))
			}
			out.causes = append(out.causes, m)
		}
	}
	out.table = additiveTable(cols, v, f)
	return out
}

// stalling draws a ratio table with the traits of a video service's alerts: few
// labels, sizes of members over many orders of magnitude, rates that differ by
// label and by member, one cause in general, whose members are hit unevenly, and
// which often was bad before.
func stalling(seed uint64) generated {
	r := rand.New(rand.NewPCG(seed, 77))
	var sizes []int
	for range 3 + r.IntN(3) {
		sizes = append(sizes, 2+r.IntN(9))
	}
	sizes[r.IntN(len(sizes))] = 2
	cols, rows := grid(sizes)
	base := math.Exp(math.Log(.004) + math.Log(10)*r.Float64())
	spread, clump, drift := .1+.25*r.Float64(), .3+.4*r.Float64(), .25*r.NormFloat64()
	size, rate := make([][]float64, len(cols)), make([][]float64, len(cols))
	for c := range cols {
		for range cols[c].Dict {
			size[c] = append(size[c], (.6+.6*r.Float64())*r.NormFloat64())
			rate[c] = append(rate[c], spread*r.NormFloat64())
		}
	}
	members := 30 + int(math.Exp(4+1.2*r.NormFloat64()))
	type member struct{ size, p float64 }
	all := make([]member, rows)
	order := make([]int, rows)
	for i := range all {
		l, p := 5+.8*r.NormFloat64(), math.Log(base)+clump*r.NormFloat64()
		for c := range cols {
			l += size[c][cols[c].Codes[i]]
			p += rate[c][cols[c].Codes[i]]
		}
		all[i], order[i] = member{math.Exp(l), min(.6, math.Exp(p))}, i
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, all[b].size-all[a].size)) })
	order = order[:min(members, rows)]
	slices.Sort(order)
	t := &enrich.Table{Model: enrich.Ratio, Past: []enrich.Past{{Name: "base"}}}
	for _, c := range cols {
		codes := make([]uint32, 0, len(order))
		for _, i := range order {
			codes = append(codes, c.Codes[i])
		}
		c.Codes = codes
		t.Cols = append(t.Cols, c)
	}
	out := generated{table: t}
	traffic := 0.0
	for _, i := range order {
		traffic += all[i].size
	}
	wanted := 1
	if r.Float64() < .06 {
		wanted = 2
	}
	hit := make([]float64, len(order))
	for tries := 0; len(out.causes) < wanted && tries < 500; tries++ {
		depth := 1
		if x := r.Float64(); x > .93 {
			depth = 3
		} else if x > .63 {
			depth = 2
		}
		for _, m := range pick(r, t.Cols, subset(r, len(sizes), depth), 1, out.causes) {
			in, part := inside(t.Cols, m), 0.0
			for _, i := range in {
				part += all[order[i]].size
			}
			if part < .02*traffic || part > .6*traffic || !minimal(t.Cols, m, len(in)) {
				continue
			}
			rise := math.Exp(math.Log(.06) + math.Log(8)*r.Float64())
			uneven := .2 + .5*r.Float64()
			for _, i := range in {
				hit[i] = rise * math.Exp(uneven*r.NormFloat64())
			}
			out.causes = append(out.causes, m)
		}
	}
	p := &t.Past[0]
	for k, i := range order {
		n0, n1 := poisson(r, 4*all[i].size), poisson(r, all[i].size*math.Exp(.15*r.NormFloat64()))
		now := min(.95, all[i].p*math.Exp(drift+.3*r.NormFloat64())+hit[k])
		before := min(.95, all[i].p+hit[k]*.15*r.Float64())
		p.Weight, p.Failing = append(p.Weight, n0), append(p.Failing, binomial(r, n0, before))
		t.Weight, t.Failing = append(t.Weight, n1), append(t.Failing, binomial(r, n1, now))
	}
	t.Bad = make([]bool, len(order))
	return out
}

// minimal reports whether a conjunction holds fewer members than each of its parts.
func minimal(cols []enrich.Column, m map[string]string, members int) bool {
	for k := range m {
		if len(m) > 1 {
			part := maps.Clone(m)
			delete(part, k)
			if len(inside(cols, part)) == members {
				return false
			}
		}
	}
	return members >= 1
}

func poisson(r *rand.Rand, mean float64) float64 {
	if mean > 60 {
		return max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	k, p, limit := 0.0, r.Float64(), math.Exp(-mean)
	for p > limit {
		k++
		p *= r.Float64()
	}
	return k
}

func binomial(r *rand.Rand, n, p float64) float64 {
	switch {
	case p > .5:
		return n - binomial(r, n, 1-p)
	case n*p > 30 && n*(1-p) > 30:
		return min(n, max(0, math.Round(n*p+math.Sqrt(n*p*(1-p))*r.NormFloat64())))
	case n > 400:
		return min(n, poisson(r, n*p))
	}
	k := 0.0
	for range int(n) {
		if r.Float64() < p {
			k++
		}
	}
	return k
}
