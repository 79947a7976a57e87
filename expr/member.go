package expr

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Population says whose members are asked for.
type Population struct {
	Alert map[string]string // the alert's own labels: untrusted
	Group map[string]string // labels of the group the alert came in: untrusted
	Drop  []string          // labels to aggregate away: they never tell members apart
	Free  []string          // labels that are to be explained: those of the alert narrow nothing
	Hard  bool              // narrow by labels only that the members surely carry
	Edge  string            // Histogram: the edge to divide at, as the server writes it; "" is the threshold
	By    []string          // ask by these labels only, where single members are too many; nil for members
	Only  Only              // ask about some values of one label only

	Joined []Joined // labels that members have by an info metric, for Show
}

// Joined is a label of an info metric, and the labels it shares with members.
type Joined struct {
	Metric, Label string
	On            []string
}

// Only is a label and the values that are asked about.
type Only struct {
	Label  string
	Values []string
}

// Ask is what to ask a server about the members of an alert. All are instant
// queries for one and the same time, unless they say otherwise.
type Ask struct {
	Member     string  // the rule's left-hand side of each member, to be judged by Op and Threshold; Absence: those who are there
	Groups     string  // the same of each of the rule's groups: for when no two sides of a member match
	Bad        string  // Ratio, Histogram: bad events of each member (good ones if Complement); Absence: those who lack something, "" if those are who is not there any more
	All        string  // Ratio, Histogram: all events of each member
	Complement bool    // Bad counts the good events: bad = all - it
	Scale      float64 // Bad and All times Scale are events in the rule's window
	Edges      string  // Histogram: one series per bucket edge, should none be at the threshold
	Narrowed   bool    // narrowed by labels that members may not have: ask again with Hard when nobody answers
	SameMetric bool    // Bad and All have the same labels, series by series
	Counted    bool    // State, Value with By: All counts members, Bad those that break the rule or, of an additive rule, sums them
}

// Ask builds the questions. Each aggregation keeps every label, guards are
// dropped or asked member by member, and selectors are narrowed to the alert's
// own members:
//
//   - labels by which the outermost aggregations group are on every member and
//     must be equal, unless they are what is to be explained;
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
	member := a.member(r)
	out.Member = p.sum(a.eligible(member))
	switch a.Shape {
	case Ratio:
		num, den := a.sides(r)
		out.Bad, out.All, out.Complement = p.sum(num), p.sum(a.eligible(den)), a.complement
		out.SameMetric = metric(a.bad) != "" && metric(a.bad) == metric(a.all)
	case Histogram:
		a.buckets(r, p, &out)
	case Absence:
		a.absence(r, &out)
	case State, Value:
		if len(p.By) > 0 {
			out.Counted, out.SameMetric = true, true
			out.All, out.Bad = p.count(a.eligible(member)), p.count(a.broken(a.eligible(member)))
			if a.Additive {
				out.Bad = out.Member
			}
		}
		if n, ok := unparen(a.lhs).(*parser.BinaryExpr); ok && n.VectorMatching != nil && aggregated(n.LHS) && aggregated(n.RHS) {
			v := *r
			v.verbatim = true
			out.Groups = v.member(n).String()
		}
	}
	return out
}

// absence asks who is there, or who lacks something.
func (a *Alert) absence(r *rewrite, out *Ask) {
	if len(a.guards) == 0 {
		return
	}
	v := *r
	v.verbatim = aggregated(a.guards[0].RHS) // then they are matched by the labels of its groups
	member := v.member(a.lhs)
	out.Member, out.Bad = member.String(), a.eligible(member).String()
}

// broken keeps the members that break the rule.
func (a *Alert) broken(e parser.Expr) parser.Expr {
	ops := map[Op]parser.ItemType{
		Above: parser.GTR, AtLeast: parser.GTE, Below: parser.LSS, AtMost: parser.LTE, Equal: parser.EQLC, Differs: parser.NEQ,
	}
	return &parser.BinaryExpr{Op: ops[a.Op], LHS: wrapped(e), RHS: &parser.NumberLiteral{Val: a.Threshold}}
}

// sum writes e by the labels that are asked for.
func (p Population) sum(e parser.Expr) string { return p.by(parser.SUM, e) }

func (p Population) count(e parser.Expr) string { return p.by(parser.COUNT, e) }

func (p Population) by(op parser.ItemType, e parser.Expr) string {
	if p.Only.Label != "" {
		e = narrowed(e, oneOf(p.Only.Label, p.Only.Values))
	}
	if len(p.By) > 0 {
		e = &parser.AggregateExpr{Op: op, Grouping: p.By, Expr: unparen(e)}
	}
	return e.String()
}

