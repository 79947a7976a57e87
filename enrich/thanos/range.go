package thanos

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

var _ enrich.Ranger = (*Source)(nil)

// errNoRange is the answer where only gRPC is configured.
var errNoRange = errors.New("ranges are asked for over http, which is not configured")

// Range evaluates a query over a span of time, within the source's limits.
func (s *Source) Range(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]enrich.Series, page.Query, error) {
	asked := page.Query{Source: s.name, Text: query, At: to}
	if s.web == nil {
		return nil, asked, errNoRange
	}
	ctx, stop := context.WithTimeout(ctx, s.cfg.Timeout.D())
	defer stop()
	began := s.now()
	var out []enrich.Series
	a, err := s.web.Range(ctx, query, from, to, step, s.limits(), func(ls []page.Label, points []prometheus.Point) {
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
	course, err := c.alert.Course(c.ask, ls)
	if err != nil {
		return page.Course{}
	}
	out := page.Course{Query: course.Query, Falling: course.Falling, Window: course.Window}
	if by == "" {
		return out
	}
	narrow := page.Labels{}
	for _, name := range c.alert.Grouping() { // those the members surely carry
		if v, ok := c.who.Alert[name]; ok {
			narrow[name] = v
		}
	}
	if seen, err := c.alert.Seen(c.ask, by, narrow); err == nil {
		out.Seen, out.By = seen, by
	}
	return out
}
