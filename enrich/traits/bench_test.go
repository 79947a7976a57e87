package traits_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/traits"
)

// wide is 100,000 members with 12 labels, one of the deploys bad.
func wide(rows int) *enrich.Table {
	r := rand.New(rand.NewPCG(1, 2))
	t := &enrich.Table{Model: enrich.Ratio, Share: .02, Bad: make([]bool, rows)}
	for c, n := range []int{1, 3, 4, 60, 2000, 2000, 5, 20, 4, 5000, 8, 300} {
		col := enrich.Column{Name: fmt.Sprintf("l%d", c), Dict: []string{""}}
		for v := range n {
			col.Dict = append(col.Dict, fmt.Sprintf("v%d", v))
		}
		for range rows {
			col.Codes = append(col.Codes, uint32(1+r.IntN(n)))
		}
		t.Cols = append(t.Cols, col)
	}
	for i := range rows {
		n, p := 5+float64(r.IntN(60)), .01
		if t.Cols[6].Codes[i] == 3 {
			p = .3
		}
		t.Weight, t.Failing = append(t.Weight, n), append(t.Failing, math.Round(n*p*2*r.Float64()))
	}
	return t
}

// BenchmarkExplain compares with the obvious way: a map of tallies by label and
// value, and no more than the first search.
func BenchmarkExplain(b *testing.B) {
	t := wide(100_000)
	e := traits.New(nil)
	var ours, naive time.Duration
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if f := e.Explain(t); len(f.Traits) != 1 || f.Traits[0].Labels["l6"] != "v2" {
				b.Fatal(brief(f))
			}
		}
		ours = b.Elapsed() / time.Duration(b.N)
	})
	b.Run("naive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got := naiveBest(t); got != [2]string{"l6", "v2"} {
				b.Fatal(got)
			}
		}
		naive = b.Elapsed() / time.Duration(b.N)
		if ours > 0 {
			b.ReportMetric(float64(naive)/float64(ours), "naive/ours")
		}
	})
}

func naiveBest(t *enrich.Table) [2]string {
	type sums struct{ bad, all float64 }
	per := map[[2]string]sums{}
	var total sums
	for i := range t.Rows() {
		total.bad, total.all = total.bad+t.Failing[i], total.all+t.Weight[i]
		for _, c := range t.Cols {
			k := [2]string{c.Name, c.Dict[c.Codes[i]]}
			s := per[k]
			per[k] = sums{s.bad + t.Failing[i], s.all + t.Weight[i]}
		}
	}
	l := func(x, n float64) float64 {
		if x <= 0 || x >= n {
			return 0
		}
		return x*math.Log(x/n) + (n-x)*math.Log(1-x/n)
	}
	best, top := [2]string{}, 0.0
	for k, s := range per {
		if s.all == total.all || s.bad/s.all < total.bad/total.all {
			continue
		}
		if llr := l(s.bad, s.all) + l(total.bad-s.bad, total.all-s.all) - l(total.bad, total.all); llr > top {
			best, top = k, llr
		}
	}
	return best
}

// fleetWithPast is a service of many series with a past: pods on nodes in zones
// in clusters, versions, endpoints, users; one version fails on one endpoint,
// and one node fails.
func fleetWithPast(rows int) *enrich.Table {
	r := rand.New(rand.NewPCG(7, 7))
	sizes := []int{1, 3, 9, 200, 2000, 2000, 4, 40, 3, 5000, 3, 2}
	t := &enrich.Table{Model: enrich.Ratio, Bad: make([]bool, rows), Past: []enrich.Past{{Name: "1h"}}}
	for c, n := range sizes {
		col := enrich.Column{Name: fmt.Sprintf("l%02d", c), Dict: []string{""}, Codes: make([]uint32, rows)}
		for v := range n {
			col.Dict = append(col.Dict, fmt.Sprintf("v%d", v))
		}
		t.Cols = append(t.Cols, col)
	}
	for i := range rows {
		pod, user := r.IntN(2000), int(5000*r.Float64()*r.Float64())
		node := pod * 7 % 200
		for c, v := range []int{0, node % 9 % 3, node % 9, node, pod, pod, pod * 13 % 4, r.IntN(40), r.IntN(3), user, user % 3, r.IntN(2)} {
			t.Cols[c].Codes[i] = uint32(v + 1)
		}
		before, now, p := float64(1+r.IntN(200)), float64(1+r.IntN(200)), .01
		bad := math.Floor(before*p + r.Float64())
		switch {
		case t.Cols[6].Codes[i] == 3 && t.Cols[7].Codes[i] == 8:
			p = .3
		case node == 17:
			p = .2
		}
		t.Weight, t.Failing = append(t.Weight, now), append(t.Failing, math.Floor(now*p+r.Float64()))
		t.Past[0].Weight, t.Past[0].Failing = append(t.Past[0].Weight, before), append(t.Past[0].Failing, bad)
	}
	return t
}

// BenchmarkCauses is the whole of it for two causes: evidence, structure, search.
func BenchmarkCauses(b *testing.B) {
	for _, rows := range []int{10_000, 100_000, 1_000_000} {
		t := fleetWithPast(rows)
		encoded := float64(rows) * float64(4*len(t.Cols)+4*8)
		b.Run(fmt.Sprintf("%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got := traits.Causes(t)
				if len(got.Causes) != 2 || got.Causes[0].Labels.String() != "l06=v2 AND l07=v7" || got.Causes[1].Labels.String() != "l03=v17" {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/series")
			b.ReportMetric(encoded/1e6, "MB-encoded")
		})
	}
}
