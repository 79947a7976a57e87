package expr

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Size returns a query that counts the series behind the members, cheaply and
// at worst too many.
func (a *Alert) Size(p Population) string {
	return (&parser.AggregateExpr{Op: parser.COUNT, Expr: a.source(p)}).String()
}

// Sizes returns a query that counts how many different values each of some sets
// of labels has: one sample for each set, under its position in the label
// `tocsin_part`.
func (a *Alert) Sizes(p Population, sets [][]string) string {
	var all parser.Expr
	for i, set := range sets {
		distinct := &parser.AggregateExpr{Op: parser.COUNT, Expr: &parser.AggregateExpr{Op: parser.COUNT, Grouping: set, Expr: a.source(p)}}
		one := call("label_replace", distinct, text(PartLabel), text(strconv.Itoa(i)), text(""), text(""))
		if all == nil {
			all = one
			continue
		}
		all = &parser.BinaryExpr{Op: parser.LOR, LHS: all, RHS: one, VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany}}
	}
	return all.String()
}

// Top returns a query for the k values of a label with the most badness, "" if
// there is none to compare.
func (a *Alert) Top(p Population, label string, k int) string {
	p.By = []string{label}
	ask := a.Ask(p)
	bad, err := parser.NewParser(parser.Options{}).ParseExpr(cmp.Or(ask.Bad, ask.Member))
	if err != nil {
		return ""
	}
	if ask.Complement {
		all, err := parser.NewParser(parser.Options{}).ParseExpr(ask.All)
		if err != nil {
			return ""
		}
		bad = &parser.BinaryExpr{Op: parser.SUB, LHS: all, RHS: bad, VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne}}
	}
	return (&parser.AggregateExpr{Op: parser.TOPK, Param: &parser.NumberLiteral{Val: float64(k)}, Expr: bad}).String()
}

// source is one selector behind the members: the one of all events, if events
// are counted.
func (a *Alert) source(p Population) parser.Expr {
	e := a.lhs
	if a.all != nil {
		e = a.all
	}
	list := selectors(e)
	if len(list) == 0 {
		return e
	}
	s := *list[0]
	s.OriginalOffset, s.Timestamp, s.StartOrEnd = 0, nil, 0
	out := a.rewrite(p).selector(&s)
	if a.Shape == Histogram && a.native == nil {
		out = narrowed(out, equal(labels.BucketLabel, "+Inf"))
	}
	return out
}

// LastSeen returns a query for the time of the last sample, in Unix seconds, of
// series behind the members that are there no more: looked for in the time back
// from now, at every step.
func (a *Alert) LastSeen(p Population, back, step time.Duration) string {
	s := a.source(p)
	when := call("timestamp", s)
	over := call("max_over_time", &parser.SubqueryExpr{Expr: when, Range: back, Step: step})
	gone := &parser.BinaryExpr{
		Op: parser.LUNLESS, LHS: over, RHS: s, VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany},
	}
	return (&parser.AggregateExpr{Op: parser.MAX, Expr: gone}).String()
}

// InfoSeen returns a query with one series per value of a label of an info
// metric, for as long as series with it are there.
func InfoSeen(metric, by string, narrow []Only) string {
	s := &parser.VectorSelector{LabelMatchers: []*labels.Matcher{equal(model.MetricNameLabel, metric)}}
	for _, o := range narrow {
		s.LabelMatchers = append(s.LabelMatchers, oneOf(o.Label, o.Values))
	}
	s.LabelMatchers = append(s.LabelMatchers, labels.MustNewMatcher(labels.MatchNotEqual, by, ""))
	return (&parser.AggregateExpr{Op: parser.COUNT, Grouping: []string{by}, Expr: s}).String()
}

// Info returns a query for the series of info metrics, their names given as
// regular expressions, that have one of the values of each label.
func Info(metrics []string, narrow []Only) string {
	name, err := labels.NewMatcher(labels.MatchRegexp, model.MetricNameLabel, strings.Join(metrics, "|"))
	if err != nil { // no series has such a name
		name = equal(model.MetricNameLabel, strings.Join(metrics, "|"))
	}
	s := &parser.VectorSelector{LabelMatchers: []*labels.Matcher{name}}
	for _, o := range narrow {
		s.LabelMatchers = append(s.LabelMatchers, oneOf(o.Label, o.Values))
	}
	return s.String()
}
