package enrich

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// fill asks for the lines of one way, and reports whether one of them fails.
func (d *drawing) fill(ctx context.Context, s *shown) bool {
	counted, ok := d.ask(ctx, expr.Aggregated(s.query, -1), d.to)
	if !ok || len(counted) != 1 {
		return false
	}
	query := s.query
	if n := counted[0].end(); n > maxCharted {
		if query, ok = d.crowd(ctx, s); !ok {
			return false
		}
		s.band.Members = int(n)
	}
	all, ok := d.ask(ctx, query, d.from)
	if !ok {
		return false
	}
	for _, c := range all {
		switch {
		case s.fails(c):
			s.failing = append(s.failing, c)
		case len(c.labels) == 0: // it has none of what the others are told apart by
		case s.parts && s.alert.Op.Falling() || !s.alert.Op.Holds(c.end(), s.alert.Threshold): // else it fails too, and has another page
			s.healthy = append(s.healthy, c)
		}
	}
	s.rank()
	if s.band != nil {
		if len(s.failing) == maxFailing { // the worst of those that fire: that many were asked for
			s.others = max(0, len(d.rule.firing)-maxFailing)
		}
		s.band.Members = max(0, s.band.Members-len(s.failing)-s.others)
	}
	return len(s.failing) > 0
}

// crowd asks the server where most of many series are, and returns the question
// for the worst of them alone.
func (d *drawing) crowd(ctx context.Context, s *shown) (string, bool) {
	s.band = &page.Band{}
	for share, to := range map[float64]*[]page.Sample{.1: &s.band.Low, .5: &s.band.Middle, .9: &s.band.High} {
		if one, ok := d.ask(ctx, expr.Aggregated(s.query, share), d.from); ok && len(one) == 1 {
			*to = one[0].values
		}
	}
	worst, ok := d.ask(ctx, s.alert.Extreme(s.query, maxFailing), d.to)
	if !ok || len(worst) == 0 {
		return "", false
	}
	values := map[string][]string{}
	for _, c := range worst {
		for name, v := range c.labels {
			if name != "__name__" && name != expr.PartLabel && !slices.Contains(values[name], v) {
				values[name] = append(values[name], v)
			}
		}
	}
	var only []expr.Only
	for name, list := range values {
		only = append(only, expr.Only{Label: name, Values: list})
	}
	slices.SortFunc(only, func(a, b expr.Only) int { return cmp.Compare(a.Label, b.Label) })
	return expr.Among(s.query, only...), true
}

// rank sorts the failing lines, the worst first and those that ended last.
func (s *shown) rank() {
	bad := func(c course) float64 {
		v := c.end()
		switch {
		case math.IsNaN(v):
			return math.Inf(-1)
		case s.alert.Op == expr.Equal:
			return -math.Abs(v - s.alert.Threshold)
		case s.alert.Op == expr.Differs:
			return math.Abs(v - s.alert.Threshold)
		case s.alert.Op.Falling():
			return -v
		}
		return v
	}
	slices.SortStableFunc(s.failing, func(a, b course) int {
		return cmp.Or(cmp.Compare(bad(b), bad(a)), cmp.Compare(a.labels.String(), b.labels.String()))
	})
}

// ask evaluates a query from a time on.
func (d *drawing) ask(ctx context.Context, query string, from time.Time) ([]course, bool) {
	if query == "" {
		return nil, false
	}
	series, asked, err := d.ranger.Range(ctx, query, from, d.to, chartStep)
	d.e.Metrics.series.WithLabelValues(d.source.Name).Add(float64(asked.Series))
	d.e.Metrics.bytes.WithLabelValues(d.source.Name).Add(float64(asked.Bytes))
	d.partial = d.partial || asked.Partial
	if err != nil {
		d.e.Log.Warn("source has no chart", "source", d.source.Name, "alert", d.rule.name, "err", err)
		return nil, false
	}
	steps := int(d.to.Sub(from)/chartStep) + 1
	out := make([]course, len(series))
	for i, one := range series {
		c := course{labels: page.Labels{}, values: make([]page.Sample, steps)}
		for _, l := range one.Labels {
			if l.Name != "__name__" {
				c.labels[l.Name] = l.Value
			}
		}
		for j := range c.values {
			c.values[j] = page.Sample(math.NaN())
		}
		for _, p := range one.Points {
			if at := int((p.At.Sub(from) + chartStep/2) / chartStep); at >= 0 && at < steps && !math.IsInf(p.Value, 0) {
				c.values[at] = page.Sample(p.Value)
			}
		}
		out[i] = c
	}
	return out, true
}

// band is where the healthy are.
func band(s *shown) page.Band {
	if s.band != nil {
		return *s.band
	}
	b := page.Band{Members: len(s.healthy)}
	if b.Members == 0 {
		return b
	}
	for i := range s.healthy[0].values {
		var vs []float64
		for _, c := range s.healthy {
			if v := float64(c.values[i]); !math.IsNaN(v) {
				vs = append(vs, v)
			}
		}
		slices.Sort(vs)
		b.Low, b.Middle, b.High = append(b.Low, quantile(vs, .1)), append(b.Middle, quantile(vs, .5)), append(b.High, quantile(vs, .9))
	}
	return b
}

// quantile reads straight lines between sorted values, as PromQL does.
func quantile(vs []float64, share float64) page.Sample {
	if len(vs) == 0 {
		return page.Sample(math.NaN())
	}
	rank := share * float64(len(vs)-1)
	low := int(rank)
	high := min(low+1, len(vs)-1)
	part := rank - float64(low)
	return page.Sample(vs[low]*(1-part) + vs[high]*part)
}
