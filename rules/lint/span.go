package lint

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

// span bounds the values that an expression can have, NaN aside.
type span struct{ low, high float64 }

func anything() span { return span{math.Inf(-1), math.Inf(1)} }

// empty reports whether there is no such value.
func (s span) empty() bool { return s.low > s.high }

// spanOf derives bounds from what functions promise, never from names.
func spanOf(e parser.Expr) span {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return spanOf(e.Expr)
	case *parser.StepInvariantExpr:
		return spanOf(e.Expr)
	case *parser.NumberLiteral:
		if math.IsNaN(e.Val) {
			return anything()
		}
		return span{e.Val, e.Val}
	case *parser.UnaryExpr:
		s := spanOf(e.Expr)
		if e.Op == parser.SUB {
			return span{-s.high, -s.low}
		}
		return s
	case *parser.AggregateExpr:
		return spanOfAggregate(e)
	case *parser.Call:
		return spanOfCall(e)
	case *parser.BinaryExpr:
		return spanOfBinary(e)
	}
	return anything()
}

func spanOfAggregate(e *parser.AggregateExpr) span {
	in := anything()
	switch e.Op {
	case parser.COUNT, parser.COUNT_VALUES:
		return span{1, math.Inf(1)}
	case parser.GROUP:
		return span{1, 1}
	case parser.STDDEV, parser.STDVAR:
		return span{0, math.Inf(1)}
	case parser.MIN, parser.MAX, parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return spanOf(e.Expr)
	case parser.SUM: // of at least one
		if s := spanOf(e.Expr); s.low >= 0 {
			in.low = s.low
		}
	}
	return in
}

func spanOfCall(e *parser.Call) span {
	inf := math.Inf(1)
	switch e.Func.Name {
	case "absent", "absent_over_time", "present_over_time":
		return span{1, 1}
	case "count_over_time":
		return span{1, inf}
	case "changes", "resets", "abs", "sqrt", "stddev_over_time", "stdvar_over_time", "stddev", "stdvar", "exp":
		return span{0, inf}
	case "sgn":
		return span{-1, 1}
	case "minute":
		return span{0, 59}
	case "hour":
		return span{0, 23}
	case "day_of_week":
		return span{0, 6}
	case "day_of_month":
		return span{1, 31}
	case "day_of_year":
		return span{1, 366}
	case "days_in_month":
		return span{28, 31}
	case "month":
		return span{1, 12}
	case "vector", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc", "label_replace", "label_join":
		if len(e.Args) > 0 {
			return spanOf(e.Args[0])
		}
	}
	return anything()
}

func spanOfBinary(e *parser.BinaryExpr) span {
	left, right := spanOf(e.LHS), spanOf(e.RHS)
	switch {
	case e.Op.IsComparisonOperator() && e.ReturnBool:
		return span{0, 1}
	case e.Op.IsComparisonOperator() && e.LHS.Type() == parser.ValueTypeScalar && e.RHS.Type() != parser.ValueTypeScalar:
		return right.cut(mirrored(e.Op), left)
	case e.Op.IsComparisonOperator() || e.Op == parser.LUNLESS:
		return left.cut(e.Op, right)
	case e.Op == parser.LAND:
		return left
	case e.Op == parser.LOR:
		return span{min(left.low, right.low), max(left.high, right.high)}
	case e.VectorMatching != nil && (e.VectorMatching.FillValues.LHS != nil || e.VectorMatching.FillValues.RHS != nil):
		return anything()
	case e.Op == parser.ADD && !left.empty() && !right.empty():
		return sound(left.low+right.low, left.high+right.high)
	case e.Op == parser.SUB && !left.empty() && !right.empty():
		return sound(left.low-right.high, left.high-right.low)
	case (e.Op == parser.MUL || e.Op == parser.DIV) && right.low == right.high && right.low > 0 && !math.IsInf(right.low, 0):
		if e.Op == parser.MUL {
			return sound(left.low*right.low, left.high*right.low)
		}
		return sound(left.low/right.low, left.high/right.low)
	}
	return anything()
}

func sound(low, high float64) span {
	if math.IsNaN(low) || math.IsNaN(high) {
		return anything()
	}
	return span{low, high}
}

// cut is what a comparison leaves. It errs to the wide side: a bound that is
// not reached itself is kept, but for what meets is so.
func (s span) cut(op parser.ItemType, by span) span {
	if s.never(op, by) {
		return span{1, 0}
	}
	switch op {
	case parser.GTR, parser.GTE:
		return span{max(s.low, by.low), s.high}
	case parser.LSS, parser.LTE:
		return span{s.low, min(s.high, by.high)}
	case parser.EQLC:
		return span{max(s.low, by.low), min(s.high, by.high)}
	}
	return s
}

// never reports whether no value of s compares so with any of by.
func (s span) never(op parser.ItemType, by span) bool {
	if s.empty() || by.empty() {
		return false // it is said where it becomes empty
	}
	switch op {
	case parser.GTR:
		return s.high <= by.low
	case parser.GTE:
		return s.high < by.low
	case parser.LSS:
		return s.low >= by.high
	case parser.LTE:
		return s.low > by.high
	case parser.EQLC:
		return s.high < by.low || s.low > by.high
	case parser.NEQ:
		return s.low == s.high && s == by
	}
	return false
}

// always reports whether every value of s compares so with every one of by.
func (s span) always(op parser.ItemType, by span) bool {
	if s.empty() || by.empty() {
		return false
	}
	switch op {
	case parser.GTR:
		return s.low > by.high
	case parser.GTE:
		return s.low >= by.high
	case parser.LSS:
		return s.high < by.low
	case parser.LTE:
		return s.high <= by.low
	case parser.NEQ:
		return s.high < by.low || s.low > by.high
	case parser.EQLC:
		return s.low == s.high && s == by
	}
	return false
}

func mirrored(op parser.ItemType) parser.ItemType {
	switch op {
	case parser.GTR:
		return parser.LSS
	case parser.GTE:
		return parser.LTE
	case parser.LSS:
		return parser.GTR
	case parser.LTE:
		return parser.GTE
	}
	return op
}
