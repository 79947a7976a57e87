package chart

import (
	"cmp"
	"slices"

	"github.com/tocsin/tocsin/page"
)

// rowHeight is the height of one row of texts above the plot.
const rowHeight = 42

// maxRows is how many rows they may take.
const maxRows = 3

// marked are the marks that are drawn, in order of time: within the chart, the
// most telling ones, none twice.
func (p *picture) marked() []page.Mark {
	from, span := p.chart.From, p.seconds()
	var out []page.Mark
	for _, m := range p.chart.Marks {
		if at := m.At.Sub(from).Seconds(); at >= 0 && at <= span {
			m.Text = clean(m.Text)
			out = append(out, m)
		}
		if len(out) == 50*maxMarks { // enough to choose from
			break
		}
	}
	rank := func(m page.Mark) int { return max(slices.Index([]string{"onset", "fired"}, m.Kind), -1) }
	slices.SortStableFunc(out, func(a, b page.Mark) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), b.At.Compare(a.At))
	})
	out = out[:min(len(out), maxMarks)]
	slices.SortStableFunc(out, func(a, b page.Mark) int { return a.At.Compare(b.At) })
	return slices.CompactFunc(out, func(a, b page.Mark) bool { return a.At.Equal(b.At) && a.Text == b.Text })
}

// flag is a mark and the place of its text, if it has one.
type flag struct {
	x    float64
	text string
	left float64 // of the text
	row  int     // of the text, 0 is next to the plot
	look look
}

// flags finds a place for each mark's text above the plot, and how many rows they
// take. A text for which there is no room is left out; its line stays.
func (p *picture) flags() (list []flag, rows int) {
	u := p.unit
	taken := make([][][2]float64, maxRows)
	for _, m := range slices.Backward(p.marked()) { // the texts of earlier ones go above those of later ones
		f := flag{x: p.x(m.At.Sub(p.chart.From).Seconds()), look: look{class: "mark", colour: p.markColour(m.Kind), width: 3 * u, size: sizeSmall * u}}
		f.text = p.fonts.squeeze(m.Text, f.look, 420*u)
		w := p.fonts.width(f.text, f.look.size, false)
		var ok bool
		if f.row, f.left, ok = spot(taken, f.x, w, 12*u, p.left, p.w-12*u); ok && f.text != "" {
			taken[f.row] = append(taken[f.row], [2]float64{f.left, f.left + w})
			rows = max(rows, f.row+1)
		} else {
			f.text = ""
		}
		list = append(list, f)
	}
	return list, rows
}

func (p *picture) base(f flag) float64 { return p.top - (float64(f.row)*rowHeight+16)*p.unit }

// poles draws a line at each mark.
func (p *picture) poles(list []flag) {
	for _, f := range list {
		top := p.top
		if f.text != "" {
			top = p.base(f) - 26*p.unit
		}
		p.stroke([]point{{f.x, top}, {f.x, p.bottom}}, f.look)
	}
}

// texts writes beside them what they are. Lines of others may cross a text.
func (p *picture) texts(list []flag) {
	u := p.unit
	for _, f := range list {
		if f.text == "" {
			continue
		}
		base, w := p.base(f), p.fonts.width(f.text, f.look.size, false)
		p.fill(box(f.left-6*u, base-28*u, f.left+w+6*u, base+9*u), look{class: "ground", colour: p.colours.ground})
		f.look.class = "marktext"
		p.write(point{f.left, base}, 0, f.text, f.look)
	}
}

// spot finds a place for a text beside the line at x: on its right if it can be,
// and then in the lowest row in which it meets no other.
func spot(taken [][][2]float64, x, w, gap, left, right float64) (row int, at float64, ok bool) {
	for _, at := range []float64{x + gap, x - gap - w} {
		if at < left || at+w > right {
			continue
		}
		for row := range taken {
			free := !slices.ContainsFunc(taken[row], func(t [2]float64) bool { return at < t[1]+2*gap && t[0] < at+w+2*gap })
			if free {
				return row, at, true
			}
		}
	}
	return 0, 0, false
}

func (p *picture) markColour(kind string) colour {
	switch kind {
	case "fired":
		return p.colours.fired
	case "onset":
		return p.colours.onset
	}
	return p.colours.change
}
