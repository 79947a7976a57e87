package changes_test

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/tocsin/tocsin/enrich"
)

// now is when the course is asked for.
func now() time.Time { return time.Unix(1_772_366_590, 0).UTC() }

// world makes courses as Prometheus would evaluate them: events are Poisson,
// each target is scraped at its own offset, rates look back over a window that
// is half open and are extrapolated.
type world struct {
	r       *rand.Rand
	scrape  time.Duration
	window  time.Duration
	targets int
	perSec  float64 // events of one target
	before  float64 // share of bad events
	since   float64
	ago     time.Duration // the fault began so long before now
	blip    time.Duration // an earlier fault, over again, of three minutes
}

type counters struct{ bad, all []float64 }

// course returns the ratio of rates at each step of the hour before now.
func (w world) course(step time.Duration) []enrich.Point {
	var out []enrich.Point
	span := time.Hour + w.window + 2*w.scrape
	n := int(span/w.scrape) + 1
	made := make([]counters, w.targets)
	offsets := make([]float64, w.targets)
	s := w.scrape.Seconds()
	for i := range made {
		offsets[i] = w.r.Float64() * s
		c := counters{make([]float64, n), make([]float64, n)}
		for k := 1; k < n; k++ {
			end := -span.Seconds() + offsets[i] + float64(k)*s // seconds before now, negative
			hit := overlap(end-s, end, -w.ago.Seconds(), 0)
			if w.blip > 0 {
				hit += overlap(end-s, end, -w.blip.Seconds(), -w.blip.Seconds()+180)
			}
			p := w.before + (w.since-w.before)*hit/s
			events := poisson(w.r, w.perSec*s)
			c.all[k] = c.all[k-1] + events
			c.bad[k] = c.bad[k-1] + min(events, poisson(w.r, events*p))
		}
		made[i] = c
	}
	for at := -time.Hour; at <= 0; at += step {
		bad, all := 0.0, 0.0
		for i, c := range made {
			first := -span.Seconds() + offsets[i]
			lo := int(math.Floor((at.Seconds()-w.window.Seconds()-first)/s)) + 1 // half open: later than
			hi := int(math.Floor((at.Seconds() - first) / s))
			if hi <= lo || hi >= n {
				continue
			}
			bad, all = bad+c.bad[hi]-c.bad[lo], all+c.all[hi]-c.all[lo]
		}
		if all > 0 {
			out = append(out, enrich.Point{At: now().Add(at), Value: bad / all})
		}
	}
	return out
}

// overlap is the length that [a,b] has in common with [c,d].
func overlap(a, b, c, d float64) float64 { return max(0, min(b, d)-max(a, c)) }

func poisson(r *rand.Rand, mean float64) float64 {
	if mean > 30 {
		return max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	k, p, limit := 0.0, r.Float64(), math.Exp(-mean)
	for p > limit {
		k++
		p *= r.Float64()
	}
	return k
}

func nan() float64 { return math.NaN() }
