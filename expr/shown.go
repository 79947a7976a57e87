package expr

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Shown is the side of the comparison that a chart shows, as the rule has it:
// one series for each of its groups, to be compared with Threshold.
func (a *Alert) Shown() string { return a.lhs.String() }

// ShownBy is the same by other labels, of the alert's own population: an
// aggregation groups by them, members that are not aggregated are told apart by
// them, and the worst of each speaks for it. A share is 0 where no bad events are
// counted. It is false where the sides of the condition cannot be regrouped.
func (a *Alert) ShownBy(p Population, by []string) (string, bool) {
	e, ok := a.regroup(p, grouper{by: by, worst: a.worst(), wrap: func(e parser.Expr) parser.Expr { return e }})
	if !ok {
		return "", false
	}
	return e.String(), true
}

// ShownInside is the same of the members that have labels by info metrics, and of
// those that have not: two series, whose PartLabel is Inside and Outside. member
// is a question (Show) that joins these labels; it is false where it joins none.
func (a *Alert) ShownInside(p Population, member string, ls map[string]string) (string, bool) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(member)
	if err != nil || len(member) > MaxBytes {
		return "", false
	}
	joins := joinsOf(e, ls)
	if len(joins) == 0 {
		return "", false
	}
	own := map[string]string{}
	for name, v := range ls {
		if !slices.ContainsFunc(joins, func(j *parser.BinaryExpr) bool { return matches(j.RHS, name) }) {
			own[name] = v
		}
	}
	with := func(op parser.ItemType) grouper {
		return grouper{worst: a.worst(), wrap: func(e parser.Expr) parser.Expr {
			for name, v := range own {
				e = narrowed(e, equal(name, v))
			}
			for _, j := range joins {
				e = &parser.BinaryExpr{Op: op, LHS: wrapped(e), RHS: j.RHS, VectorMatching: j.VectorMatching}
			}
			return e
		}}
	}
	inside, ok := a.regroup(p, with(parser.LAND))
	outside, ok2 := a.regroup(p, with(parser.LUNLESS))
	if !ok || !ok2 {
		return "", false
	}
	part := func(e parser.Expr, name string) parser.Expr {
		return call("label_replace", e, text(PartLabel), text(name), text(""), text(""))
	}
	return (&parser.BinaryExpr{
		Op: parser.LOR, LHS: part(inside, Inside), RHS: part(outside, Outside), VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany},
	}).String(), true
}

// The parts of ShownInside.
const (
	Inside  = "inside"
	Outside = "outside"
)

// joinsOf are the conditions `and on (…) info{label="value"}` at the top of e
// whose label is one of ls.
func joinsOf(e parser.Expr, ls map[string]string) []*parser.BinaryExpr {
	var out []*parser.BinaryExpr
	for {
		n, ok := unparen(e).(*parser.BinaryExpr)
		if !ok || n.Op != parser.LAND || n.VectorMatching == nil || !n.VectorMatching.On {
			return out
		}
		for name := range ls {
			if matches(n.RHS, name) {
				out = append(out, n)
				break
			}
		}
		e = n.LHS
	}
}

func matches(e parser.Expr, name string) bool {
	s, ok := unparen(e).(*parser.VectorSelector)
	return ok && slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == name && m.Type == labels.MatchEqual })
}

// worst is the aggregation that lets the worst member speak.
func (a *Alert) worst() parser.ItemType {
	switch {
	case a.Op == Equal || a.Op == Differs:
		return parser.AVG
	case a.Op.Falling():
		return parser.MIN
	}
	return parser.MAX
}

