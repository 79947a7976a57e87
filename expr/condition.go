package expr

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// condition finds the comparison that decides and fills a from it.
func (a *Alert) condition(e parser.Expr) error {
	switch n := unparen(e).(type) {
	case *parser.BinaryExpr:
		switch {
		case n.Op == parser.LOR:
			return a.alternatives(n)
		case n.Op == parser.LAND || n.Op == parser.LUNLESS:
			return a.conjunct(n)
		case n.Op.IsComparisonOperator():
			return a.comparison(n)
		}
	case *parser.AggregateExpr:
		a.begin(n)
		return a.condition(n.Expr) // sum by (job) (up == 0): fires where any member does
	case *parser.Call:
		return a.called(n)
	}
	if e.Type() != parser.ValueTypeVector {
		return fmt.Errorf("%w: %s has no members", ErrNoPopulation, e.Type())
	}
	return fmt.Errorf("%w: nothing is compared, every member fires", ErrNoPopulation)
}

// called is a condition whose outermost word is a function.
func (a *Alert) called(n *parser.Call) error {
	switch n.Func.Name {
	case "absent", "absent_over_time":
		return a.absent(n.Args[0])
	case "vector":
		return fmt.Errorf("%w: vector() fires always", ErrNoPopulation)
	case "sort", "sort_desc", "label_replace", "label_join":
		a.begin(n)
		return a.condition(n.Args[0])
	}
	return fmt.Errorf("%w: nothing is compared, every member fires", ErrNoPopulation)
}

// absent asks who was there before. What is absent only where no member is as
// it should be (`absent(up == 1)`) asks who is not.
func (a *Alert) absent(e parser.Expr) error {
	inner := unparen(e)
	if m, ok := inner.(*parser.MatrixSelector); ok {
		inner = m.VectorSelector
	}
	if s, ok := inner.(*parser.SubqueryExpr); ok {
		inner = s.Expr
	}
	if c, ok := unparen(inner).(*parser.BinaryExpr); ok && c.Op.IsComparisonOperator() {
		if err := a.comparison(c); err != nil {
			return err
		}
		a.Op = a.Op.negated()
		return nil
	}
	a.begin(inner)
	a.Shape, a.Op, a.lhs = Absence, Above, inner
	return nil
}

// comparison sorts a comparison into lhs Op threshold.
func (a *Alert) comparison(n *parser.BinaryExpr) error {
	op := Op(n.Op.String())
	left, leftConst := constant(n.LHS)
	right, rightConst := constant(n.RHS)
	switch {
	case leftConst && rightConst:
		return fmt.Errorf("%w: two constants are compared", ErrNoPopulation)
	case rightConst:
		return a.against(n.LHS, op, right)
	case leftConst:
		return a.against(n.RHS, op.mirrored(), left)
	case n.LHS.Type() != parser.ValueTypeVector && n.RHS.Type() != parser.ValueTypeVector:
		return fmt.Errorf("%w: two numbers are compared", ErrNoPopulation)
	case n.LHS.Type() != parser.ValueTypeVector || n.RHS.Type() != parser.ValueTypeVector:
		if additive(n.LHS) || additive(n.RHS) {
			return fmt.Errorf("%w: the threshold of a sum is not a constant", ErrShape)
		}
		return a.against(difference(n), op, 0) // x > scalar(y) is x - scalar(y) > 0
	}
	// a > 0.05 * b is a / b > 0.05, as long as b is not negative.
	factor, b := scaled(n.RHS)
	if factor <= 0 {
		return a.against(difference(n), op, 0)
	}
	matching := *n.VectorMatching
	quotient := &parser.BinaryExpr{Op: parser.DIV, LHS: wrapped(n.LHS), RHS: wrapped(b), VectorMatching: &matching}
	return a.against(quotient, op, factor)
}

func difference(n *parser.BinaryExpr) parser.Expr {
	c := parser.BinaryExpr{Op: parser.SUB, LHS: wrapped(n.LHS), RHS: wrapped(n.RHS)}
	if n.VectorMatching != nil {
		matching := *n.VectorMatching
		c.VectorMatching = &matching
	}
	return &c
}

