// Package changes finds out what changed when: since when it is bad, and which
// change that follows. docs/onset.md derives it.
package changes

import (
	"math"
	"slices"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// Dater is enrich's Dater.
type Dater struct{}

var _ enrich.Dater = Dater{}

// New returns a Dater.
func New() Dater { return Dater{} }

// The bars of an onset.
const (
	minBefore = 5    // points from which a level before is told
	minAfter  = 2    // points from which a level since is told
	minJump   = 5.0  // in robust standard deviations of the level before
	penalty   = 3.0  // times ln(points), in mean absolute residuals: what a change point costs
	reach     = 1.92 // χ²(1) at 95 %, halved: how much less likely the ends of the interval are
)

// Date finds since when a course is bad.
func (Dater) Date(c page.Course, course []enrich.Point, seen []enrich.Series, own string) (page.Onset, []page.Change, bool) {
	appeared, first := appearances(c, seen, own)
	s := newSeries(c, course)
	if before := first.Add(-minBefore * c.Step); !first.IsZero() && (len(s.t) == 0 || s.start.After(before)) {
		// The trait itself is as young as its first series. Unless it was well
		// for longer than its rates look back, it is bad since it is there.
		o, ok := s.onset()
		if young := first.Add(c.Window + 2*c.Step); ok && o.At.After(young) {
			return o, appeared, true
		}
		if level, ok := s.level(); ok {
			return page.Onset{At: first, From: first.Add(-2 * c.Step), To: first.Add(c.Step), Since: level, First: true}, appeared, true
		}
		return page.Onset{}, appeared, false
	}
	o, ok := s.onset()
	return o, appeared, ok
}

// series is a course as numbers: seconds since its first point.
type series struct {
	course page.Course
	start  time.Time
	t, y   []float64
	sign   float64 // of a change for the worse
	buf    []float64
	ratio  []weighted
}

type weighted struct{ v, w float64 }

func newSeries(c page.Course, points []enrich.Point) *series {
	s := &series{course: c, sign: 1}
	if c.Falling {
		s.sign = -1
	}
	for _, p := range points {
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			continue
		}
		if len(s.t) == 0 {
			s.start = p.At
		}
		s.t, s.y = append(s.t, p.At.Sub(s.start).Seconds()), append(s.y, p.Value)
	}
	return s
}

// level is the median of the later half.
func (s *series) level() (float64, bool) {
	if len(s.y) < minAfter {
		return 0, false
	}
	return s.median(s.y[len(s.y)/2:]), true
}

// fit is one change point and how well it describes the series.
type fit struct {
	at, width     float64 // seconds: the level rises from at until at+width
	before, since float64
	cost          float64 // sum of absolute residuals
}

// onset fits the change point and says whether it is one.
func (s *series) onset() (page.Onset, bool) {
	n := len(s.t)
	if n < minBefore+minAfter {
		return page.Onset{}, false
	}
	best := s.best()
	still := s.deviation(s.y, s.median(s.y))
	scale := s.scale(best)
	// Points within one window share most of their samples: they count as one.
	shared := max(1, s.course.Window.Seconds()/s.course.Step.Seconds())
	jump := (best.since - best.before) * s.sign
	if still-best.cost <= scale*penalty*math.Log(float64(n))*shared || jump <= 0 {
		return page.Onset{}, false
	}
	before := s.y[:s.index(best.at)]
	if sigma := 1.4826 * s.spread(before, best.before); jump < minJump*sigma {
		return page.Onset{}, false
	}
	from, to := s.interval(best, scale*reach*shared)
	return s.told(best, from, to), true
}

// scale is the usual absolute residual of a fit. An earlier fault that is over
// must not hide this one, so it rests on the median; the mean keeps it off zero.
func (s *series) scale(f fit) float64 {
	rest := make([]float64, len(s.t))
	sum := 0.0
	for k, t := range s.t {
		rest[k] = math.Abs(s.y[k] - f.before - (f.since-f.before)*f.share(t))
		sum += rest[k]
	}
	return max(s.median(rest)*normal, sum/float64(len(rest))/4)
}

// normal is the mean absolute deviation over the median one, of normal noise:
// sqrt(2/π) · 1.4826.
const normal = 1.183

// scrapes is how far apart, in seconds, scrapes commonly are at most. A course
// without a window does not show how far apart its own are.
const scrapes = 30.0

// told turns a fit into times. A scrape shows what happened since the one
// before, and an evaluation the scrape before it: the change lies earlier than
// it shows, by half a step of a ramp on average, and by one of a step.
func (s *series) told(f fit, from, to float64) page.Onset {
	step := s.course.Step.Seconds()
	at, early := f.at, max(step, scrapes)
	if f.width > 0 {
		at, early = f.at-step/2, 3*step
	}
	moment := func(seconds float64) time.Time {
		return s.start.Add(time.Duration(seconds * float64(time.Second))).Round(time.Second)
	}
	return page.Onset{At: moment(at), From: moment(from - early), To: moment(to + step), Before: f.before, Since: f.since}
}

