package expr

import (
	"maps"
	"slices"
	"strconv"
	"time"
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
	counting   bool              // bare event counters: aggregations and fillers fall away, irate becomes rate
	longer     time.Duration     // read counters over this range; 0 for the rule's own
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
		if r.longer > 0 {
			c.Range, c.RangeExpr = r.longer, nil
		}
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
	switch {
	case r.verbatim:
		c.Expr = r.member(n.Expr)
		return &c
	case n.Op != parser.SUM && len(outermost(n.Expr)) > 0 && additive(n.Expr):
		// max by (a) (sum by (a, b) (x)): the sums are what is compared
		v := *r
		v.verbatim = true
		return v.member(unparen(n.Expr))
	}
	c.Expr = r.member(n.Expr)
	if r.counting || len(r.drop) == 0 {
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
	case n.VectorMatching == nil || !aggregated(n):
	case (n.Op == parser.ADD || n.Op == parser.SUB) && additive(n):
		return r.plus(n)
	case aggregated(n.LHS) && aggregated(n.RHS) && !mixes(n.LHS) && !mixes(n.RHS):
		// Both sides lose the grouping they were matched on: members match by all their labels.
		c.VectorMatching = &parser.VectorMatching{Card: parser.CardOneToOne}
	default:
		// One side alone cannot lose its grouping: its groups are the members.
		v := *r
		v.verbatim = true
		return v.binary(labelled(n))
	}
	c.LHS, c.RHS = r.member(n.LHS), r.member(n.RHS)
	return &c
}

// PartLabel tells apart the parts of one question.
const PartLabel = "tocsin_part"

// plus adds or subtracts two sums member by member, where either may have no series.
func (r *rewrite) plus(n *parser.BinaryExpr) parser.Expr {
	var all parser.Expr
	for i, e := range r.addends(n, 1) {
		part := call("label_replace", e, text(PartLabel), text(strconv.Itoa(i)), text(""), text(""))
		if all == nil {
			all = part
			continue
		}
		all = &parser.BinaryExpr{Op: parser.LOR, LHS: all, RHS: part, VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany}}
	}
	return &parser.AggregateExpr{Op: parser.SUM, Without: true, Grouping: union(r.drop, []string{PartLabel}), Expr: all}
}

// addends are the members of every sum in n, times factor.
func (r *rewrite) addends(e parser.Expr, factor float64) []parser.Expr {
	f, rest := scaled(unparen(unfilled(e)))
	factor *= f
	rest = unparen(unfilled(rest))
	if n, ok := rest.(*parser.BinaryExpr); ok && (n.Op == parser.ADD || n.Op == parser.SUB) {
		sign := 1.0
		if n.Op == parser.SUB {
			sign = -1
		}
		return append(r.addends(n.LHS, factor), r.addends(n.RHS, factor*sign)...)
	}
	member := r.member(rest)
	if factor == 1 {
		return []parser.Expr{member}
	}
	return []parser.Expr{&parser.BinaryExpr{Op: parser.MUL, LHS: &parser.NumberLiteral{Val: factor}, RHS: wrapped(member)}}
}

func text(s string) parser.Expr { return &parser.StringLiteral{Val: s} }

// mixes reports whether an aggregation under e makes a number that no member
// has: a count, a deviation.
func mixes(e parser.Expr) bool {
	known := []parser.ItemType{parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.QUANTILE, parser.TOPK, parser.BOTTOMK}
	return slices.ContainsFunc(outermost(e), func(n *parser.AggregateExpr) bool { return !slices.Contains(known, n.Op) })
}

// labelled keeps the labels of the side that is not aggregated.
func labelled(n *parser.BinaryExpr) *parser.BinaryExpr {
	if n.VectorMatching == nil || !n.VectorMatching.On || n.VectorMatching.Card != parser.CardOneToOne || n.Op.IsSetOperator() {
		return n
	}
	c, m := *n, *n.VectorMatching
	switch {
	case !aggregated(n.LHS):
		m.Card = parser.CardManyToOne
	case !aggregated(n.RHS):
		m.Card = parser.CardOneToMany
	}
	c.VectorMatching = &m
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
	if rest := unfilled(n); r.counting && rest != parser.Expr(n) {
		return r.member(rest)
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
