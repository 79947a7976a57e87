package chart

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// axis is the scale of values.
type axis struct {
	lo, hi float64
	ticks  []float64
	scale  scale
	places int // behind the point, of ticks
}

// scale is a unit people read.
type scale struct {
	per    float64 // of the chart's own unit
	suffix string
}

// share is how far up a value lies, 0..1.
func (a axis) share(v float64) float64 { return min(max((v-a.lo)/(a.hi-a.lo), 0), 1) }

func (a axis) label(v float64) string {
	switch {
	case v == 0 && a.scale.suffix == " %":
		return "0 %"
	case v == 0:
		return "0" // of whatever it is
	}
	return strconv.FormatFloat(v/a.scale.per, 'f', a.places, 64) + a.scale.suffix
}

// scaled finds an axis that holds all of a chart, with about so many ticks.
func scaled(c page.Chart, ticks int) axis {
	lo, hi := math.Inf(1), math.Inf(-1)
	reach := func(vs ...page.Sample) {
		for _, v := range vs {
			if finite(v) {
				lo, hi = min(lo, float64(v)), max(hi, float64(v))
			}
		}
	}
	for _, l := range c.Failing {
		reach(l.Values...)
	}
	reach(c.Healthy.Low...)
	reach(c.Healthy.Middle...)
	reach(c.Healthy.High...)
	if c.Threshold != nil {
		reach(page.Sample(*c.Threshold))
	}
	if lo > hi {
		lo, hi = 0, 1
	}
	switch { // zero is shown unless all lies far from it
	case lo > 0 && lo < .7*hi:
		lo = 0
	case hi < 0 && hi > .7*lo:
		hi = 0
	}
	if hi-lo <= 1e-9*max(math.Abs(hi), math.Abs(lo)) { // all alike: in the middle
		pad := max(math.Abs(hi)/2, 1e-9)
		if hi == 0 {
			pad = 1
		}
		lo, hi = lo-pad, hi+pad
	}
	a := axis{scale: scaleOf(c.Unit, max(math.Abs(lo), math.Abs(hi)))}
	step := nice((hi - lo) / float64(ticks) / a.scale.per)
	a.places = min(max(0, int(-math.Floor(math.Log10(step)+1e-9))), 9)
	first, last := math.Floor(lo/a.scale.per/step+1e-9), math.Ceil(hi/a.scale.per/step-1e-9)
	pad := .06 * (hi - lo) // or up to the next tick, if that is nearer
	a.lo, a.hi = max(first*step*a.scale.per, lo-pad), min(last*step*a.scale.per, hi+pad)
	for i := first; i <= last && len(a.ticks) < 3*ticks; i++ {
		if t := i * step * a.scale.per; t >= a.lo && t <= a.hi {
			a.ticks = append(a.ticks, t)
		}
	}
	return a
}

// nice is the next of 1, 2, 5, 10, 20 … that is not smaller.
func nice(v float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if v <= f*base*(1+1e-9) {
			return f * base
		}
	}
	return 10 * base
}

// scaleOf chooses the largest unit that v has one of.
func scaleOf(unit string, v float64) scale {
	list := []scale{{1, ""}, {1e3, " k"}, {1e6, " M"}, {1e9, " G"}, {1e12, " T"}}
	join := ""
	switch unit {
	case "%":
		return scale{1, " %"}
	case "s":
		list = []scale{{1e-9, " ns"}, {1e-6, " µs"}, {1e-3, " ms"}, {1, " s"}, {60, " min"}, {3600, " h"}, {86400, " d"}}
	case "B", "B/s":
		list = []scale{{1, " B"}, {1 << 10, " KiB"}, {1 << 20, " MiB"}, {1 << 30, " GiB"}, {1 << 40, " TiB"}, {1 << 50, " PiB"}}
		join = strings.TrimPrefix(unit, "B")
	case "":
	default:
		if join = clean(unit); len(join) > 8 {
			join = ""
		}
		if join != "" && !strings.HasPrefix(join, "/") {
			join = " " + join
		}
	}
	out := list[0]
	if unit == "s" && v == 0 {
		out = list[3]
	}
	for _, s := range list {
		least := s.per
		if s.suffix == " min" {
			least = 2 * s.per // 90 s are 90 s
		}
		if v >= least {
			out = s
		}
	}
	out.suffix += join
	return out
}

// human writes a value in a unit of its own, to three digits.
func human(v float64, unit string) string {
	s := scaleOf(unit, math.Abs(v))
	v /= s.per
	places := 0
	switch a := math.Abs(v); {
	case a == 0 || a >= 99.95:
	case a >= 9.995:
		places = 1
	case a >= .0995:
		places = 2
	default:
		places = min(9, 1-int(math.Floor(math.Log10(a))))
	}
	text := strconv.FormatFloat(v, 'f', places, 64)
	if math.Abs(v) >= 1e6 {
		text = strconv.FormatFloat(v, 'g', 3, 64)
	} else if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + s.suffix
}

// times are the moments to name on the axis of time: at most so many, at full
// minutes, and in seconds from the beginning.
func times(from time.Time, span float64, most int) []float64 {
	steps := []float64{60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if span/s <= float64(most) {
			step = s
			break
		}
	}
	for span/step > float64(most) {
		step *= 2
	}
	var out []float64
	began := math.Mod(float64(from.Unix()), step)
	if began < 0 {
		began += step
	}
	for at := step - began; at <= span; at += step {
		out = append(out, at)
	}
	if began == 0 {
		out = append([]float64{0}, out...)
	}
	return out
}
