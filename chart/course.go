package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// grid draws the scales.
func (p *picture) grid() {
	u := p.unit
	text := look{class: "tick", colour: p.colours.muted, size: sizeSmall * u}
	for _, t := range p.y.ticks {
		y := p.level(t)
		p.stroke([]point{{p.left, y}, {p.right, y}}, look{class: "grid", colour: p.colours.grid, width: 2 * u})
		p.write(point{p.left - 14*u, y + 11*u}, 1, p.y.label(t), text)
	}
	most := max(1, int((p.right-p.left)/(190*u)))
	list := times(p.chart.From, p.span, most)
	end := 0.0
	for i, at := range list {
		x := p.x(at)
		s := p.chart.From.Add(time.Duration(at * float64(time.Second))).UTC().Format("15:04")
		if i == len(list)-1 {
			s += " UTC"
		}
		half := p.fonts.width(s, text.size, false) / 2
		if i > 0 && x-half < end+16*u {
			continue
		}
		end = x + half
		p.stroke([]point{{x, p.bottom}, {x, p.bottom + 8*u}}, look{class: "tick", colour: p.colours.muted, width: 2 * u})
		p.write(point{x, p.bottom + 42*u}, .5, s, text)
	}
	p.stroke([]point{{p.left, p.bottom}, {p.right, p.bottom}}, look{class: "axis", colour: p.colours.muted, width: 2 * u})
}

// band draws where the healthy are.
func (p *picture) band() {
	b := p.chart.Healthy
	n := min(len(b.Low), len(b.High))
	var low, high []point
	flush := func() {
		if len(low) == 1 { // one point has no width: give it some
			low, high = append(low, point{low[0].x + 3*p.unit, low[0].y}), append(high, point{high[0].x + 3*p.unit, high[0].y})
		}
		if len(low) > 1 {
			slices.Reverse(high)
			p.fill(append(low, high...), look{class: "band", colour: p.colours.band})
		}
		low, high = nil, nil
	}
	for i := range n {
		if !finite(b.Low[i]) || !finite(b.High[i]) {
			flush()
			continue
		}
		low, high = append(low, p.at(i, b.Low[i])), append(high, p.at(i, b.High[i]))
	}
	flush()
	p.trace(b.Middle, look{class: "middle", colour: p.colours.middle, width: 4 * p.unit})
}

// lines draws what fails, the worst above the others.
func (p *picture) lines() {
	for i, l := range slices.Backward(p.chart.Failing) {
		width := 5.0
		if i == 0 {
			width = 7
		}
		p.trace(l.Values, look{class: "failing", colour: p.colours.failing[i], width: width * p.unit})
	}
}

// trace draws a course, with gaps where nothing is known. A value alone is a dot.
func (p *picture) trace(vs []page.Sample, l look) {
	var run []point
	flush := func() {
		switch len(run) {
		case 0:
		case 1:
			r := l.width
			p.fill(box(run[0].x-r, run[0].y-r, run[0].x+r, run[0].y+r), l)
		default:
			p.stroke(run, l)
		}
		run = nil
	}
	for i, v := range vs {
		if !finite(v) {
			flush()
			continue
		}
		run = append(run, p.at(i, v))
	}
	flush()
}

// threshold draws where the rule fires.
func (p *picture) threshold() {
	if p.chart.Threshold == nil {
		return
	}
	u, y := p.unit, p.level(*p.chart.Threshold)
	l := look{class: "threshold", colour: p.colours.ink, width: 3 * u, dash: []float64{14 * u, 9 * u}, size: sizeSmall * u}
	p.stroke([]point{{p.left, y}, {p.right, y}}, l)
	s := "fires above "
	if p.chart.Below {
		s = "fires below "
	}
	s = p.fonts.cut(s+human(*p.chart.Threshold, p.chart.Unit), l, p.right-p.left-24*u)
	// on the side where it fires there is room until it does
	base := y - 12*u
	if p.chart.Below {
		base = y + 36*u
	}
	if base-30*u < p.top {
		base = y + 36*u
	}
	if base > p.bottom-4*u {
		base = y - 12*u
	}
	w := p.fonts.width(s, l.size, false)
	p.fill(box(p.left+6*u, base-29*u, p.left+18*u+w, base+9*u), look{class: "ground", colour: p.colours.ground})
	p.write(point{p.left + 12*u, base}, 0, s, look{class: "threshold", colour: p.colours.ink, size: l.size})
}