// buckets asks how many events were slow, of classic and of native histograms.
func (a *Alert) buckets(r *rewrite, p Population, out *Ask) {
	c := *r
	c.counting, c.longer = true, a.longer
	vector := c.member(a.all)
	out.Complement, out.SameMetric = a.complement, true
	if a.native != nil {
		vector = sumWithout(p.Drop, vector)
		from, to := parser.Expr(&parser.NumberLiteral{Val: math.Inf(-1)}), parser.Expr(&parser.NumberLiteral{Val: a.Edge})
		if a.native.Func.Name == "histogram_fraction" {
			from, to = a.native.Args[0], a.native.Args[1]
		}
		all := call("histogram_count", vector)
		out.All = p.sum(a.eligible(all))
		out.Bad = p.sum(&parser.BinaryExpr{
			Op: parser.MUL, LHS: call("histogram_fraction", from, to, vector), RHS: all,
			VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne},
		})
		return
	}
	drop := union(p.Drop, []string{labels.BucketLabel})
	edge := equal(labels.BucketLabel, p.Edge)
	if p.Edge == "" {
		edge = oneOf(labels.BucketLabel, edgeForms(a.Edge))
	}
	out.Bad = p.sum(sumWithout(drop, narrowed(vector, edge)))
	out.All = p.sum(a.eligible(sumWithout(drop, narrowed(vector, equal(labels.BucketLabel, "+Inf")))))
	out.Edges = (&parser.AggregateExpr{Op: parser.GROUP, Grouping: []string{labels.BucketLabel}, Expr: vector}).String()
}

func call(name string, args ...parser.Expr) parser.Expr {
	return &parser.Call{Func: parser.Functions[name], Args: args}
}

// eligible leaves out members that the guards exclude.
func (a *Alert) eligible(e parser.Expr) parser.Expr {
	for _, g := range a.guards {
		c := *g
		c.LHS, c.RHS = wrapped(e), wrapped(g.RHS)
		e = &c
	}
	return e
}

// member is the left-hand side per member. Both sides of a ratio are summed
// over the labels that tell bad events from good ones, so that they match.
func (a *Alert) member(r *rewrite) parser.Expr {
	if a.Shape != Ratio {
		return r.member(a.lhs)
	}
	num, den := a.sides(r)
	return &parser.BinaryExpr{
		Op: parser.DIV, LHS: wrapped(num), RHS: wrapped(den),
		VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne},
	}
}

// sides returns the two sides of a ratio, summed so that they have the same labels.
func (a *Alert) sides(r *rewrite) (bad, all parser.Expr) {
	c := *r
	c.counting, c.longer = true, a.longer
	drop := union(r.drop, pinned(a.bad, a.all), ignored(a.lhs))
	return sumWithout(drop, c.member(a.bad)), sumWithout(drop, c.member(a.all))
}

// Show returns PromQL that shows the members which carry all of ls.
func (a *Alert) Show(p Population, ls map[string]string) string {
	return a.eligible(having(a.member(a.rewrite(p)), p.Joined, ls)).String()
}

// having keeps the members under e that have all of ls, on their own series or
// by an info metric.
func having(e parser.Expr, list []Joined, ls map[string]string) parser.Expr {
	joined := func(name string) int { return slices.IndexFunc(list, func(j Joined) bool { return j.Label == name }) }
	for _, name := range slices.Sorted(maps.Keys(ls)) {
		if joined(name) < 0 {
			e = narrowed(e, equal(name, ls[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ls)) {
		if at := joined(name); at >= 0 {
			info := &parser.VectorSelector{LabelMatchers: []*labels.Matcher{equal(model.MetricNameLabel, list[at].Metric), equal(name, ls[name])}}
			e = &parser.BinaryExpr{
				Op: parser.LAND, LHS: wrapped(e), RHS: info,
				VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany, On: true, MatchingLabels: list[at].On},
			}
		}
	}
	return e
}

// Keeps reports whether a member with these labels belongs to the population:
// selectors cannot be narrowed by a label that the expression itself makes.
func (a *Alert) Keeps(p Population, member func(name string) string) bool {
	for _, name := range a.Grouping() {
		if v, ok := p.Alert[name]; ok && member(name) != v && !slices.Contains(p.Drop, name) && !slices.Contains(p.Free, name) {
			return false
		}
	}
	return true
}

func (a *Alert) rewrite(p Population) *rewrite {
	r := &rewrite{drop: p.Drop, hard: map[string]string{}, soft: map[string]string{}, made: made(a.whole)}
	joined := joins(a.whole)
	for _, name := range a.Grouping() {
		if v, ok := p.Alert[name]; ok && !joined && !slices.Contains(p.Free, name) {
			r.hard[name] = v
		}
	}
	if p.Hard {
		return r
	}
	if aggregated(a.whole) {
		r.soften(p.Alert, p.Free)
	}
	r.soften(p.Group, nil)
	return r
}

// soften narrows by labels that the members may have or not.
func (r *rewrite) soften(ls map[string]string, free []string) {
	for name, v := range ls {
		if _, ok := r.hard[name]; !ok && v != "" && name != "alertname" && name != "severity" && !slices.Contains(free, name) {
			r.soft[name] = v
		}
	}
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