// against moves constants of the left-hand side to the threshold and sorts what
// remains by its shape.
func (a *Alert) against(e parser.Expr, op Op, threshold float64) error {
	a.begin(e)
	e, op, threshold = moved(e, op, threshold)
	a.lhs, a.Op, a.Threshold = e, op, threshold
	switch n := unparen(e).(type) {
	case *parser.BinaryExpr:
		return a.binary(n)
	case *parser.AggregateExpr:
		return a.aggregate(n)
	case *parser.Call:
		switch n.Func.Name {
		case "absent", "absent_over_time", "vector":
			return a.called(n)
		case "histogram_quantile", "histogram_fraction":
			if a.histogram(n) {
				return nil
			}
		case "avg_over_time", "max_over_time", "min_over_time", "last_over_time", "quantile_over_time":
			if a.overTime(n) {
				return nil
			}
		}
	}
	if e.Type() != parser.ValueTypeVector {
		return fmt.Errorf("%w: %s has no members", ErrNoPopulation, e.Type())
	}
	a.own()
	return nil
}

// begin keeps the outermost expression that is judged.
func (a *Alert) begin(e parser.Expr) {
	if a.whole == nil {
		a.whole = e
	}
}

// own judges each member by its own value, or all of a sum together.
func (a *Alert) own() {
	a.Shape, a.Additive = Value, additive(a.lhs)
	if (a.Op == Equal || a.Op == Differs) && !a.Additive {
		a.Shape = State
	}
}

// overTime reads a ratio or quantile of events through a subquery: its average
// over a time is that of the time's events, its other values are taken now.
func (a *Alert) overTime(n *parser.Call) bool {
	sub, ok := unparen(n.Args[len(n.Args)-1]).(*parser.SubqueryExpr)
	if !ok || sub.OriginalOffset != 0 || sub.Timestamp != nil || sub.StartOrEnd != 0 {
		return false
	}
	b := a.fork()
	if b.against(sub.Expr, a.Op, a.Threshold) != nil || !b.events() {
		return false
	}
	if n.Func.Name == "avg_over_time" && sub.Range > b.window {
		b.window, b.longer = sub.Range, sub.Range
	}
	*a = *b
	return true
}

func (a *Alert) binary(n *parser.BinaryExpr) error {
	switch {
	case n.Op.IsComparisonOperator():
		return a.compared(n)
	case n.Op == parser.LOR:
		if rest := unfilled(n); rest != parser.Expr(n) {
			return a.against(rest, a.Op, a.Threshold)
		}
	case n.Op.IsSetOperator():
		op, threshold := a.Op, a.Threshold
		if err := a.against(n.LHS, op, threshold); err != nil {
			return err
		}
		if !a.guarded(n) {
			a.Dropped = append(a.Dropped, n.Op.String()+" "+n.RHS.String())
		}
		return nil
	case n.Op == parser.DIV:
		if a.counted(n) || a.meant(n) || a.ratio(n) || a.excess(n) {
			return nil
		}
	}
	a.own()
	return nil
}

// compared is a comparison of a comparison: (x > bool 5) == 1 says x > 5, and
// x != 0 < 5 filters before it compares.
func (a *Alert) compared(n *parser.BinaryExpr) error {
	op, threshold := a.Op, a.Threshold
	if !n.ReturnBool {
		e := n.LHS
		if _, ok := constant(e); ok {
			e = n.RHS
		}
		return a.against(e, op, threshold)
	}
	fires, calm := op.Holds(1, threshold), op.Holds(0, threshold)
	if fires == calm {
		return fmt.Errorf("%w: a comparison of a comparison", ErrShape)
	}
	err := a.comparison(n)
	if calm {
		a.Op = a.Op.negated()
	}
	return err
}

// aggregate sorts a left-hand side whose outermost word is an aggregation.
func (a *Alert) aggregate(n *parser.AggregateExpr) error {
	if inner, ok := counting(n); ok {
		falling := a.Op.Falling()
		if err := a.condition(inner); err != nil {
			return err
		}
		if falling { // count(up == 1) < 3: those that are not counted are missed
			a.Op = a.Op.negated()
		}
		return nil
	}
	if a.regrouped(n) {
		return nil
	}
	switch n.Op {
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.QUANTILE, parser.TOPK, parser.BOTTOMK:
		a.own()
		return nil
	case parser.COUNT, parser.GROUP:
		if n.Op == parser.COUNT && (a.Op.Falling() || (a.Op == Equal && a.Threshold == 0)) { // too few are left: who was there before?
			return a.absent(n.Expr)
		}
		return fmt.Errorf("%w: %s() counts members, and there are too many", ErrNoPopulation, n.Op)
	case parser.COUNT_VALUES:
		return fmt.Errorf("%w: %s() counts values", ErrNoPopulation, n.Op)
	}
	return fmt.Errorf("%w: %s() has no meaning for one member", ErrShape, n.Op)
}

