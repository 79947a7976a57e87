package enrich

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Ranger is a Source that can evaluate a query over a span of time.
type Ranger interface {
	Range(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]Series, page.Query, error)
}

// Series is one series over a span of time, its points in order.
type Series struct {
	Labels []page.Label
	Points []Point
}

// Point is one value at one time.
type Point struct {
	At    time.Time
	Value float64
}

// Dater finds out when the badness began and which change it follows. It is
// deterministic and asks nobody.
type Dater interface {
	// Date finds the change point of a course. seen has one series for each
	// value of the course's By, own is the trait's; it returns the values that
	// came to be within the range as changes. Without an onset it is false.
	Date(c page.Course, course []Point, seen []Series, own string) (page.Onset, []page.Change, bool)
	// Follows returns the changes near the onset, in order of time, and the one
	// that it follows, nil if none does. where is what else is known of the place.
	Follows(o page.Onset, c page.Context, where page.Labels, known []page.Change) ([]page.Change, *page.Change)
}

// hiddenMark stands in a query whose values were hidden: it cannot be asked.
const hiddenMark = "<redacted>"

// lookBack is how long before now an onset is looked for.
const lookBack = time.Hour

// Step is the resolution of a course: a twelfth of its window, which holds at
// least four scrapes, and never finer than scrapes commonly are.
func Step(window time.Duration) time.Duration {
	return min(max(window/12, 5*time.Second), time.Minute).Truncate(time.Second)
}

// Since dates the context of a problem: when the badness inside the leading
// trait began, and after what. known are changes that were reported. It returns
// the context with what it found, and whether it found an onset. It takes one
// range query, and a cheap one more where the trait is a version: since when it
// is there.
func (e *Enricher) Since(ctx context.Context, p page.Problem, known []page.Change) (page.Context, bool) {
	ctx, span := e.Tracer.Start(ctx, "enrich.since")
	defer span.End()
	out := p.Context
	course, name, ok := out.Dating()
	if !ok || e.Dater == nil || course.Query == "" || strings.Contains(course.Query, hiddenMark) {
		return out, false
	}
	source, ok := e.ranger(name)
	if !ok {
		return out, false
	}
	d := dating{
		enricher: e, ranger: source, name: name, course: course,
		to: e.Now().Truncate(time.Second), known: slices.Clone(known),
	}
	d.course.Step = Step(course.Window)
	d.where = p.Group.CommonLabels.Clone()
	if d.where == nil {
		d.where = page.Labels{}
	}
	maps.Copy(d.where, p.Group.GroupLabels)
	maps.Copy(d.where, out.Scope)
	if len(out.Traits) > 0 {
		d.own = out.Traits[0].Labels[course.By]
	}
	found := d.run(ctx)
	out.Queries = append(slices.Clone(out.Queries), d.queries...)
	if !found {
		return out, false
	}
	out.Changes, d.onset.After = e.Dater.Follows(d.onset, out, d.where, d.known)
	out.Onset = &d.onset
	return out, true
}

func (e *Enricher) ranger(name string) (Ranger, bool) {
	for _, s := range e.Sources {
		if r, ok := s.Source.(Ranger); ok && s.Name == name {
			return r, true
		}
	}
	return nil, false
}

// dating is one course under way.
type dating struct {
	enricher *Enricher
	ranger   Ranger
	name     string
	course   page.Course
	to       time.Time
	own      string // the trait's value of the course's By
	where    page.Labels
	known    []page.Change
	queries  []page.Query
	onset    page.Onset
}

func (d *dating) run(ctx context.Context) bool {
	series, ok := d.ask(ctx, d.course.Query, d.course.Step)
	if !ok || len(series) > 1 {
		return false
	}
	var points []Point
	if len(series) == 1 {
		points = series[0].Points
	}
	var seen []Series
	if d.course.Seen != "" && !strings.Contains(d.course.Seen, hiddenMark) {
		seen, _ = d.ask(ctx, d.course.Seen, max(d.course.Step, minSeen))
	}
	var appeared []page.Change
	if d.onset, appeared, ok = d.enricher.Dater.Date(d.course, points, seen, d.own); !ok {
		return false
	}
	d.known = append(d.known, d.ours(appeared)...)
	return true
}

// ours says of values that appeared whose data showed them, and whose they are:
// they were looked for among the members. What none of the members runs any more
// had no part in it.
func (d *dating) ours(appeared []page.Change) []page.Change {
	var out []page.Change
	for _, c := range appeared {
		if now, ok := d.where[d.course.By]; ok && now != c.Title && d.own == "" {
			continue
		}
		c.Source, c.Labels = d.name, c.Labels.Clone()
		for _, name := range []string{"service", "app", "job"} {
			if v := d.where[name]; v != "" {
				c.Labels[name] = v
				break
			}
		}
		out = append(out, c)
	}
	return out
}

// minSeen is the finest step at which labels are looked at: they change rarely.
const minSeen = 5 * time.Second

// ask evaluates a query over the hour before now.
func (d *dating) ask(ctx context.Context, query string, step time.Duration) ([]Series, bool) {
	e := d.enricher
	select {
	case e.turns[d.name] <- struct{}{}:
		defer func() { <-e.turns[d.name] }()
	case <-ctx.Done():
		return nil, false
	}
	series, asked, err := d.ranger.Range(ctx, query, d.to.Add(-lookBack), d.to, step)
	d.queries = append(d.queries, asked)
	e.Metrics.series.WithLabelValues(d.name).Add(float64(asked.Series))
	e.Metrics.bytes.WithLabelValues(d.name).Add(float64(asked.Bytes))
	if err != nil {
		e.Log.Warn("source has no range", "source", d.name, "err", err)
		return nil, false
	}
	return series, true
}