// label is a name beside the end of its line.
type label struct {
	y    float64
	name string
	line page.Sample // the last value
	look look
	none bool // there is no line
}

// labels are the names on the right, and the room they need.
func (p *picture) labels() ([]label, float64) {
	u := p.unit
	var out []label
	for i, f := range p.chart.Failing {
		v, at := last(f.Values)
		l := label{line: v, none: at < 0, look: look{class: "name", colour: p.colours.failing[i], size: sizeText * u, bold: i == 0}}
		value := human(float64(v), p.chart.Unit)
		switch {
		case at < 0:
			value = "no data"
		case at < len(f.Values)-gone:
			value = "gone"
		}
		l.name = p.named(value, f.Name, l.look)
		out = append(out, l)
	}
	if v, at := last(p.chart.Healthy.Middle); at >= 0 {
		s := "healthy"
		if n := p.chart.Healthy.Members; n > 0 {
			s = fmt.Sprintf("%d healthy", n)
		}
		l := look{class: "name", colour: p.colours.muted, size: sizeText * u}
		out = append(out, label{line: v, name: p.named(human(float64(v), p.chart.Unit), s, l), look: l})
	}
	if p.chart.Others > 0 {
		out = append(out, label{none: true, name: fmt.Sprintf("+ %d more", p.chart.Others), look: look{class: "name", colour: p.colours.muted, size: sizeSmall * u}})
	}
	most := 0.0
	for i, l := range out {
		out[i].name = p.fonts.cut(l.name, l.look, p.w*.36)
		most = max(most, p.fonts.width(out[i].name, l.look.size, l.look.bold))
	}
	return out, most + 34*u
}

// gone is how many values from the end a line ends that has ended.
const gone = 5

// named writes a value and whose it is. Where there is no room for "host=web-3"
// there may be for "web-3".
func (p *picture) named(value, name string, l look) string {
	room := p.w*.36 - p.fonts.width(value+"  ", l.size, l.bold)
	if label, short, ok := strings.Cut(name, "="); ok && label != "" && !strings.ContainsAny(short, "=, ") && p.fonts.width(name, l.size, l.bold) > room {
		name = short
	}
	return value + "  " + p.fonts.squeeze(name, l, room)
}

// last returns the last value that is one, and where it is; -1 where none is.
func last(vs []page.Sample) (page.Sample, int) {
	for i, v := range slices.Backward(vs) {
		if finite(v) {
			return v, i
		}
	}
	return 0, -1
}

// place writes the labels, each as near to its line as the others let it.
func (p *picture) place(list []label) {
	u := p.unit
	apart := 42 * u
	for i := range list {
		list[i].y = p.level(float64(list[i].line))
		if list[i].none {
			list[i].y = p.bottom + 1e6 // below all that have a line
		}
	}
	slices.SortStableFunc(list, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	low, high := p.top-apart/2, p.bottom
	ys := make([]float64, len(list))
	for i, l := range list { // down from the top …
		ys[i] = max(min(l.y, high), low)
		if i > 0 {
			ys[i] = max(ys[i], ys[i-1]+apart)
		}
	}
	for i := len(ys) - 1; i >= 0; i-- { // … and back up from the bottom
		limit := high
		if i < len(ys)-1 {
			limit = ys[i+1] - apart
		}
		ys[i] = min(ys[i], limit)
	}
	for i, l := range list {
		if !l.none {
			p.stroke([]point{{p.right, l.y}, {p.right + 18*u, ys[i]}}, look{class: "leader", colour: l.look.colour, width: 2 * u})
		}
		p.write(point{p.right + 24*u, ys[i] + 12*u}, 0, l.name, l.look)
	}
}
