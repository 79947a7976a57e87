package traits_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tocsin/tocsin/enrich"
)

// fleet is a made-up service: hosts with one or two instances in data centres,
// two deploys, users of very different size, and errors that are never quite
// absent.
type fleet struct {
	r     *rand.Rand
	names []string
	rows  [][]string
	bad   []float64
	all   []float64

	background float64 // share of bad events without a fault
}

func roles() enrich.Roles {
	return enrich.Roles{"host": {"host", "instance"}, "deploy": {"deploy"}, "user": {"user"}, "datacentre": {"dc"}}
}

// newFleet draws a fleet; perUser adds a row for each user an instance serves.
func newFleet(seed uint64, perUser bool) *fleet {
	f := &fleet{r: rand.New(rand.NewPCG(seed, 7)), names: []string{"job", "dc", "host", "instance", "deploy", "method", "user"}}
	hosts, dcs, users := 4+f.r.IntN(40), 2+f.r.IntN(3), 5+f.r.IntN(40)
	perHost := 1 + f.r.IntN(2)
	canary := .1 + .5*f.r.Float64()
	for h := range hosts {
		for k := range perHost {
			deploy := "v41"
			if f.r.Float64() < canary || (h == 0 && k == 0) {
				deploy = "v42"
			}
			if h == 1 && k == 0 {
				deploy = "v41"
			}
			base := []string{"api", fmt.Sprintf("dc%d", h%dcs), fmt.Sprintf("h%d", h), fmt.Sprintf("h%d:%d", h, 8080+k), deploy}
			for _, m := range []string{"GET", "POST"} {
				if !perUser {
					f.rows = append(f.rows, append(slices.Clone(base), m, ""))
					continue
				}
				for u := range users {
					if f.r.Float64() < .6 {
						f.rows = append(f.rows, append(slices.Clone(base), m, fmt.Sprintf("u%d", u)))
					}
				}
			}
		}
	}
	return f
}

func (f *fleet) poisson(mean float64) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+math.Sqrt(mean)*f.r.NormFloat64()))
	}
	k, p, limit := 0.0, f.r.Float64(), math.Exp(-mean)
	for p > limit {
		k++
		p *= f.r.Float64()
	}
	return k
}

// run draws one window of events, filled in part with the fault: rate is the
// share of bad events of the rows hit, background that of the others.
func (f *fleet) run(hit func(row []string) bool, rate float64) {
	f.background = .001 + .009*f.r.Float64()
	filled := .25 + .75*f.r.Float64()
	perRow := 20 + 200*f.r.Float64()
	if len(f.rows) > 500 {
		perRow = 3 + 20*f.r.Float64()
	}
	for _, row := range f.rows {
		size := perRow * math.Exp(.7*f.r.NormFloat64())
		p := f.background * math.Exp(.4*f.r.NormFloat64())
		if hit(row) {
			p = min(.95, p+filled*rate*(.85+.3*f.r.Float64()))
		}
		bad := f.poisson(size * p)
		f.bad, f.all = append(f.bad, bad), append(f.all, bad+f.poisson(size*(1-p)))
	}
}

// rate is the share of bad events of the whole fleet.
func (f *fleet) rate() float64 {
	bad, all := 0.0, 0.0
	for i := range f.rows {
		bad, all = bad+f.bad[i], all+f.all[i]
	}
	return bad / all
}

func (f *fleet) table(share float64) *enrich.Table {
	return tableOf(f.names, f.rows, f.bad, f.all, share)
}

// tableOf makes a ratio table; weights of nil make it a state table.
func tableOf(names []string, rows [][]string, bad, all []float64, share float64) *enrich.Table {
	t := &enrich.Table{Model: enrich.Ratio, Failing: bad, Weight: all, Share: share, Bad: make([]bool, len(rows)), Source: "main", Alert: "A"}
	if all == nil {
		t.Model, t.Weight = enrich.State, make([]float64, len(rows))
		for i := range t.Weight {
			t.Weight[i] = 1
		}
	}
	for i := range t.Bad {
		t.Bad[i] = bad[i] > share*t.Weight[i]
	}
	for c, name := range names {
		col := enrich.Column{Name: name, Role: roles().Of(name), Dict: []string{""}}
		codes := map[string]uint32{"": 0}
		for _, row := range rows {
			code, ok := codes[row[c]]
			if !ok {
				code = uint32(len(col.Dict))
				codes[row[c]] = code
				col.Dict = append(col.Dict, row[c])
			}
			col.Codes = append(col.Codes, code)
		}
		t.Cols = append(t.Cols, col)
	}
	return t
}