// best searches the change point: over all points first, then between them.
func (s *series) best() fit {
	var best fit
	best.cost = math.Inf(1)
	n := len(s.t)
	stride, step := max(1, n/90), s.course.Step.Seconds()
	for i, width := range s.widths() {
		own := fit{cost: math.Inf(1)}
		for k := minBefore - 1; k < n-minAfter; k += stride {
			own = better(own, s.at(s.t[k], width))
		}
		for k := n - minAfter - 1; k >= max(minBefore-1, n-minAfter-stride); k-- {
			own = better(own, s.at(s.t[k], width)) // young faults are the usual ones
		}
		for _, span := range []float64{float64(stride), 1} { // in steps, a tenth of it at a time
			fine, middle := span*step/resolution, own.at
			for k := -resolution; k <= resolution; k++ {
				own = better(own, s.at(middle+float64(k)*fine, width))
			}
		}
		// Another width than that of the window is a stronger claim.
		if i == 0 || own.cost < claim*best.cost {
			best = own
		}
	}
	return best
}

// resolution is how many parts a span is searched in, to either side.
const resolution = 10

// claim is how much better another width has to fit.
const claim = .9

// better keeps the earlier of equals.
func better(a, b fit) fit {
	if b.cost < a.cost || b.cost == a.cost && b.at < a.at {
		return b
	}
	return a
}

// widths are how long the level may take to change, in seconds. The rate of a
// step rises over the window less the scrape interval, which is not known and a
// twelfth to a quarter of it as a rule; a quantile of it rises far faster.
func (s *series) widths() []float64 {
	w := s.course.Window.Seconds()
	if w <= 0 {
		return []float64{0}
	}
	return []float64{w * 11 / 12, w * 3 / 4, w / 2, w / 4}
}

// index is the number of points up to a time.
func (s *series) index(at float64) int {
	i, _ := slices.BinarySearchFunc(s.t, at, func(t, at float64) int {
		if t <= at {
			return -1
		}
		return 1
	})
	return i
}

// at fits both levels to a change point: the median before, and the jump with
// the least absolute residuals, which is a weighted median.
func (s *series) at(at, width float64) fit {
	f := fit{at: at, width: width, cost: math.Inf(1)}
	i := s.index(at)
	if i < minBefore || len(s.t)-i < minAfter {
		return f
	}
	f.before = s.median(s.y[:i])
	s.ratio = s.ratio[:0]
	for k := i; k < len(s.t); k++ {
		u := f.share(s.t[k])
		s.ratio = append(s.ratio, weighted{(s.y[k] - f.before) / u, u})
	}
	jump := medianOf(s.ratio)
	f.since = f.before + jump
	f.cost = s.deviation(s.y[:i], f.before)
	for k := i; k < len(s.t); k++ {
		f.cost += math.Abs(s.y[k] - f.before - jump*f.share(s.t[k]))
	}
	return f
}

// share is how much of the jump shows at a time.
func (f fit) share(t float64) float64 {
	switch {
	case t <= f.at:
		return 0
	case f.width <= 0:
		return 1
	}
	return min((t-f.at)/f.width, 1)
}

// interval is where the change point may as well lie: the cost there is not
// more than slack above the best.
func (s *series) interval(best fit, slack float64) (from, to float64) {
	fine := s.course.Step.Seconds() / 5
	from, to = best.at, best.at
	for s.at(from-fine, best.width).cost <= best.cost+slack {
		from -= fine
	}
	for s.at(to+fine, best.width).cost <= best.cost+slack {
		to += fine
	}
	return from, to
}

func (s *series) median(y []float64) float64 {
	n := len(y)
	if n == 0 {
		return 0
	}
	s.buf = append(s.buf[:0], y...)
	upper := nth(s.buf, n/2)
	if n%2 == 1 {
		return upper
	}
	return (slices.Max(s.buf[:n/2]) + upper) / 2
}

// nth puts the k-th smallest value in its place, the smaller ones before it, and
// returns it (Hoare's selection). Sorting whole would be most of the work of a fit.
func nth(y []float64, k int) float64 {
	for lo, hi := 0, len(y)-1; lo < hi; {
		pivot, i, j := y[lo+(hi-lo)/2], lo, hi
		for i <= j {
			for y[i] < pivot {
				i++
			}
			for y[j] > pivot {
				j--
			}
			if i <= j {
				y[i], y[j] = y[j], y[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return y[k]
		}
	}
	return y[k]
}

// spread is the median absolute deviation.
func (s *series) spread(y []float64, middle float64) float64 {
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = math.Abs(v - middle)
	}
	return s.median(out)
}

func (s *series) deviation(y []float64, middle float64) float64 {
	sum := 0.0
	for _, v := range y {
		sum += math.Abs(v - middle)
	}
	return sum
}

// medianOf is the weighted median: the least value up to which half of the
// weight lies. It reorders its argument.
func medianOf(vs []weighted) float64 {
	left := 0.0 // what is to be passed yet
	for _, v := range vs {
		left += v.w / 2
	}
	lo, hi := 0, len(vs)-1
	for lo < hi {
		pivot, i, j := vs[lo+(hi-lo)/2].v, lo, hi
		for i <= j {
			for vs[i].v < pivot {
				i++
			}
			for vs[j].v > pivot {
				j--
			}
			if i <= j {
				vs[i], vs[j] = vs[j], vs[i]
				i, j = i+1, j-1
			}
		}
		below := 0.0
		for _, v := range vs[lo : j+1] {
			below += v.w
		}
		if below >= left {
			hi = j
			continue
		}
		for _, v := range vs[j+1 : i] { // the pivot itself
			below += v.w
		}
		if below >= left {
			return pivot
		}
		left, lo = left-below, i
	}
	return vs[min(lo, len(vs)-1)].v
}
