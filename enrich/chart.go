package enrich

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// Bounds of a chart.
const (
	chartStep   = 15 * time.Second
	chartPoints = 240 // of a line: an hour
	leastPoints = 20  // of a line on a server that is younger
	maxCharted  = 500 // series that are read one by one
	maxFailing  = 5   // lines
	maxArms     = 3   // of an `or`
)

// Resolver is a Source that knows what recorded series are made of.
type Resolver interface {
	Resolve(ctx context.Context, text string) string
}

// Chart is the last hour of what the leading rule compares: of the members that
// have the leading trait against the others, or of the alerts that fire against
// all else the rule looks at. It is false where there is nothing to draw: no
// expression, nothing compared, no answer before ctx ends. What is redacted is in
// none of its texts.
//
// Each way of showing it that is tried, mostly one, costs two queries where there
// are up to 500 series, six where there are more. They take none of the turns of
// those that pages wait for.
func (e *Enricher) Chart(ctx context.Context, p page.Problem) (page.Chart, bool) {
	ctx, span := e.Tracer.Start(ctx, "enrich.chart", trace.WithAttributes(attribute.String("page", p.ID)))
	defer span.End()
	rules, _ := rulesOf(p)
	if len(rules) == 0 {
		return page.Chart{}, false
	}
	lead, name := rules[0], ""
	if len(p.Context.Traits) > 0 {
		t := p.Context.Traits[0]
		name = t.Source
		if i := slices.IndexFunc(rules, func(r rule) bool { return r.name == t.Alert }); i >= 0 {
			lead = rules[i]
		}
	}
	for _, s := range e.Sources {
		ranger, ok := s.Source.(Ranger)
		if !ok || (name != "" && s.Name != name) {
			continue
		}
		select {
		case e.late[s.Name] <- struct{}{}:
			defer func() { <-e.late[s.Name] }()
		case <-ctx.Done():
			return page.Chart{}, false
		}
		d := drawing{e: e, source: s, ranger: ranger, problem: p, rule: lead, to: e.Now().Truncate(time.Second)}
		d.from = d.to.Add(-(chartPoints - 1) * chartStep)
		return d.draw(ctx)
	}
	return page.Chart{}, false
}

// drawing is one chart under way.
type drawing struct {
	e        *Enricher
	source   Named
	ranger   Ranger
	problem  page.Problem
	rule     rule
	from, to time.Time
	partial  bool
}

// course is one series, a value for each step.
type course struct {
	labels page.Labels
	values []page.Sample
}

// end is the last value; NaN where there is none at the end.
func (c course) end() float64 {
	for _, v := range slices.Backward(c.values[max(0, len(c.values)-4):]) {
		if !math.IsNaN(float64(v)) {
			return float64(v)
		}
	}
	return math.NaN()
}

// shown is one way to show the rule's expression, and what came of it.
type shown struct {
	alert   *expr.Alert
	query   string
	fails   func(c course) bool // it belongs to what the page is about
	failing []course            // worst first
	healthy []course
	band    *page.Band // where they are too many to be read one by one
	others  int        // that fail and were not read
	absence bool       // it is about how many are there
	parts   bool       // of a sum: what it is compared with is no bound for one part
}

// draw tries the ways to show the expression until one shows what breaks the rule.
func (d *drawing) draw(ctx context.Context) (page.Chart, bool) {
	var best *shown
	for _, s := range d.ways(ctx) {
		if ctx.Err() != nil {
			break
		}
		if !d.fill(ctx, s) {
			continue
		}
		if broken := s.broken(); broken || best == nil {
			best = s
			if broken {
				break
			}
		}
	}
	if best == nil {
		return page.Chart{}, false
	}
	return d.chart(best), true
}

// broken reports whether a line lies where the rule fires. Of parts that are missed
// each one always does, and says nothing by it.
func (s *shown) broken() bool {
	return s.parts && s.alert.Op.Falling() || slices.ContainsFunc(s.failing, func(c course) bool { return s.alert.Op.Holds(c.end(), s.alert.Threshold) })
}

