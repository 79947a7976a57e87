package expr

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Population says whose members are asked for.
type Population struct {
	Alert map[string]string // the alert's own labels: untrusted
	Group map[string]string // labels of the group the alert came in: untrusted
	Drop  []string          // labels to aggregate away: they never tell members apart
	Hard  bool              // narrow by labels only that the members surely carry
	Edge  string            // Histogram: the edge to divide at, as the server writes it; "" is the threshold
}

// Ask is what to ask a server about the members of an alert. All are instant
// queries for one and the same time.
type Ask struct {
	Member     string  // the rule's left-hand side of each member, to be judged by Op and Threshold
	Bad        string  // Ratio, Histogram: bad events of each member (good ones if Complement)
	All        string  // Ratio, Histogram: all events of each member
	Complement bool    // Bad counts the good events: bad = all - it
	Scale      float64 // Bad and All times Scale are events in the rule's window
	Edges      string  // Histogram: one series per bucket edge, should none be at the threshold
	Narrowed   bool    // narrowed by labels that members may not have: ask again with Hard when nobody answers
	SameMetric bool    // Bad and All have the same labels, series by series
}

// Ask builds the questions. Each aggregation keeps every label, guards are
// dropped, and selectors are narrowed to the alert's own members:
//
//   - labels by which the outermost aggregations group are on every member and
//     must be equal;
//   - other labels of an aggregated alert are the rule's own or the server's
//     external ones, and labels of the group may be either: a member without
//     such a label is kept;
//   - other labels of an alert that is not aggregated are its one member's:
//     they are what is to be explained, and narrow nothing.
func (a *Alert) Ask(p Population) Ask {
	r := a.rewrite(p)
	out := Ask{Narrowed: len(r.soft) > 0, Scale: 1}
	if a.perSecond {
		out.Scale = a.window.Seconds()
	}
	out.Member = a.member(r).String()
	switch a.Shape {
	case Ratio:
		num, den := a.events(r)
		out.Bad, out.All, out.Complement = num.String(), den.String(), a.complement
		out.SameMetric = metric(a.bad) != "" && metric(a.bad) == metric(a.all)
	case Histogram:
		r.counting = true
		buckets := r.member(a.all)
		drop := union(p.Drop, []string{labels.BucketLabel})
		edge := equal(labels.BucketLabel, p.Edge)
		if p.Edge == "" {
			edge = oneOf(labels.BucketLabel, edgeForms(a.Edge))
		}
		out.Bad = sumWithout(drop, narrowed(buckets, edge)).String()
		out.All = sumWithout(drop, narrowed(buckets, equal(labels.BucketLabel, "+Inf"))).String()
		out.Edges = (&parser.AggregateExpr{Op: parser.GROUP, Grouping: []string{labels.BucketLabel}, Expr: buckets}).String()
		out.Complement, out.SameMetric = a.complement, true
	case State, Value:
	}
	return out
}

// member is the left-hand side per member. Both sides of a ratio are summed
// over the labels that tell bad events from good ones, so that they match.
func (a *Alert) member(r *rewrite) parser.Expr {
	if a.Shape != Ratio {
		return r.member(a.lhs)
	}
	num, den := a.events(r)
	return &parser.BinaryExpr{
		Op: parser.DIV, LHS: wrapped(num), RHS: wrapped(den),
		VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne},
	}
}

// events returns the two sides of a ratio, summed so that they have the same labels.
func (a *Alert) events(r *rewrite) (bad, all parser.Expr) {
	c := *r
	c.counting = true
	drop := union(r.drop, pinned(a.bad, a.all), ignored(a.lhs))
	return sumWithout(drop, c.member(a.bad)), sumWithout(drop, c.member(a.all))
}

// Show returns PromQL that shows the members which carry all of ls.
func (a *Alert) Show(p Population, ls map[string]string) string {
	e := a.member(a.rewrite(p))
	for _, name := range slices.Sorted(maps.Keys(ls)) {
		e = narrowed(e, equal(name, ls[name]))
	}
	return e.String()
}

// Keeps reports whether a member with these labels belongs to the population:
// selectors cannot be narrowed by a label that the expression itself makes.
func (a *Alert) Keeps(p Population, member func(name string) string) bool {
	for _, name := range a.Grouping() {
		if v, ok := p.Alert[name]; ok && member(name) != v && !slices.Contains(p.Drop, name) {
			return false
		}
	}
	return true
}

func (a *Alert) rewrite(p Population) *rewrite {
	r := &rewrite{drop: p.Drop, hard: map[string]string{}, soft: map[string]string{}, made: made(a.whole)}
	joined := joins(a.whole)
	for _, name := range a.Grouping() {
		if v, ok := p.Alert[name]; ok && !joined {
			r.hard[name] = v
		}
	}
	if p.Hard {
		return r
	}
	soft := []map[string]string{p.Group}
	if aggregated(a.whole) {
		soft = append(soft, p.Alert)
	}
	for _, ls := range soft {
		for name, v := range ls {
			if _, ok := r.hard[name]; !ok && v != "" && name != "alertname" && name != "severity" {
				r.soft[name] = v
			}
		}
	}
	return r
}

// Grouping returns the labels that every aggregated part of the condition
// groups by.
func (a *Alert) Grouping() []string {
	var common []string
	for i, agg := range outermost(a.whole) {
		var own []string
		if !agg.Without {
			own = slices.DeleteFunc(slices.Clone(agg.Grouping), func(n string) bool { return n == labels.BucketLabel })
		}
		if i == 0 {
			common = own
			continue
		}
		common = slices.DeleteFunc(common, func(n string) bool { return !slices.Contains(own, n) })
	}
	return common
}

func union(lists ...[]string) []string {
	out := slices.Concat(lists...)
	slices.Sort(out)
	return slices.Compact(out)
}

// ignored returns the labels of `ignoring (…)` between the two sides of a ratio.
func ignored(e parser.Expr) []string {
	n, ok := unparen(e).(*parser.BinaryExpr)
	if !ok || n.VectorMatching == nil || n.VectorMatching.On {
		return nil
	}
	return n.VectorMatching.MatchingLabels
}

func sumWithout(drop []string, e parser.Expr) parser.Expr {
	if len(drop) == 0 {
		return e
	}
	return &parser.AggregateExpr{Op: parser.SUM, Without: true, Grouping: drop, Expr: unparen(e)}
}

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

// oneOf matches any of the values and nothing else.
func oneOf(name string, values []string) *labels.Matcher {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	m, err := labels.NewMatcher(labels.MatchRegexp, name, strings.Join(quoted, "|"))
	if err != nil {
		// A value that no regular expression can spell (it is not UTF-8) is on no series.
		return equal(name, fmt.Sprintf("%q", values))
	}
	return m
}
