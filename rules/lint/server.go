package lint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules"
)

// Server is asked what rules find there: one question at a time.
type Server struct {
	Client *prometheus.Client
	Now    time.Time
}

// The bounds of what is asked, and from when on it is told.
const (
	askWeek    = 7 * 24 * time.Hour
	askDay     = 24 * time.Hour
	askSeries  = 10_000
	askBytes   = 64 << 20
	askFor     = 30 * time.Second // one question
	costSeries = 100_000
	costTime   = 2 * time.Second
	firesOften = 10 // a day
)

// Ask returns what a server says of the rules that changed reports (nil: of
// all). Its error is that of a server that does not answer; a question that it
// refuses is a finding.
func (s *Server) Ask(ctx context.Context, sources []Source, changed func(*Source, *rules.Group, *rules.Rule) bool) ([]Finding, error) {
	recorded := map[string]bool{}
	for _, source := range sources {
		for _, g := range source.Groups {
			for _, r := range g.Rules {
				recorded[r.Record] = true
			}
		}
	}
	a := &asker{Server: s, recorded: recorded, counts: map[string]count{}}
	for i := range sources {
		for k := range sources[i].Groups {
			g := &sources[i].Groups[k]
			for n := range g.Rules {
				r := &g.Rules[n]
				if changed != nil && !changed(&sources[i], g, r) {
					continue
				}
				if err := a.told(&sources[i], r, a.rule(ctx, &sources[i], g, r)); err != nil {
					return nil, err
				}
			}
		}
	}
	return a.found, nil
}

// asker remembers what selectors found.
type asker struct {
	*Server

	recorded map[string]bool
	counts   map[string]count
	found    []Finding
}

// count is how many series a selector finds.
type count struct {
	now  float64
	week bool // there were some within it
}

// told makes a finding of a question that the server refuses.
func (a *asker) told(s *Source, r *rules.Rule, err error) error {
	if err == nil {
		return nil
	}
	if remote.ClassOf(err) != remote.Content {
		return fmt.Errorf("ask about %s: %w", r.Name(), err)
	}
	a.found = append(a.found, s.Finding(r, "expr", Warning, CheckCost, "the server refuses to evaluate it: "+err.Error(),
		"try it there: several series may match where one must, or a limit is reached"))
	return nil
}

func (a *asker) rule(ctx context.Context, s *Source, g *rules.Group, r *rules.Rule) error {
	e, err := rules.ParseExpr(r.Expr)
	if err != nil || !small(e) {
		return nil //nolint:nilerr // the reader has said so, or a machine wrote it
	}
	total := 0.0
	for _, v := range selectors(e) {
		n, err := a.count(ctx, v)
		if err != nil {
			return err
		}
		total += n.now
		if n.week || a.recorded[v.Name] {
			continue
		}
		message := "nothing was like " + brief(v) + " within a week"
		fix := "see that the metric is called so, and that it is scraped"
		if name, err := a.count(ctx, &parser.VectorSelector{Name: v.Name}); err != nil {
			return err
		} else if v.Name != "" && name.week {
			message += fmt.Sprintf(", and there are %g series of %s", name.now, v.Name)
			fix = "see that the labels of its matchers are written so"
		}
		a.found = append(a.found, s.Finding(r, "expr", Warning, CheckSeries, message, fix))
	}
	if err := a.cost(ctx, s, r, total); err != nil || r.Alert == "" {
		return err
	}
	return a.fires(ctx, s, g, r)
}

// selectors are those whose series must be there: not those that absent() asks for.
func selectors(e parser.Expr) []*parser.VectorSelector {
	var out []*parser.VectorSelector
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		missing := slices.ContainsFunc(path, func(n parser.Node) bool {
			c, ok := n.(*parser.Call)
			return ok && (c.Func.Name == "absent" || c.Func.Name == "absent_over_time")
		})
		if ok && !missing && v.Name != "ALERTS" && v.Name != "ALERTS_FOR_STATE" {
			out = append(out, v)
		}
		return nil
	})
	return out
}

// count asks for the series of a selector now, and within a week where there
// are none.
func (a *asker) count(ctx context.Context, v *parser.VectorSelector) (count, error) {
	plain := &parser.VectorSelector{Name: v.Name, LabelMatchers: v.LabelMatchers}
	text := plain.String()
	if known, ok := a.counts[text]; ok {
		return known, nil
	}
	n, err := a.number(ctx, "count("+text+")")
	if err != nil {
		return count{}, err
	}
	out := count{now: n, week: n > 0}
	if n == 0 {
		if n, err = a.number(ctx, "count(last_over_time("+text+"["+model.Duration(askWeek).String()+"]))"); err != nil {
			return count{}, err
		}
		out.week = n > 0
	}
	a.counts[text] = out
	return out, nil
}

func (a *asker) number(ctx context.Context, text string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	out := 0.0
	_, err := a.Client.Query(ctx, text, a.Now, a.limits(), func(_ []page.Label, v float64) { out = v })
	return out, err
}

func (a *asker) limits() prometheus.Limits {
	return prometheus.Limits{Series: askSeries, Bytes: askBytes}
}

// cost tells what one evaluation reads and takes.
func (a *asker) cost(ctx context.Context, s *Source, r *rules.Rule, series float64) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	began := time.Now()
	_, err := a.Client.Query(ctx, r.Expr, a.Now, a.limits(), func([]page.Label, float64) {})
	took := time.Since(began)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.found = append(a.found, s.Finding(r, "expr", Warning, CheckCost, "one evaluation takes over "+askFor.String(), "record what it reads, or narrow its selectors"))
		return nil
	case err != nil:
		return err
	case series >= costSeries || took >= costTime:
		a.found = append(a.found, s.Finding(r, "expr", Warning, CheckCost,
			fmt.Sprintf("one evaluation reads %.0f series and takes %s", series, took.Round(10*time.Millisecond)), "record what it reads, or narrow its selectors"))
	}
	return nil
}

// fires tells how often the alert would have fired within a day.
func (a *asker) fires(ctx context.Context, s *Source, g *rules.Group, r *rules.Rule) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	step := max(g.Interval, time.Minute)
	firings, series := 0, 0
	answer, err := a.Client.Range(ctx, r.Expr, a.Now.Add(-askDay), a.Now, step, a.limits(), func(_ []page.Label, points []prometheus.Point) {
		if n := runs(points, step, r.For, r.KeepFiringFor); n > 0 {
			firings, series = firings+n, series+1
		}
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // cost has told of such a rule
	}
	if err != nil || firings == 0 {
		return err
	}
	severity, word := Info, ""
	if firings >= firesOften {
		severity = Warning
	}
	if answer.Cut {
		word = " at least"
	}
	a.found = append(a.found, s.Finding(r, "", severity, CheckFires,
		fmt.Sprintf("it would have fired%s %d times within a day, for %d series", word, firings, series),
		"tocsin replay tells when, and what pages these would have been; a longer for or a higher threshold makes them fewer"))
	return nil
}

// runs counts the firings of a series: it must be there for a while, and what
// comes back within keep has not ended.
func runs(points []prometheus.Point, step, wait, keep time.Duration) int {
	n := 0
	var since, last, ended time.Time
	fired := false
	for _, p := range points {
		if last.IsZero() || p.At.Sub(last) > step+step/2 {
			since = p.At
			if fired {
				ended, fired = last, false
			}
		}
		last = p.At
		if fired || p.At.Sub(since) < wait {
			continue
		}
		fired = true
		if ended.IsZero() || since.Sub(ended) > keep {
			n++
		}
	}
	return n
}
