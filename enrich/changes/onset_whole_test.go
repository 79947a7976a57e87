//go:build !race

// Thousands of drawn series, one after the other: `make test` runs these without the
// race detector, which takes eight times as long and has nothing to find.

package changes_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/changes"
	"github.com/tocsin/tocsin/page"
)

// Onset within one scrape interval, over faults of many sizes and ages.
func TestOnsetsAreFoundWithinOneScrape(t *testing.T) {
	for name, tc := range map[string]struct {
		w    world
		want float64 // share of onsets within one scrape
		many bool    // 200 faults, else 80
	}{
		"scraped every 15 s, 1 m":        {world{scrape: 15 * time.Second, window: time.Minute, targets: 5, perSec: 4, before: .005, since: .4}, .95, true},
		"scraped every 5 s, 1 m":         {world{scrape: 5 * time.Second, window: time.Minute, targets: 5, perSec: 10, before: .005, since: .4}, .9, true},
		"scraped every 30 s, 5 m":        {world{scrape: 30 * time.Second, window: 5 * time.Minute, targets: 10, perSec: 2, before: .01, since: .3}, .9, false},
		"one target":                     {world{scrape: 15 * time.Second, window: time.Minute, targets: 1, perSec: 20, before: .005, since: .5}, .9, false},
		"noisy before":                   {world{scrape: 15 * time.Second, window: time.Minute, targets: 10, perSec: 4, before: .05, since: .5}, .9, false},
		"everything fails":               {world{scrape: 15 * time.Second, window: time.Minute, targets: 3, perSec: 5, before: 0, since: 1}, .9, false},
		"a fault of before, over by now": {world{scrape: 15 * time.Second, window: time.Minute, targets: 5, perSec: 4, before: .005, since: .4, blip: 40 * time.Minute}, .9, false},
	} {
		t.Run(name, func(t *testing.T) {
			seeds := 80
			if tc.many {
				seeds = 200
			}
			within, covered, found, bias := 0, 0, 0, 0.0
			var far []string
			for seed := range uint64(seeds) {
				w := tc.w
				w.r = rand.New(rand.NewPCG(seed, 5))
				// as old as a page's first look at it may be, or an hour's half
				w.ago = w.window/2 + time.Duration(w.r.Float64()*float64(10*time.Minute))
				c := page.Course{Window: w.window, Step: enrich.Step(w.window)}
				o, _, ok := changes.New().Date(c, w.course(c.Step), nil, "")
				if !ok {
					continue
				}
				found++
				truth := now().Add(-w.ago)
				off := o.At.Sub(truth)
				bias += off.Seconds() / float64(seeds)
				if off.Abs() <= w.scrape {
					within++
				} else {
					far = append(far, fmt.Sprintf("%v of %v", off.Round(time.Second), w.ago.Round(time.Second)))
				}
				if !truth.Before(o.From) && !truth.After(o.To) {
					covered++
				}
			}
			t.Logf("found %d, within one scrape %d, inside the interval %d of %d, bias %.1f s; far: %v", found, within, covered, seeds, bias, far[:min(len(far), 12)])
			require.GreaterOrEqual(t, float64(within)/float64(seeds), tc.want)
			require.GreaterOrEqual(t, float64(covered)/float64(seeds), .9)
		})
	}
}

// Where nothing changed, nothing is said to have.
func TestNoOnsetWhereNothingChanged(t *testing.T) {
	wrong := 0
	for seed := range uint64(200) {
		w := world{
			r: rand.New(rand.NewPCG(seed, 6)), scrape: 15 * time.Second, window: time.Minute, targets: 3, perSec: 4, before: .05, since: .05,
			ago: time.Minute,
		}
		c := page.Course{Window: w.window, Step: enrich.Step(w.window)}
		if _, _, ok := changes.New().Date(c, w.course(c.Step), nil, ""); ok {
			wrong++
		}
	}
	t.Logf("%d of 200", wrong)
	require.LessOrEqual(t, wrong, 4)
}

// A state has no window: it is bad from one scrape to the next.
func TestOnsetsOfStates(t *testing.T) {
	for _, scrape := range []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second} {
		within, covered := 0, 0
		const seeds = 200
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, 7))
			ago := time.Minute + time.Duration(r.Float64()*float64(20*time.Minute))
			offset := r.Float64() * scrape.Seconds()
			c := page.Course{Falling: seed%2 == 0, Step: enrich.Step(0)}
			var points []enrich.Point
			for at := -time.Hour; at <= 0; at += c.Step {
				last := math.Floor((at.Seconds()-offset)/scrape.Seconds())*scrape.Seconds() + offset
				up := last < -ago.Seconds()
				v := 1.0
				if up != c.Falling {
					v = 0
				}
				points = append(points, enrich.Point{At: now().Add(at), Value: v})
			}
			o, _, ok := changes.New().Date(c, points, nil, "")
			require.True(t, ok)
			truth := now().Add(-ago)
			if o.At.Sub(truth).Abs() <= scrape {
				within++
			}
			if !truth.Before(o.From) && !truth.After(o.To) {
				covered++
			}
		}
		t.Logf("%v: within %d, covered %d of %d", scrape, within, covered, seeds)
		require.GreaterOrEqual(t, within, seeds*9/10)
		require.GreaterOrEqual(t, covered, seeds*9/10)
	}
}

func BenchmarkDate(b *testing.B) {
	w := world{r: rand.New(rand.NewPCG(1, 5)), scrape: 15 * time.Second, window: time.Minute, targets: 5, perSec: 4, before: .005, since: .4, ago: 2 * time.Minute}
	c := page.Course{Window: w.window, Step: enrich.Step(w.window)}
	points := w.course(c.Step)
	for b.Loop() {
		changes.New().Date(c, points, nil, "")
	}
}
