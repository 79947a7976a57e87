// Package chart draws a page.Chart: what fails against what is healthy, over the
// last hour, to be read on a phone. The drawing is one; a PNG for messages and an
// SVG for the web are two ways to put it down.
package chart

import (
	"bytes"
	"cmp"
	"math"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Options of a picture.
type Options struct {
	Width, Height int  // in pixels; 0 is 1200 and 9/16 of the width. They are kept between 200 and 4000
	Dark          bool // light lines on a dark ground
}

// Bounds of what is drawn, however much there is.
const (
	maxLines  = 5
	maxMarks  = 6
	maxPoints = 1000 // of one line
	wide      = 1200 // pixels for which the sizes below are meant; all grow with the width, for a screen shrinks the picture to its own
)

// Sizes of text, in pixels of a picture that is 1200 wide: on a phone of 390 points
// they are a third of that.
const (
	sizeTitle = 44
	sizeText  = 34
	sizeSmall = 30
)

// PNG draws a chart as an image with an opaque ground.
func PNG(c page.Chart, o Options) ([]byte, error) {
	f, err := loadFonts()
	if err != nil {
		return nil, err
	}
	o = o.bounded()
	r := newRaster(o, f)
	newPicture(c, o, f, r).draw()
	var b bytes.Buffer
	err = r.encode(&b)
	return b.Bytes(), err
}

// SVG draws a chart as an image that scales; it has no script and no links, and
// may stand in a page as it is.
func SVG(c page.Chart, o Options) ([]byte, error) {
	f, err := loadFonts()
	if err != nil {
		return nil, err
	}
	o = o.bounded()
	v := newVector(o, clean(c.Title))
	newPicture(c, o, f, v).draw()
	return v.bytes(), nil
}

func (o Options) bounded() Options {
	o.Width = min(max(cmp.Or(o.Width, wide), 200), 4000)
	o.Height = min(max(cmp.Or(o.Height, o.Width*9/16), 200), 4000)
	return o
}

// point is a place in the picture: from the left, from the top.
type point struct{ x, y float64 }

// look is how something is drawn.
type look struct {
	class  string // what it is, for the SVG's reader
	colour colour
	width  float64   // of a line
	dash   []float64 // of a line
	size   float64   // of a text
	bold   bool      // of a text
}

// pen puts a drawing down.
type pen interface {
	fill(ps []point, l look)
	stroke(ps []point, l look)
	// write puts a text's baseline at p: 0 is its beginning, 1 its end.
	write(p point, anchor float64, s string, l look)
}

// picture is one drawing under way.
type picture struct {
	pen
	chart   page.Chart
	fonts   fonts
	colours palette
	unit    float64 // pixels of this picture for one of a picture that is 1200 wide
	w, h    float64

	left, right, top, bottom float64 // the plot
	span                     float64 // seconds
	y                        axis
}

func newPicture(c page.Chart, o Options, f fonts, p pen) *picture {
	u := float64(o.Width) / wide
	return &picture{pen: p, chart: bounded(c), fonts: f, colours: colours(o.Dark), unit: u, w: float64(o.Width), h: float64(o.Height)}
}

// bounded leaves of a chart what is drawn, all of its values finite or NaN.
func bounded(c page.Chart) page.Chart {
	n := 0
	for _, l := range c.Failing {
		n = max(n, len(l.Values))
	}
	for _, vs := range [][]page.Sample{c.Healthy.Low, c.Healthy.Middle, c.Healthy.High} {
		n = max(n, len(vs))
	}
	every := (n + maxPoints - 1) / maxPoints
	if c.Step <= 0 || c.Step > 24*time.Hour {
		c.Step = time.Minute
	}
	c.Step *= time.Duration(max(every, 1))
	lines := make([]page.Line, 0, maxLines)
	for _, l := range c.Failing {
		if len(lines) == maxLines {
			c.Others += len(c.Failing) - maxLines
			break
		}
		lines = append(lines, page.Line{Name: clean(l.Name), Values: thinned(l.Values, every)})
	}
	c.Failing = lines
	b := &c.Healthy
	b.Low, b.Middle, b.High = thinned(b.Low, every), thinned(b.Middle, every), thinned(b.High, every)
	if c.Threshold != nil && !finite(page.Sample(*c.Threshold)) {
		c.Threshold = nil
	}
	return c
}

// thinned keeps one value of every so many, the last one among them.
func thinned(vs []page.Sample, every int) []page.Sample {
	var out []page.Sample
	for i := range vs {
		if every > 1 && (len(vs)-1-i)%every != 0 {
			continue
		}
		v := vs[i]
		if !finite(v) {
			v = page.Sample(math.NaN())
		}
		out = append(out, v)
	}
	return out
}

// finite leaves out what no axis can show either.
func finite(v page.Sample) bool { return math.Abs(float64(v)) < 1e30 }

func (p *picture) draw() {
	p.ground()
	p.head()
	labels, width := p.labels()
	flags := p.layout(width)
	p.grid()
	p.band()
	p.poles(flags)
	p.lines()
	p.threshold()
	p.texts(flags)
	p.place(labels)
}

// layout finds the plot, its scales and the places of the marks. width is what
// the labels on its right need.
func (p *picture) layout(width float64) []flag {
	u := p.unit
	p.span = p.seconds()
	p.y = scaled(p.chart, 4)
	most := 0.0
	for _, t := range p.y.ticks {
		most = max(most, p.fonts.width(p.y.label(t), sizeSmall*u, false))
	}
	p.left, p.right = 24*u+most+14*u, p.w-width-20*u
	flags, rows := p.flags()
	p.top, p.bottom = max(124*u+float64(rows)*rowHeight*u, 148*u), p.h-56*u
	p.bottom = max(p.bottom, p.top+20*u)
	return flags
}

// seconds is how long the chart is.
func (p *picture) seconds() float64 {
	n := 0
	for _, l := range p.chart.Failing {
		n = max(n, len(l.Values))
	}
	for _, vs := range [][]page.Sample{p.chart.Healthy.Low, p.chart.Healthy.Middle, p.chart.Healthy.High} {
		n = max(n, len(vs))
	}
	if n < 2 {
		return time.Hour.Seconds()
	}
	return float64(n-1) * p.chart.Step.Seconds()
}

func (p *picture) x(seconds float64) float64 { return p.left + (p.right-p.left)*seconds/p.span }

func (p *picture) at(i int, v page.Sample) point {
	return point{p.x(float64(i) * p.chart.Step.Seconds()), p.level(float64(v))}
}

func (p *picture) level(v float64) float64 {
	return p.bottom - (p.bottom-p.top)*p.y.share(v)
}

func (p *picture) ground() {
	p.fill(box(0, 0, p.w, p.h), look{class: "ground", colour: p.colours.ground})
}

func box(left, top, right, bottom float64) []point {
	return []point{{left, top}, {right, top}, {right, bottom}, {left, bottom}}
}

// head writes what fired and what is shown.
func (p *picture) head() {
	u := p.unit
	room := p.w - 48*u
	title := look{class: "title", colour: p.colours.ink, size: sizeTitle * u, bold: true}
	p.write(point{24 * u, 54 * u}, 0, p.fonts.cut(clean(p.chart.Title), title, room), title)
	expr := look{class: "expr", colour: p.colours.muted, size: sizeSmall * u}
	p.write(point{24 * u, 98 * u}, 0, p.fonts.cut(clean(p.chart.Expr), expr, room), expr)
}
