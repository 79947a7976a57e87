package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
)

// vector is a pen that writes SVG.
type vector struct{ b bytes.Buffer }

func newVector(o Options, title string) *vector {
	v := &vector{}
	fmt.Fprintf(&v.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="Liberation Sans, Helvetica, Arial, sans-serif"><title>%s</title>`,
		o.Width, o.Height, escaped(title))
	v.b.WriteByte('\n')
	return v
}

func (v *vector) bytes() []byte {
	v.b.WriteString("</svg>\n")
	return v.b.Bytes()
}

func (v *vector) fill(ps []point, l look) {
	fmt.Fprintf(&v.b, `<path class="%s" fill="%s" d="%sZ"/>`+"\n", l.class, rgb(l.colour), track(ps))
}

func (v *vector) stroke(ps []point, l look) {
	fmt.Fprintf(&v.b, `<path class="%s" fill="none" stroke="%s" stroke-width="%s" stroke-linejoin="round"`, l.class, rgb(l.colour), number(l.width))
	for i, d := range l.dash {
		if i == 0 {
			v.b.WriteString(` stroke-dasharray="`)
		} else {
			v.b.WriteByte(' ')
		}
		v.b.WriteString(number(d))
	}
	if len(l.dash) > 0 {
		v.b.WriteByte('"')
	}
	fmt.Fprintf(&v.b, ` d="%s"/>`+"\n", track(ps))
}

func (v *vector) write(p point, anchor float64, s string, l look) {
	if s == "" {
		return
	}
	at, weight := "start", "normal"
	switch {
	case anchor > .75:
		at = "end"
	case anchor > .25:
		at = "middle"
	}
	if l.bold {
		weight = "bold"
	}
	fmt.Fprintf(&v.b, `<text class="%s" x="%s" y="%s" text-anchor="%s" font-size="%s" font-weight="%s" fill="%s">%s</text>`+"\n",
		l.class, number(p.x), number(p.y), at, number(l.size), weight, rgb(l.colour), escaped(s))
}

func track(ps []point) string {
	var b bytes.Buffer
	for i, p := range ps {
		c := byte('L')
		if i == 0 {
			c = 'M'
		}
		b.WriteByte(c)
		b.WriteString(number(p.x))
		b.WriteByte(' ')
		b.WriteString(number(p.y))
	}
	return b.String()
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func rgb(c colour) string { return fmt.Sprintf("#%06x", uint32(c)) }

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes all
	return b.String()
}
