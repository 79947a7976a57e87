package chart

import (
	"image/png"
	"io"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// raster is a pen that fills pixels.
type raster struct {
	canvas *vgimg.Canvas
	fonts  fonts
	height float64
}

func newRaster(o Options, f fonts) *raster {
	c := vgimg.NewWith(vgimg.UseWH(vg.Length(o.Width), vg.Length(o.Height)), vgimg.UseDPI(72)) // a point is a pixel
	return &raster{canvas: c, fonts: f, height: float64(o.Height)}
}

// at turns a place round: there, up is up.
func (r *raster) at(p point) vg.Point {
	return vg.Point{X: vg.Length(p.x), Y: vg.Length(r.height - p.y)}
}

func (r *raster) path(ps []point) vg.Path {
	var out vg.Path
	for i, p := range ps {
		if i == 0 {
			out.Move(r.at(p))
			continue
		}
		out.Line(r.at(p))
	}
	return out
}

func (r *raster) fill(ps []point, l look) {
	path := r.path(ps)
	path.Close()
	r.canvas.SetColor(l.colour)
	r.canvas.Fill(path)
}

func (r *raster) stroke(ps []point, l look) {
	var dash []vg.Length
	for _, d := range l.dash {
		dash = append(dash, vg.Length(d))
	}
	r.canvas.SetColor(l.colour)
	r.canvas.SetLineWidth(vg.Length(l.width))
	r.canvas.SetLineDash(dash, 0)
	r.canvas.Stroke(r.path(ps))
}

func (r *raster) write(p point, anchor float64, s string, l look) {
	face := r.fonts.face(l.size, l.bold)
	p.x -= anchor * float64(face.Width(s))
	r.canvas.SetColor(l.colour)
	r.canvas.FillString(face, r.at(p), s)
}

func (r *raster) encode(w io.Writer) error { return png.Encode(w, r.canvas.Image()) }