// regroup builds the shown side anew.
func (a *Alert) regroup(p Population, g grouper) (parser.Expr, bool) {
	r := a.rewrite(p)
	r.verbatim = true
	switch a.Shape {
	case Absence:
		return nil, false
	case Ratio:
	default:
		return g.of(r.member(a.lhs), g.worst)
	}
	num, ok := g.of(r.member(a.bad), parser.SUM)
	den, ok2 := g.of(r.member(a.all), parser.SUM)
	if !ok || !ok2 {
		return nil, false
	}
	none := &parser.BinaryExpr{Op: parser.MUL, LHS: wrapped(den), RHS: &parser.NumberLiteral{}}
	filled := &parser.BinaryExpr{Op: parser.LOR, LHS: wrapped(num), RHS: none, VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany}}
	share := &parser.BinaryExpr{Op: parser.DIV, LHS: wrapped(filled), RHS: wrapped(den), VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne}}
	if a.complement != a.Op.Falling() {
		return &parser.BinaryExpr{Op: parser.SUB, LHS: &parser.NumberLiteral{Val: 1}, RHS: share}, true
	}
	return share, true
}

// grouper gives the aggregations of an expression other groups.
type grouper struct {
	by    []string
	worst parser.ItemType
	wrap  func(parser.Expr) parser.Expr // of what is aggregated
}

// of regroups e; what is not aggregated at all is aggregated by op.
func (g grouper) of(e parser.Expr, op parser.ItemType) (parser.Expr, bool) {
	if !aggregated(e) {
		return &parser.AggregateExpr{Op: op, Grouping: g.by, Expr: unparen(g.wrap(unchosen(e)))}, true
	}
	return g.walk(e)
}

// unchosen strips topk and bottomk: the members they choose among.
func unchosen(e parser.Expr) parser.Expr {
	n, ok := unparen(e).(*parser.AggregateExpr)
	if ok && (n.Op == parser.TOPK || n.Op == parser.BOTTOMK) {
		return unchosen(n.Expr)
	}
	return e
}

func (g grouper) walk(e parser.Expr) (parser.Expr, bool) {
	switch n := e.(type) {
	case *parser.ParenExpr:
		inner, ok := g.walk(n.Expr)
		return &parser.ParenExpr{Expr: inner}, ok
	case *parser.UnaryExpr:
		inner, ok := g.walk(n.Expr)
		return &parser.UnaryExpr{Op: n.Op, Expr: inner}, ok
	case *parser.AggregateExpr:
		return g.aggregate(n)
	case *parser.SubqueryExpr:
		inner, ok := g.walk(n.Expr)
		c := *n
		c.Expr = wrapped(inner)
		return &c, ok
	case *parser.BinaryExpr:
		return g.binary(n)
	case *parser.Call:
		c := *n
		c.Args = slices.Clone(n.Args)
		for i, arg := range n.Args {
			if !aggregated(arg) || n.Func.Name == "scalar" {
				continue
			}
			inner, ok := g.walk(arg)
			if !ok {
				return nil, false
			}
			c.Args[i] = inner
		}
		return &c, true
	}
	return e, e.Type() == parser.ValueTypeScalar
}

func (g grouper) aggregate(n *parser.AggregateExpr) (parser.Expr, bool) {
	if n.Op == parser.TOPK || n.Op == parser.BOTTOMK {
		return g.walk(n.Expr)
	}
	if n.Op == parser.COUNT_VALUES {
		return nil, false
	}
	c := *n
	c.Without, c.Grouping = false, slices.Clone(g.by)
	edges := slices.Contains(n.Grouping, labels.BucketLabel) != n.Without
	if edges && strings.HasSuffix(metric(n), "_bucket") {
		c.Grouping = append(c.Grouping, labels.BucketLabel)
	}
	c.Expr = unparen(g.wrap(n.Expr))
	return &c, true
}

// binary regroups both sides, which then match by what they are grouped by. A
// member beside a group has no other group.
func (g grouper) binary(n *parser.BinaryExpr) (parser.Expr, bool) {
	c := *n
	ok, ok2 := true, true
	if _, fixed := constant(n.LHS); !fixed {
		c.LHS, ok = g.walk(n.LHS)
	}
	if _, fixed := constant(n.RHS); !fixed {
		c.RHS, ok2 = g.walk(n.RHS)
	}
	if c.VectorMatching != nil {
		card := parser.CardOneToOne
		if n.Op.IsSetOperator() {
			card = parser.CardManyToMany
		}
		c.VectorMatching = &parser.VectorMatching{Card: card}
	}
	return &c, ok && ok2
}

