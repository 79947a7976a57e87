package expr

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxArms bounds the alternatives of an `or` that are asked about.
const maxArms = 4

// fork starts an arm of a condition: inside the same aggregation, if any.
func (a *Alert) fork() *Alert { return &Alert{whole: a.whole} }

// alternatives takes every arm of an `or`: which of them fired, only the
// answers can tell.
func (a *Alert) alternatives(n *parser.BinaryExpr) error {
	var arms []*Alert
	var first error
	for _, e := range armsOf(n) {
		arm := a.fork()
		if err := arm.condition(e); err != nil || len(arms) == maxArms {
			if first == nil {
				first = err
			}
			a.Dropped = append(a.Dropped, "or "+e.String())
			continue
		}
		arms = append(arms, arm)
	}
	if len(arms) == 0 {
		return first
	}
	dropped := a.Dropped
	*a = *arms[0]
	a.Dropped = append(a.Dropped, dropped...)
	for _, arm := range arms[1:] {
		a.Or = append(append(a.Or, arm), arm.Or...)
		arm.Or = nil
	}
	return nil
}

func armsOf(e parser.Expr) []parser.Expr {
	n, ok := unparen(e).(*parser.BinaryExpr)
	if !ok || n.Op != parser.LOR {
		return []parser.Expr{e}
	}
	return append(armsOf(n.LHS), armsOf(n.RHS)...)
}

// conjunct finds the arm of an `and` or `unless` that says what is wrong. Both
// keep the labels and values of the left, so the right is a guard, unless the
// left compares nothing (`up and errors > 5`), the left only asks for traffic,
// or the right is the same over a shorter window, which sees a fault first.
func (a *Alert) conjunct(n *parser.BinaryExpr) error {
	left, right := a.fork(), a.fork()
	errLeft, errRight := left.condition(n.LHS), ErrNoPopulation
	if n.Op == parser.LAND {
		errRight = right.condition(n.RHS)
	}
	switch {
	case errLeft != nil && n.Op == parser.LUNLESS && a.without(n):
		return nil
	case errLeft != nil && errRight != nil:
		return errLeft
	case errLeft != nil || (errRight == nil && right.decides(left)):
		*a = *right
		a.Dropped = append(a.Dropped, n.Op.String()+" "+n.LHS.String())
	default:
		*a = *left
		if !a.guarded(n) {
			a.Dropped = append(a.Dropped, n.Op.String()+" "+n.RHS.String())
		}
		// `up == 1 unless on (instance) session` is about those without a session,
		// `up == 0 unless on (instance) maintenance` about those that are down: which
		// of both, only the answers can tell.
		if other := a.fork(); n.Op == parser.LUNLESS && a.Shape == State && bare(n.RHS) && other.without(n) {
			a.Or = append(a.Or, other)
		}
	}
	return nil
}

// bare reports whether e is a metric and nothing else.
func bare(e parser.Expr) bool {
	_, ok := unparen(e).(*parser.VectorSelector)
	return ok
}

// without reads `a unless b`, nothing compared: those of a that have no b.
func (a *Alert) without(n *parser.BinaryExpr) bool {
	if n.LHS.Type() != parser.ValueTypeVector || n.RHS.Type() != parser.ValueTypeVector {
		return false
	}
	a.begin(n.LHS)
	a.Shape, a.Op, a.lhs = Absence, Above, n.LHS
	a.guards = append(a.guards, n)
	return true
}

// decides reports whether the right arm of an `and` tells more than the left.
func (a *Alert) decides(left *Alert) bool {
	if events := a.events(); events != left.events() {
		return events
	}
	mine, theirs := span(a.lhs), span(left.lhs)
	return a.Shape == left.Shape && a.Threshold != 0 && mine > 0 && mine < theirs &&
		slices.Equal(metrics(a.lhs), metrics(left.lhs))
}

// events reports whether bad events are counted.
func (a *Alert) events() bool { return a.Shape == Ratio || a.Shape == Histogram }

// guarded keeps a guard that says which members the rule is about at all, such
// as `and on (device) readonly == 0`, member by member. One that compares what
// the rule itself compares would leave out the healthy, and is dropped.
func (a *Alert) guarded(n *parser.BinaryExpr) bool {
	if a.events() && !n.VectorMatching.On || a.whole == nil || aggregated(a.whole) || aggregated(n.RHS) {
		return false
	}
	about := metrics(a.lhs)
	apart := !slices.ContainsFunc(metrics(n.RHS), func(m string) bool { return slices.Contains(about, m) })
	eligible := apart // bare: `and on (node) some_info`
	if c, ok := unparen(n.RHS).(*parser.BinaryExpr); ok && n.Op == parser.LAND {
		bound, fixed := constant(c.RHS)
		switch {
		case c.Op == parser.EQLC || c.Op == parser.NEQ:
			eligible = fixed && apart || fixed && c.Op == parser.NEQ && bound == 0
		case c.Op == parser.GTR:
			eligible = fixed && bound == 0
		case c.Op.IsComparisonOperator():
			eligible = false
		}
	}
	if eligible {
		a.guards = append(a.guards, n)
	}
	return eligible
}

// span is the longest range that e looks back over, 0 for none.
func span(e parser.Expr) time.Duration {
	longest := time.Duration(0)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			longest = max(longest, n.Range)
		case *parser.SubqueryExpr:
			longest = max(longest, n.Range)
		}
		return nil
	})
	return longest
}

// metrics are the names of the metrics under e, sorted.
func metrics(e parser.Expr) []string {
	var out []string
	for _, s := range selectors(e) {
		out = append(out, nameOf(s))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func nameOf(s *parser.VectorSelector) string {
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return s.Name
}
