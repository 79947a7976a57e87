package traits

import (
	"math"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// verdict on one member.
type verdict uint8

const (
	unsure verdict = iota
	failing
	healthy
)

// verdicts on all members, and how many there are of each.
type verdicts struct {
	row              []verdict
	failing, healthy int
}

// Odds, in nats, at which a member's own events settle what it is. Calling a
// member failing asks for more, for there are more healthy ones to be unlucky.
const (
	surelyFailing = 3.0 // 20 : 1
	surelyHealthy = 1.1 // 3 : 1
	mixed         = 2.0 // variance of rates over what one honest fleet shows
)

// judge says which members count as failing and which as healthy.
//
// Of a State or a Value the rule itself says so. Of a Ratio a member with 2
// events and 1 error is noise, and one without errors in 3 events is not proven
// healthy, so each member is held against the two rates that the table shows,
// that of the failing and that of the healthy: its events must favour one of
// them clearly, or it is left out of the counts. The scan itself counts events,
// not verdicts, and so loses nothing by that.
func judge(t *enrich.Table, s *scan, found []finding) verdicts {
	v := verdicts{row: make([]verdict, t.Rows())}
	if t.Model != enrich.Ratio {
		for i := range v.row {
			if t.Weight[i] > 0 {
				v.row[i] = healthy
				if t.Failing[i] > 0 {
					v.row[i] = failing
				}
			}
		}
		return v.counted()
	}
	bad, good, two := s.rates(found)
	switch {
	case !two && bad < t.Share*windowFilled:
		v.fill(t, func(float64, float64) verdict { return healthy })
	case !two: // one rate describes everybody, and the rule does not like it
		v.fill(t, func(float64, float64) verdict { return failing })
	default:
		v.fill(t, func(x, n float64) verdict { return alone(x, n, bad, good, t.Share) })
		if v = v.counted(); v.failing == 0 {
			// Nobody has traffic enough to be judged alone: go by what was seen of each.
			v.fill(t, func(x, n float64) verdict {
				if x >= 1 && x/n > (bad+good)/2 {
					return failing
				}
				return healthy
			})
		}
	}
	return v.counted()
}

// alone judges a member by its own events: their log-likelihood at the failing
// rate over that at the healthy one.
func alone(x, n, bad, good, share float64) verdict {
	l := x*math.Log(bad/good) + (n-x)*math.Log((1-bad)/(1-good))
	switch {
	case l >= surelyFailing && x >= 2 && x/n >= share*windowFilled:
		return failing
	case l <= -surelyHealthy:
		return healthy
	}
	return unsure
}

// rates returns the failing and the healthy rate, and whether there are two: a
// fleet that fails as one has no healthy rate.
func (s *scan) rates(found []finding) (bad, good float64, two bool) {
	if len(found) > 0 {
		in := s.whole.less(s.total) // explained
		return clip(in, s.total)
	}
	p := rate(s.whole)
	if !s.isMixed(p) {
		return p, p, false
	}
	// Two groups, each member in the one whose rate fits it better.
	bad, good, two = s.split(func(x, n float64) bool { return x/n > p })
	for range 8 {
		if !two {
			return p, p, false
		}
		b, g := bad, good
		bad, good, two = s.split(func(x, n float64) bool {
			return x*math.Log(b/g)+(n-x)*math.Log((1-b)/(1-g)) > 0
		})
	}
	return bad, good, two
}

func (s *scan) split(isBad func(x, n float64) bool) (float64, float64, bool) {
	var in, out tally
	for _, r := range s.row {
		switch {
		case r.rows == 0:
		case isBad(r.bad, r.all):
			in.add(r)
		default:
			out.add(r)
		}
	}
	return clip(in, out)
}

// clip keeps rates off 0 and 1, where one event would settle everything.
func clip(in, out tally) (float64, float64, bool) {
	bad, good := (in.bad+.5)/(in.all+1), (out.bad+.5)/(out.all+1)
	return bad, good, in.rows > 0 && out.rows > 0 && bad > good
}

// isMixed reports whether the members' rates spread wider than chance and the
// honest dispersion of one fleet explain (a mean squared Pearson residual).
func (s *scan) isMixed(p float64) bool {
	sum, rows := 0.0, 0
	for _, r := range s.row {
		if e := r.all * p; r.rows > 0 && e >= 1 {
			sum += (r.bad - e) * (r.bad - e) / (e*(1-p) + dispersion*dispersion*e*e)
			rows++
		}
	}
	return rows >= 2 && sum/float64(rows-1) > mixed
}

func (v *verdicts) fill(t *enrich.Table, of func(x, n float64) verdict) {
	for i := range v.row {
		if n := t.Weight[i]; n > 0 && !math.IsInf(n, 0) && !math.IsNaN(t.Failing[i]) {
			v.row[i] = of(min(max(t.Failing[i], 0), n), n)
		}
	}
}

func (v verdicts) counted() verdicts {
	v.failing, v.healthy = 0, 0
	for _, r := range v.row {
		switch r {
		case failing:
			v.failing++
		case healthy:
			v.healthy++
		case unsure:
		}
	}
	return v
}

// counts says how many of either population a conjunction holds.
func (v verdicts) counts(s *scan, all []literal) (f, h page.Count) {
	f.Total, h.Total = v.failing, v.healthy
	for i := range v.row {
		if v.row[i] == unsure || !s.holds(all, i) {
			continue
		}
		if v.row[i] == failing {
			f.Matched++
		} else {
			h.Matched++
		}
	}
	return f, h
}
