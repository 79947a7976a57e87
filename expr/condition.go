package expr

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"
)

// condition finds the comparison that decides and fills a from it.
func (a *Alert) condition(e parser.Expr) error {
	switch n := unparen(e).(type) {
	case *parser.BinaryExpr:
		switch {
		case n.Op == parser.LAND || n.Op == parser.LUNLESS || n.Op == parser.LOR:
			return a.conjunct(n)
		case n.Op.IsComparisonOperator():
			return a.comparison(n)
		}
	case *parser.AggregateExpr:
		a.begin(n)
		return a.condition(n.Expr) // sum by (job) (up == 0): fires where any member does
	case *parser.Call:
		switch n.Func.Name {
		case "absent", "absent_over_time":
			return fmt.Errorf("%w: %s() asks for what is not there; who was there before is not asked yet", ErrNoPopulation, n.Func.Name)
		case "vector":
			return fmt.Errorf("%w: vector() fires always", ErrNoPopulation)
		}
	}
	if e.Type() != parser.ValueTypeVector {
		return fmt.Errorf("%w: %s has no members", ErrNoPopulation, e.Type())
	}
	return fmt.Errorf("%w: nothing is compared, every member fires", ErrNoPopulation)
}

// conjunct asks about the left arm: `and` and `unless` keep its labels and
// values, so the right arm is a guard. Where the left arm compares nothing
// (`up and errors > 5`) the right one is the condition.
func (a *Alert) conjunct(n *parser.BinaryExpr) error {
	err := a.condition(n.LHS)
	other := n.RHS
	if err != nil && n.Op == parser.LAND {
		second := &Alert{}
		if second.condition(n.RHS) != nil {
			return err
		}
		*a, err, other = *second, nil, n.LHS
	}
	if err == nil {
		a.Dropped = append(a.Dropped, n.Op.String()+" "+other.String())
	}
	return err
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
	case n.LHS.Type() != parser.ValueTypeVector || n.RHS.Type() != parser.ValueTypeVector:
		return fmt.Errorf("%w: the threshold is not a constant", ErrShape)
	}
	// a > 0.05 * b is a / b > 0.05, as long as b is not negative.
	factor, b := scaled(n.RHS)
	if factor <= 0 {
		return fmt.Errorf("%w: the threshold is a negative vector", ErrShape)
	}
	matching := *n.VectorMatching
	quotient := &parser.BinaryExpr{Op: parser.DIV, LHS: wrapped(n.LHS), RHS: wrapped(b), VectorMatching: &matching}
	return a.against(quotient, op, factor)
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
			return a.condition(n)
		case "histogram_quantile":
			if a.histogram(n) {
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

// own judges each member by its own value.
func (a *Alert) own() {
	a.Shape = Value
	if a.Op == Equal || a.Op == Differs {
		a.Shape = State
	}
}

func (a *Alert) binary(n *parser.BinaryExpr) error {
	switch {
	case n.Op.IsComparisonOperator():
		// (x > bool 5) == 1 says x > 5; x != 0 < 5 filters before it compares.
		if !n.ReturnBool || (a.Op.Holds(1, a.Threshold) && !a.Op.Holds(0, a.Threshold)) {
			op, threshold := a.Op, a.Threshold
			if n.ReturnBool {
				return a.comparison(n)
			}
			return a.against(n.LHS, op, threshold)
		}
		return fmt.Errorf("%w: a comparison of a comparison", ErrShape)
	case n.Op.IsSetOperator():
		op, threshold := a.Op, a.Threshold
		a.Dropped = append(a.Dropped, n.Op.String()+" "+n.RHS.String())
		return a.against(n.LHS, op, threshold)
	case n.Op == parser.DIV && a.counted(n):
		return nil
	case n.Op == parser.DIV && a.ratio(n):
		return nil
	}
	a.own()
	return nil
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
	switch n.Op {
	case parser.SUM:
		a.own()
		a.Shape, a.Additive = Value, true
		return nil
	case parser.AVG, parser.MIN, parser.MAX, parser.QUANTILE, parser.TOPK, parser.BOTTOMK:
		a.own()
		return nil
	case parser.COUNT, parser.GROUP, parser.COUNT_VALUES:
		return fmt.Errorf("%w: %s() counts members; who is missing is not asked yet", ErrNoPopulation, n.Op)
	}
	return fmt.Errorf("%w: %s() has no meaning for one member", ErrShape, n.Op)
}

// counted reads count(condition) / count(all) > share as the condition.
func (a *Alert) counted(n *parser.BinaryExpr) bool {
	num, ok := unparen(n.LHS).(*parser.AggregateExpr)
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

// counting returns the condition inside count(condition) or sum(bool condition).
func counting(n *parser.AggregateExpr) (parser.Expr, bool) {
	inner, ok := unparen(n.Expr).(*parser.BinaryExpr)
	if !ok || !inner.Op.IsComparisonOperator() {
		return nil, false
	}
	return inner, (n.Op == parser.COUNT && !inner.ReturnBool) || (n.Op == parser.SUM && inner.ReturnBool) ||
		(n.Op == parser.AVG && inner.ReturnBool)
}
