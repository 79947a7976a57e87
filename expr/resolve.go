package expr

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxLevels bounds how deep recording rules are followed.
const maxLevels = 8

// Recording is a recording rule.
type Recording struct {
	Expr     string
	Labels   map[string]string // that the rule sets
	Interval time.Duration     // between its evaluations; 0 when not known
}

// Metrics returns the names of the metrics that text reads, sorted; nil where it
// cannot be read.
func Metrics(text string) []string {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return nil
	}
	return metrics(e)
}

// Resolve replaces recorded series by the expressions that record them, level
// by level, so that the members behind them can be asked about. A series stays
// as it is where its rule is not known, is not the only one, reads itself or
// cannot be moved in time. Text that is no PromQL comes back unchanged.
func Resolve(text string, rules func(name string) []Recording) string {
	if len(text) > MaxBytes || nesting(text) > MaxDepth {
		return text
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil || depth(e, MaxDepth) > MaxDepth {
		return text
	}
	r := resolver{rules: rules}
	out := r.walk(e, nil)
	if !r.changed || depth(out, MaxDepth) > MaxDepth {
		return text
	}
	if resolved := out.String(); len(resolved) <= MaxBytes {
		return resolved
	}
	return text
}

type resolver struct {
	rules   func(name string) []Recording
	changed bool
	nodes   int
}

// walk returns a new tree; under are the recorded names that led here.
func (r *resolver) walk(e parser.Expr, under []string) parser.Expr {
	if r.nodes++; r.nodes > MaxBytes {
		return e
	}
	switch n := e.(type) {
	case *parser.ParenExpr:
		return &parser.ParenExpr{Expr: r.walk(n.Expr, under)}
	case *parser.UnaryExpr:
		return &parser.UnaryExpr{Op: n.Op, Expr: r.walk(n.Expr, under)}
	case *parser.AggregateExpr:
		c := *n
		c.Expr = r.walk(n.Expr, under)
		return &c
	case *parser.BinaryExpr:
		c := *n
		c.LHS, c.RHS = r.walk(n.LHS, under), r.walk(n.RHS, under)
		return &c
	case *parser.Call:
		c := *n
		c.Args = make(parser.Expressions, len(n.Args))
		for i, a := range n.Args {
			c.Args[i] = r.walk(a, under)
		}
		return &c
	case *parser.SubqueryExpr:
		c := *n
		c.Expr = r.walk(n.Expr, under)
		return &c
	case *parser.MatrixSelector:
		s, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return n
		}
		moved := *s
		moved.OriginalOffset = 0 // it is the range that is moved
		if inner, step, ok := r.selected(&moved, under); ok {
			return &parser.SubqueryExpr{Expr: inner, Range: n.Range, Step: step, OriginalOffset: s.OriginalOffset}
		}
	case *parser.VectorSelector:
		if inner, _, ok := r.selected(n, under); ok {
			return inner
		}
	}
	return e
}

// selected returns the expression behind one selector.
func (r *resolver) selected(s *parser.VectorSelector, under []string) (parser.Expr, time.Duration, bool) {
	name := nameOf(s)
	if name == "" || s.Timestamp != nil || s.StartOrEnd != 0 || len(under) >= maxLevels || slices.Contains(under, name) {
		return nil, 0, false
	}
	var rule *Recording
	for _, c := range r.rules(name) {
		switch {
		case !c.fits(s):
		case rule != nil && rule.Expr != c.Expr:
			return nil, 0, false // the series of several rules side by side
		default:
			rule = &c
		}
	}
	if rule == nil || len(rule.Expr) > MaxBytes || nesting(rule.Expr) > MaxDepth {
		return nil, 0, false
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil || e.Type() != parser.ValueTypeVector || depth(e, MaxDepth) > MaxDepth {
		return nil, 0, false
	}
	e = r.walk(e, append(slices.Clone(under), name))
	if !later(e, s.OriginalOffset) {
		return nil, 0, false
	}
	r.changed = true
	return &parser.ParenExpr{Expr: rule.narrowed(e, s)}, rule.Interval, true
}

// fits reports whether the rule's own labels are those that the selector asks for.
func (c *Recording) fits(s *parser.VectorSelector) bool {
	return !slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
		v, fixed := c.Labels[m.Name]
		return fixed && !m.Matches(v)
	})
}

// narrowed hands the selector's matchers on to what is recorded, but for labels
// that the rule makes and those that one side of a join may not have.
func (c *Recording) narrowed(e parser.Expr, s *parser.VectorSelector) parser.Expr {
	own := append(made(e), slices.Collect(maps.Keys(c.Labels))...)
	for _, m := range s.LabelMatchers {
		if m.Name != model.MetricNameLabel && !slices.Contains(own, m.Name) && shared(e, m.Name) {
			e = narrowed(e, m)
		}
	}
	return e
}

// shared reports whether both sides of every join in e are matched by a label.
func shared(e parser.Expr, name string) bool {
	ok := true
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if b, isBinary := n.(*parser.BinaryExpr); isBinary && b.VectorMatching != nil {
			ok = ok && slices.Contains(b.VectorMatching.MatchingLabels, name) == b.VectorMatching.On
		}
		return nil
	})
	return ok
}

// later moves every selector and subquery of e, which is ours, back in time. It
// reports false where one is pinned to a time.
func later(e parser.Expr, offset time.Duration) bool {
	if offset == 0 {
		return true
	}
	ok := true
	var walk func(parser.Node)
	walk = func(n parser.Node) {
		switch n := n.(type) {
		case *parser.VectorSelector:
			ok = ok && n.Timestamp == nil && n.StartOrEnd == 0
			n.OriginalOffset += offset
			return
		case *parser.SubqueryExpr:
			ok = ok && n.Timestamp == nil && n.StartOrEnd == 0
			n.OriginalOffset += offset // what is inside moves with it
			return
		}
		for c := range parser.ChildrenIter(n) {
			walk(c)
		}
	}
	walk(e)
	return ok
}