// regrouped reads sum by (a) (ratio by (a, b)) as the ratio: of a recorded
// ratio that is how its labels are cut down.
func (a *Alert) regrouped(n *parser.AggregateExpr) bool {
	if !slices.Contains([]parser.ItemType{parser.SUM, parser.AVG, parser.MIN, parser.MAX}, n.Op) || !aggregated(n.Expr) {
		return false
	}
	b := a.fork()
	if b.against(n.Expr, a.Op, a.Threshold) != nil || !b.events() {
		return false
	}
	*a = *b
	return true
}

// counted reads count(condition) / count(all) > share as the condition.
func (a *Alert) counted(n *parser.BinaryExpr) bool {
	num, ok := unparen(unfilled(n.LHS)).(*parser.AggregateExpr)
	if !ok {
		return false
	}
	if _, ok := counting(num); !ok {
		return false
	}
	b := *a
	if b.aggregate(num) != nil {
		return false
	}
	*a = b
	return true
}

// meant reads sum(x) / count(x) as the mean of x.
func (a *Alert) meant(n *parser.BinaryExpr) bool {
	sum, ok := unparen(n.LHS).(*parser.AggregateExpr)
	count, ok2 := unparen(n.RHS).(*parser.AggregateExpr)
	if !ok || !ok2 || sum.Op != parser.SUM || count.Op != parser.COUNT ||
		unparen(sum.Expr).String() != unparen(count.Expr).String() {
		return false
	}
	mean := *sum
	mean.Op = parser.AVG
	a.lhs = &mean
	a.own()
	return true
}

// excess reads sum(x) / sum(y) > t as sum(x - t*y) > 0: so each member has its
// part in what is too much, be it large or small.
func (a *Alert) excess(n *parser.BinaryExpr) bool {
	den := unfilled(n.RHS)
	if !additive(n.LHS) || !additive(den) || !(a.Threshold > 0) || math.IsInf(a.Threshold, 0) || a.Op == Equal || a.Op == Differs {
		return false
	}
	matching := *n.VectorMatching
	allowed := &parser.BinaryExpr{Op: parser.MUL, LHS: &parser.NumberLiteral{Val: a.Threshold}, RHS: wrapped(den)}
	a.lhs = &parser.BinaryExpr{Op: parser.SUB, LHS: wrapped(n.LHS), RHS: allowed, VectorMatching: &matching}
	a.Threshold = 0
	a.own()
	return true
}

// counting returns the condition inside count(condition) or sum(bool condition).
func counting(n *parser.AggregateExpr) (parser.Expr, bool) {
	inner, ok := unparen(n.Expr).(*parser.BinaryExpr)
	if !ok || !inner.Op.IsComparisonOperator() {
		return nil, false
	}
	return inner, (n.Op == parser.COUNT && !inner.ReturnBool) || (n.Op == parser.SUM && inner.ReturnBool) ||
		(n.Op == parser.AVG && inner.ReturnBool)
}

// additive reports whether e is a sum over members, be it looked at through
// functions of time.
func additive(e parser.Expr) bool {
	switch n := unparen(e).(type) {
	case *parser.AggregateExpr:
		return n.Op == parser.SUM
	case *parser.SubqueryExpr:
		return additive(n.Expr)
	case *parser.BinaryExpr:
		switch n.Op {
		case parser.ADD, parser.SUB:
			return additive(n.LHS) && additive(n.RHS)
		case parser.MUL:
			f, rest := scaled(n)
			return f > 0 && rest != parser.Expr(n) && additive(rest)
		case parser.LOR:
			rest := unfilled(n)
			return rest != parser.Expr(n) && additive(rest)
		}
	case *parser.Call:
		through := []string{
			"avg_over_time", "max_over_time", "min_over_time", "last_over_time", "quantile_over_time",
			"label_replace", "label_join", "sort", "sort_desc", "deriv", "delta", "predict_linear",
		}
		return slices.Contains(through, n.Func.Name) && slices.ContainsFunc(n.Args, additive)
	}
	return false
}