// ways are those that may show the expression, the most telling ones first.
func (d *drawing) ways(ctx context.Context) []*shown {
	text := d.rule.expr
	if ruler, ok := d.source.Source.(Ruler); ok && text == "" {
		text, _ = ruler.Expr(ctx, d.rule.name, d.rule.shared) // without one there is no chart
	}
	texts := []string{text}
	if r, ok := d.source.Source.(Resolver); ok {
		if resolved := r.Resolve(ctx, text); resolved != text {
			texts = []string{resolved, text}
		}
	}
	var byTrait, byGroup []*shown
	for _, text := range texts {
		alert, err := expr.Parse(text)
		if err != nil {
			continue
		}
		arms := append([]*expr.Alert{alert}, alert.Or...)
		for _, arm := range arms[:min(len(arms), maxArms)] {
			byTrait = append(byTrait, d.byTrait(arm)...)
			byGroup = append(byGroup, d.byGroup(arm))
		}
	}
	return append(byTrait, byGroup...)
}

// byTrait sets those that have the leading trait against the others.
func (d *drawing) byTrait(arm *expr.Alert) []*shown {
	c := d.problem.Context
	if len(c.Traits) == 0 || len(c.Traits[0].Labels) == 0 {
		return nil
	}
	t := c.Traits[0]
	if strings.Contains(t.Query, hiddenMark) || slices.ContainsFunc(t.Labels.Names(), d.e.hides) {
		return nil
	}
	who := expr.Population{Alert: d.rule.shared.Clone(), Group: d.problem.Group.GroupLabels.Clone()}
	for name := range t.Labels {
		delete(who.Alert, name)
		delete(who.Group, name)
	}
	if query, ok := arm.ShownInside(who, t.Query, t.Labels); ok {
		return []*shown{{alert: arm, query: query, fails: func(c course) bool { return c.labels[expr.PartLabel] == expr.Inside }}}
	}
	query, ok := arm.ShownBy(who, t.Labels.Names())
	if !ok {
		return nil
	}
	return []*shown{{alert: arm, query: query, parts: arm.Additive, fails: func(c course) bool { return maps.Equal(c.labels, t.Labels) }}}
}

// byGroup sets the groups, or members, that fire against all others of the rule.
func (d *drawing) byGroup(arm *expr.Alert) *shown {
	if query := arm.Present(expr.Population{Alert: d.rule.shared, Group: d.problem.Group.GroupLabels}); query != "" {
		return &shown{alert: arm, query: query, absence: true, fails: func(course) bool { return true }}
	}
	s := &shown{alert: arm, query: arm.Shown()}
	if by := arm.Grouping(); arm.Shape == expr.Ratio && len(by) > 0 {
		if query, ok := arm.ShownBy(expr.Population{}, by); ok {
			s.query = query
		}
	}
	s.fails = func(c course) bool {
		if len(c.labels) == 0 {
			return true
		}
		return slices.ContainsFunc(d.rule.firing, func(alert page.Labels) bool {
			both, differ := agree(c.labels, alert)
			return both > 0 && !differ && (both == len(c.labels) || arm.Op.Holds(c.end(), arm.Threshold))
		})
	}
	return s
}

// agree counts the labels that a series shares with an alert, and reports whether
// one of them has another value there.
func agree(series, alert page.Labels) (both int, differ bool) {
	for name, v := range series {
		have, ok := alert[name]
		if ok {
			both++
		}
		differ = differ || (ok && have != v)
	}
	return both, differ
}

// chart writes down what was found.
func (d *drawing) chart(s *shown) page.Chart {
	v := d.problem.View().Redact(d.e.hidden()...)
	unit, factor := s.alert.Unit()
	c := page.Chart{
		Title: v.Title, Unit: unit, From: d.from, Step: chartStep, At: d.to, Below: s.alert.Op.Falling(),
		Healthy: band(s), Failing: []page.Line{}, Others: s.others + max(0, len(s.failing)-maxFailing), Marks: d.marks(v),
	}
	if d.partial {
		c.Title += " (part of the data is missing)"
	}
	r := redactor{hides: d.e.hides, any: len(d.e.Redact) > 0}
	c.Expr, _ = r.query(d.source, s.alert.Shown())
	if s.absence {
		c.Unit, factor = "", 1
	} else if s.bounded() {
		c.Threshold = new(s.alert.Threshold * factor)
	}
	names := d.names(s, &r)
	for i, l := range s.failing[:min(len(s.failing), maxFailing)] {
		c.Failing = append(c.Failing, page.Line{Name: names[i], Values: times(l.values, factor)})
	}
	b := &c.Healthy
	b.Low, b.Middle, b.High = times(b.Low, factor), times(b.Middle, factor), times(b.High, factor)
	trim(&c)
	return c
}

