package thanos

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

var _ enrich.Ranger = (*Source)(nil)

// Range evaluates a query over a span of time, within the source's limits.
func (s *Source) Range(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]enrich.Series, page.Query, error) {
	asked := page.Query{Source: s.name, Text: query, At: to}
	ctx, stop := context.WithTimeout(ctx, s.cfg.Timeout.D())
	defer stop()
	began := s.now()
	var out []enrich.Series
	a, err := s.ask.Range(ctx, query, from, to, step, s.limits(), func(ls []page.Label, points []prometheus.Point) {
		one := enrich.Series{Labels: slices.Clone(ls), Points: make([]enrich.Point, len(points))}
		for i, p := range points {
			one.Points[i] = enrich.Point(p)
		}
		out = append(out, one)
	})
	asked.Took, asked.Series, asked.Bytes = s.now().Sub(began), a.Series, a.Bytes
	asked.Partial = a.Cut || len(a.Warnings) > 0
	if err != nil {
		asked.Error = err.Error()
	}
	return out, asked, err
}

// course returns the questions how bad members with these labels were over time
// and since when they are there. A question that cannot be built is "".
func (c *inquiry) course(by string, ls page.Labels) page.Course {
	if c.alert.Shape == expr.Absence { // who is gone has no course
		return page.Course{}
	}
	course, err := c.alert.Course(c.ask, c.joined(), ls, c.carriers(ls)...)
	if err != nil {
		return page.Course{}
	}
	out := page.Course{Query: course.Query, Falling: course.Falling, Window: course.Window}
	if by == "" {
		return out
	}
	if seen := c.seenSince(by, ls); seen != "" {
		out.Seen, out.By = seen, by
	}
	return out
}

// seenSince asks since when each value of a label is there, on the series of the
// members or on the info metric that has it; "" where it cannot be asked. Inside
// a trait that is none of its values only its own members are looked at.
func (c *inquiry) seenSince(by string, ls page.Labels) string {
	for _, g := range c.gains {
		if g.Label == by {
			return expr.InfoSeen(g.Metric, by, c.instances(g.On, by, ls))
		}
	}
	narrow := page.Labels{}
	for _, name := range c.alert.Grouping() { // those the members surely carry
		if v, ok := c.who.Alert[name]; ok {
			narrow[name] = v
		}
	}
	maps.Copy(narrow, c.own(ls))
	delete(narrow, by)
	seen, err := c.alert.Seen(c.ask, by, narrow)
	if err != nil {
		return ""
	}
	return seen
}

// instances narrows an info metric to some members. Of all members their job is
// enough where they have one: instances that were replaced are to be seen too.
func (c *inquiry) instances(on []string, by string, ls page.Labels) []expr.Only {
	inside := page.Labels{}
	for name, v := range ls {
		if name != by {
			inside[name] = v
		}
	}
	var some []member
	for i, m := range c.rows {
		if c.within(i, inside) {
			some = append(some, m)
		}
	}
	_, narrow := shared(some, on)
	if at := slices.IndexFunc(narrow, func(o expr.Only) bool { return o.Label == "job" && len(o.Values) == 1 }); at >= 0 && len(inside) == 0 {
		return narrow[at : at+1]
	}
	return narrow
}

// carriers are the members that have the gained labels among ls: where they are
// few, they are followed through time by their own names, be the label as young
// as it may. nil where they are many, or there is no such label.
func (c *inquiry) carriers(ls page.Labels) []expr.Only {
	var out []expr.Only
	for _, g := range c.gains {
		if _, ok := ls[g.Label]; !ok {
			continue
		}
		some := c.instances(g.On, "", ls)
		if len(some) < len(g.On) {
			return nil
		}
		out = append(out, some...)
	}
	return out
}

// within reports whether a row has labels, its own or gained ones.
func (c *inquiry) within(row int, ls page.Labels) bool {
	for name, v := range ls {
		have := value(c.rows[row].labels, name)
		for _, g := range c.gains {
			if g.Label == name {
				have = g.values[row]
			}
		}
		if have != v {
			return false
		}
	}
	return true
}

// own are the labels that are on the members' series.
func (c *inquiry) own(ls page.Labels) page.Labels {
	out := ls.Clone()
	for _, g := range c.gains {
		delete(out, g.Label)
	}
	return out
}

// joined are the labels that members have by info metrics.
func (c *inquiry) joined() []expr.Joined {
	var out []expr.Joined
	for _, g := range c.gains {
		out = append(out, g.Joined)
	}
	return out
}
