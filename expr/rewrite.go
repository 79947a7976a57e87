package expr

import (
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// rewrite builds new trees; the parsed one is never changed.
type rewrite struct {
	hard, soft map[string]string // labels to narrow selectors by
	made       []string          // labels that the expression itself makes
	drop       []string          // labels to aggregate away
	verbatim   bool              // keep aggregations as they are
	counting   bool              // bare event counters: aggregations fall away, irate becomes rate
}

// member re-asks e per member.
func (r *rewrite) member(e parser.Expr) parser.Expr {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return &parser.ParenExpr{Expr: unparen(r.member(n.Expr))}
	case *parser.UnaryExpr:
		return &parser.UnaryExpr{Op: n.Op, Expr: wrapped(r.member(n.Expr))}
	case *parser.AggregateExpr:
		return r.aggregate(n)
	case *parser.BinaryExpr:
		return r.binary(n)
	case *parser.Call:
		return r.call(n)
	case *parser.MatrixSelector:
		c := *n
		c.VectorSelector = r.member(n.VectorSelector)
		return &c
	case *parser.SubqueryExpr:
		c := *n
		c.Expr = wrapped(r.member(n.Expr))
		return &c
	case *parser.VectorSelector:
		return r.selector(n)
	}
	return e
}

func (r *rewrite) aggregate(n *parser.AggregateExpr) parser.Expr {
	c := *n
	c.Expr = r.member(n.Expr)
	switch {
	case r.verbatim:
		return &c
	case r.counting || len(r.drop) == 0:
		return wrapped(unparen(c.Expr))
	}
	switch n.Op {
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX:
		c.Without, c.Grouping = true, r.drop
		return &c
	}
	return wrapped(unparen(c.Expr)) // topk, quantile …: they choose or mix members, each of which is asked for
}

func (r *rewrite) binary(n *parser.BinaryExpr) parser.Expr {
	c := *n
	switch {
	case r.verbatim:
	case n.Op == parser.LAND || n.Op == parser.LUNLESS:
		return r.member(n.LHS)
	case n.Op == parser.LOR:
		if rest := unfilled(n); rest != parser.Expr(n) {
			return r.member(rest)
		}
	case n.Op.IsComparisonOperator() && !n.ReturnBool && n.LHS.Type() == parser.ValueTypeVector:
		return r.member(n.LHS) // a filter leaves out the healthy
	case n.VectorMatching != nil && aggregated(n.LHS) && aggregated(n.RHS):
		// Both sides lose the grouping they were matched on: members match by all their labels.
		c.VectorMatching = &parser.VectorMatching{Card: parser.CardOneToOne}
	case n.VectorMatching != nil && (aggregated(n.LHS) || aggregated(n.RHS)):
		// One side alone cannot lose its grouping: its groups are the members.
		v := *r
		v.verbatim = true
		return v.binary(n)
	}
	c.LHS, c.RHS = r.member(n.LHS), r.member(n.RHS)
	return &c
}

func (r *rewrite) call(n *parser.Call) parser.Expr {
	c := *n
	inner := r
	if n.Func.Name == "scalar" { // a yardstick, not a population
		v := *r
		v.verbatim = true
		inner = &v
	}
	if r.counting && n.Func.Name == "irate" { // two samples are too few to judge by
		f := *n.Func
		f.Name = "rate"
		c.Func = &f
	}
	c.Args = make(parser.Expressions, len(n.Args))
	for i, a := range n.Args {
		c.Args[i] = inner.member(a)
	}
	return &c
}

// selector narrows one selector by labels that it does not fix itself.
func (r *rewrite) selector(n *parser.VectorSelector) parser.Expr {
	var add []*labels.Matcher
	for _, name := range slices.Sorted(maps.Keys(r.hard)) {
		if r.open(n, name) {
			add = append(add, equal(name, r.hard[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.soft)) {
		if v := r.soft[name]; r.open(n, name) && utf8.ValidString(v) {
			add = append(add, oneOf(name, []string{v, ""}))
		}
	}
	c := *n
	c.LabelMatchers = slices.Concat(n.LabelMatchers, add)
	return &c
}

// open reports whether a selector may be narrowed by a label: the name can be
// written, the selector does not fix it, and the expression does not make it.
func (r *rewrite) open(n *parser.VectorSelector, name string) bool {
	if name == "" || name == model.MetricNameLabel || !utf8.ValidString(name) || slices.Contains(r.made, name) {
		return false
	}
	return !slices.ContainsFunc(n.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name == name && m.Type == labels.MatchEqual
	})
}

// narrowed adds one matcher to every selector under e.
func narrowed(e parser.Expr, m *labels.Matcher) parser.Expr {
	r := narrower{m}
	return r.walk(e)
}

type narrower struct{ m *labels.Matcher }

func (r narrower) walk(e parser.Expr) parser.Expr {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return &parser.ParenExpr{Expr: r.walk(n.Expr)}
	case *parser.UnaryExpr:
		return &parser.UnaryExpr{Op: n.Op, Expr: r.walk(n.Expr)}
	case *parser.AggregateExpr:
		c := *n
		c.Expr = r.walk(n.Expr)
		return &c
	case *parser.BinaryExpr:
		c := *n
		c.LHS, c.RHS = r.walk(n.LHS), r.walk(n.RHS)
		return &c
	case *parser.Call:
		c := *n
		c.Args = make(parser.Expressions, len(n.Args))
		for i, a := range n.Args {
			c.Args[i] = r.walk(a)
		}
		return &c
	case *parser.MatrixSelector:
		c := *n
		c.VectorSelector = r.walk(n.VectorSelector)
		return &c
	case *parser.SubqueryExpr:
		c := *n
		c.Expr = r.walk(n.Expr)
		return &c
	case *parser.VectorSelector:
		c := *n
		c.LabelMatchers = append(slices.Clone(n.LabelMatchers), r.m)
		return &c
	}
	return e
}