// trim drops the time before there was any data: on a server that is young the
// rest would be a sliver at the edge.
func trim(c *page.Chart) {
	lines := []*[]page.Sample{&c.Healthy.Low, &c.Healthy.Middle, &c.Healthy.High}
	for i := range c.Failing {
		lines = append(lines, &c.Failing[i].Values)
	}
	empty := chartPoints - leastPoints
	for _, l := range lines {
		known := slices.IndexFunc(*l, func(v page.Sample) bool { return !math.IsNaN(float64(v)) })
		if known >= 0 {
			empty = min(empty, known)
		}
	}
	if empty <= 0 {
		return
	}
	for _, l := range lines {
		*l = (*l)[min(empty, len(*l)):]
	}
	c.From = c.From.Add(time.Duration(empty) * chartStep)
	c.Marks = slices.DeleteFunc(c.Marks, func(m page.Mark) bool { return m.At.Before(c.From) })
}

// bounded reports whether the rule's threshold can be shown beside the lines.
func (s *shown) bounded() bool {
	switch op := s.alert.Op; {
	case op == expr.Equal || op == expr.Differs, s.parts && op.Falling():
		return false
	}
	return !s.parts || s.broken()
}

func times(vs []page.Sample, factor float64) []page.Sample {
	if factor == 1 {
		return vs
	}
	out := make([]page.Sample, len(vs))
	for i, v := range vs {
		out[i] = v * page.Sample(factor)
	}
	return out
}

// hidden are the labels whose values stay in the house.
func (e *Enricher) hidden() []string {
	var out []string
	for _, role := range e.Redact {
		out = append(out, e.Roles[role]...)
	}
	return out
}

// marks are the moments of a page that a chart shows.
func (d *drawing) marks(v page.Page) []page.Mark {
	var out []page.Mark
	add := func(at time.Time, kind, text string) {
		if !at.IsZero() && !at.Before(d.from) && !at.After(d.to) {
			out = append(out, page.Mark{At: at, Kind: kind, Text: text})
		}
	}
	told := map[string]bool{}
	change := func(c page.Change) {
		if !told[c.ID] && len(told) < maxMarked {
			told[c.ID] = true
			add(c.At, "change", strings.TrimSpace(c.Kind+" "+c.Title))
		}
	}
	if o := v.Onset; o != nil {
		add(o.At, "onset", "began "+o.At.UTC().Format("15:04"))
		if o.After != nil {
			change(*o.After)
		}
	}
	for _, c := range slices.Backward(v.Changes) {
		change(c)
	}
	add(v.Clock.Started, "fired", "fired "+v.Clock.Started.UTC().Format("15:04"))
	slices.SortStableFunc(out, func(a, b page.Mark) int { return a.At.Compare(b.At) })
	return out
}

// maxMarked is how many changes are marked.
const maxMarked = 3

// names of the failing lines: what tells them from each other and from the healthy.
func (d *drawing) names(s *shown, r *redactor) []string {
	all := slices.Concat(s.failing, s.healthy)
	values := map[string]map[string]bool{}
	for _, c := range all {
		for name, v := range c.labels {
			if name == "__name__" || name == expr.PartLabel {
				continue
			}
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][v] = true
		}
	}
	telling := slices.SortedFunc(maps.Keys(values), func(a, b string) int { // by how much they tell apart, those with a role first
		return cmp.Or(cmp.Compare(len(values[b]), len(values[a])), cmp.Compare(truth(d.e.Roles.Of(b) != ""), truth(d.e.Roles.Of(a) != "")), cmp.Compare(a, b))
	})
	if n := len(telling); n > 0 && len(values[telling[0]]) == len(all) {
		telling = telling[:1] // it alone is enough
	} else {
		telling = telling[:min(n, 2)]
	}
	out := make([]string, len(s.failing))
	for i, c := range s.failing {
		ls, list := c.labels, telling
		if c.labels[expr.PartLabel] == expr.Inside {
			ls = d.problem.Context.Traits[0].Labels
			list = ls.Names()
		}
		var parts []string
		for _, name := range list {
			if v := ls[name]; v != "" {
				parts = append(parts, name+"="+r.value(name, v))
			}
		}
		out[i] = cmp.Or(strings.Join(parts, ", "), d.rule.name)
		if s.absence {
			out[i] = "series"
		}
	}
	return out
}