// Extreme returns a query for the k worst series of another, as the rule judges.
func (a *Alert) Extreme(query string, k int) string {
	var op parser.ItemType = parser.TOPK
	if a.Op.Falling() || a.Op == Equal && a.Threshold == 0 {
		op = parser.BOTTOMK
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return ""
	}
	return (&parser.AggregateExpr{Op: op, Param: &parser.NumberLiteral{Val: float64(k)}, Expr: e}).String()
}

// Aggregated returns a query for the number of a query's series (share below 0) or
// the value below which a share of them lies. "" is for what is no PromQL.
func Aggregated(query string, share float64) string {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return ""
	}
	out := &parser.AggregateExpr{Op: parser.COUNT, Expr: e}
	if share >= 0 {
		out.Op, out.Param = parser.QUANTILE, &parser.NumberLiteral{Val: share}
	}
	return out.String()
}

// Among narrows all selectors of a query to some values of labels.
func Among(query string, only ...Only) string {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return ""
	}
	for _, o := range only {
		e = narrowed(e, oneOf(o.Label, o.Values))
	}
	return e.String()
}

// Present returns a query for the number of series of which an absent() speaks, 0
// where there is none; "" for other conditions.
func (a *Alert) Present(p Population) string {
	if a.Shape != Absence || len(a.guards) > 0 {
		return ""
	}
	count := &parser.AggregateExpr{Op: parser.COUNT, Expr: a.source(p)}
	zero := call("vector", &parser.NumberLiteral{})
	return (&parser.BinaryExpr{Op: parser.LOR, LHS: count, RHS: zero, VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany}}).String()
}

// Unit guesses the unit of the shown side from the names of its metrics, and what
// its values are to be multiplied with to be in it: shares become percent.
func (a *Alert) Unit() (string, float64) {
	if a.Shape == Ratio || a.Shape == Histogram && a.native != nil && a.native.Func.Name == "histogram_fraction" {
		return "%", 100
	}
	if a.Shape == Histogram { // a quantile is in the unit of what is observed
		return measured(strings.TrimSuffix(metric(a.all), "_bucket")), 1
	}
	if n, ok := unparen(a.lhs).(*parser.BinaryExpr); ok && n.Op == parser.DIV {
		if a.Threshold > 0 && a.Threshold <= 1 && base(n.LHS) == base(n.RHS) {
			return "%", 100
		}
		return "", 1
	}
	return base(a.lhs), 1
}

// base is the unit of what is measured, by the first metric in e.
func base(e parser.Expr) string {
	list := selectors(e)
	if len(list) == 0 {
		return ""
	}
	name, fn := list[0].Name, function(e)
	for _, m := range list[0].LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			name = m.Value
		}
	}
	rate := slices.Contains([]string{"rate", "irate", "deriv"}, fn)
	unit := measured(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_total"), "_sum"))
	switch {
	case slices.Contains([]string{"count", "changes", "resets"}, fn):
		return ""
	case strings.HasSuffix(name, "_bucket"):
		return unit
	case rate && unit == "s": // seconds in each second
		return ""
	case rate && unit == "B":
		return "B/s"
	case rate:
		return "/s"
	}
	return unit
}

// measured is the unit that a metric's name ends with.
func measured(name string) string {
	for suffix, unit := range map[string]string{"_seconds": "s", "_bytes": "B", "_celsius": "°C"} {
		if strings.HasSuffix(name, suffix) {
			return unit
		}
	}
	return ""
}

// function is the innermost word that says how a metric is read.
func function(e parser.Expr) string {
	out := ""
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.Call:
			if slices.Contains([]string{"rate", "irate", "increase", "delta", "deriv", "changes", "resets"}, n.Func.Name) {
				out = n.Func.Name
			}
		case *parser.AggregateExpr:
			if n.Op == parser.COUNT && out == "" {
				out = "count"
			}
		}
		return nil
	})
	return out
}
