package latency

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/expr"
)

// Condition is c: how long after a step fault an expression would be true on
// perfect data.
type Condition struct {
	Span
	Never bool   // a fault of this size never lifts it over its threshold
	Known bool   // the span follows from the expression; else it is what its windows bound
	Why   string // how it was derived, for people
}

// ConditionOf derives c for a fault that at once makes the share level (over 0,
// at most 1) of events bad: 1 is a total outage. Gauges are taken to step over
// their threshold.
//
//	a gauge, up == 0, absent()      0: then the next scrape is waited for
//	bad/all over W > share          (W-s)·share/level, burn rates and quantiles alike
//	avg_over_time(state[W])         W·share/level
//	a and b, a or b                 the later, the sooner
//	anything else over W            somewhere in 0..W: Known is false
//
// The formula of ratios is that of the SRE workbook's detection time, of the part
// of a window that a rate is taken from; scrape is the interval s of its series.
func ConditionOf(e parser.Expr, level float64, scrape time.Duration) Condition {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return ConditionOf(n.Expr, level, scrape)
	case *parser.StepInvariantExpr:
		return ConditionOf(n.Expr, level, scrape)
	case *parser.AggregateExpr:
		if b, ok := bare(n.Expr).(*parser.BinaryExpr); ok && (b.Op.IsSetOperator() || b.Op.IsComparisonOperator()) {
			return ConditionOf(b, level, scrape) // there is something to aggregate once it is true
		}
	case *parser.BinaryExpr:
		switch n.Op {
		case parser.LAND:
			return later(ConditionOf(n.LHS, level, scrape), ConditionOf(n.RHS, level, scrape))
		case parser.LOR:
			return sooner(ConditionOf(n.LHS, level, scrape), ConditionOf(n.RHS, level, scrape))
		case parser.LUNLESS:
			return ConditionOf(n.LHS, level, scrape)
		}
	}
	c := leaf(e, level, scrape)
	if moved := offset(e); moved > 0 {
		c.Span = c.Plus(Constant(moved))
		c.Why += fmt.Sprintf(", offset %s", model.Duration(moved))
	}
	return c
}

// later is a conjunction: both must have become true.
func later(a, b Condition) Condition {
	out := Condition{
		Span:  Span{max(a.Best, b.Best), max(a.Mean, b.Mean), max(a.Worst, b.Worst)},
		Never: a.Never || b.Never, Known: a.Known && b.Known, Why: a.Why,
	}
	switch {
	case a.Never != b.Never:
		if b.Never {
			out.Why = b.Why
		}
	case a.Known != b.Known:
		if !b.Known {
			out.Why = b.Why
		}
	case b.Mean > a.Mean:
		out.Why = b.Why
	}
	return out
}

// sooner is a disjunction: either is enough.
func sooner(a, b Condition) Condition {
	switch {
	case a.Never:
		return b
	case b.Never:
		return a
	}
	out := Condition{Span: Span{min(a.Best, b.Best), min(a.Mean, b.Mean), min(a.Worst, b.Worst)}, Known: a.Known && b.Known, Why: a.Why}
	if b.Mean < a.Mean {
		out.Why = b.Why
	}
	return out
}

// leaf is one comparison.
func leaf(e parser.Expr, level float64, scrape time.Duration) Condition {
	w := window(e)
	if w == 0 {
		return Condition{Known: true, Why: "a step is seen by the next scrape"}
	}
	if quick(e) {
		return Condition{Known: true, Why: "the first sample over the threshold is enough"}
	}
	if share, ok := averaged(e); ok {
		return lag(w, share, level)
	}
	a, err := expr.Parse(e.String())
	if err == nil && (a.Shape == expr.Ratio || a.Shape == expr.Histogram) && len(a.Or) == 0 {
		return lag(Rated(w, scrape), a.Share, level)
	}
	return Condition{
		Span: Uniform(w),
		Why:  fmt.Sprintf("cannot be derived from the expression: somewhere within its window of %s", model.Duration(w)),
	}
}

// Rated is how much of a window the samples in it span: one scrape interval less
// than the window. A rate is taken from these, and a ratio of two rates is that of
// their increases, so what is extrapolated cancels out.
func Rated(w, scrape time.Duration) time.Duration { return max(0, w-scrape) }

// Lag is how long a step fault to share level needs to lift the average over a
// window above a share: W·θ/L. ok is false where the fault never does.
func Lag(w time.Duration, share, level float64) (lag time.Duration, ok bool) {
	if level < share || level == share && share < 1 {
		return 0, false
	}
	return time.Duration(float64(w) * share / level), true
}

func lag(w time.Duration, share, level float64) Condition {
	share = max(0, share)
	c, fires := Lag(w, share, level)
	if !fires {
		return Condition{Known: true, Never: true, Why: fmt.Sprintf("a fault of %.4g %% stays under its %.4g %%", 100*level, 100*share)}
	}
	return Condition{
		Span: Constant(c), Known: true,
		Why: fmt.Sprintf("%.4g %% of %s at a fault of %.4g %%", 100*share, model.Duration(w), 100*level),
	}
}

// window is the longest range that an expression looks back over, through the
// subqueries around it.
func window(e parser.Expr) time.Duration {
	longest := time.Duration(0)
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		m, ok := n.(*parser.MatrixSelector)
		if s, is := n.(*parser.SubqueryExpr); is {
			longest = max(longest, s.Range)
		}
		if !ok {
			return nil
		}
		sum := m.Range
		for _, p := range path {
			if s, is := p.(*parser.SubqueryExpr); is {
				sum += s.Range
			}
		}
		longest = max(longest, sum)
		return nil
	})
	return longest
}

// offset is how far back an expression looks on purpose: the least of its
// selectors', as what is compared with an hour ago sees now as well.
func offset(e parser.Expr) time.Duration {
	least := time.Duration(-1)
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		sum := s.OriginalOffset
		for _, p := range path {
			if q, is := p.(*parser.SubqueryExpr); is {
				sum += q.OriginalOffset
			}
		}
		if sum = max(0, sum); least < 0 || sum < least {
			least = sum
		}
		return nil
	})
	return max(0, least)
}

// compared takes a comparison of a call over a window with a number apart:
// f(x[w]) op number, through aggregations that keep the worst member.
func compared(e parser.Expr) (call *parser.Call, op parser.ItemType, number float64, ok bool) {
	b, is := e.(*parser.BinaryExpr)
	if !is || !b.Op.IsComparisonOperator() {
		return nil, 0, 0, false
	}
	lit, is := bare(b.RHS).(*parser.NumberLiteral)
	if !is {
		return nil, 0, 0, false
	}
	lhs := bare(b.LHS)
	call, is = inside(lhs).(*parser.Call)
	return call, b.Op, lit.Val, is
}

// inside removes what leaves a member's value as it is: aggregations, and joins
// with series that are 1.
func inside(e parser.Expr) parser.Expr {
	for {
		switch n := bare(e).(type) {
		case *parser.AggregateExpr:
			if n.Op != parser.MAX && n.Op != parser.MIN && n.Op != parser.SUM {
				return n
			}
			e = n.Expr
		case *parser.BinaryExpr:
			if n.Op != parser.MUL || n.VectorMatching == nil || window(n.RHS) > 0 {
				return n
			}
			e = n.LHS
		default:
			return n
		}
	}
}

// bare removes brackets, and the sign of a negative number.
func bare(e parser.Expr) parser.Expr {
	for {
		switch n := e.(type) {
		case *parser.ParenExpr:
			e = n.Expr
		case *parser.StepInvariantExpr:
			e = n.Expr
		case *parser.UnaryExpr:
			lit, ok := bare(n.Expr).(*parser.NumberLiteral)
			if !ok || n.Op != parser.SUB {
				return e
			}
			return &parser.NumberLiteral{Val: -lit.Val}
		default:
			return e
		}
	}
}

// quick reports whether one sample inside the window decides: max_over_time
// over a number, min_over_time under one, any increase or change at all.
func quick(e parser.Expr) bool {
	call, op, number, ok := compared(e)
	if !ok {
		return false
	}
	above := op == parser.GTR || op == parser.GTE || op == parser.NEQ
	switch call.Func.Name {
	case "max_over_time":
		return above
	case "min_over_time":
		return op == parser.LSS || op == parser.LTE || op == parser.EQLC && number == 0
	case "increase", "rate", "irate", "delta", "changes", "resets":
		return number == 0 && (op == parser.GTR || op == parser.NEQ)
	case "last_over_time", "idelta":
		return true
	}
	return slices.Contains([]string{"count_over_time", "present_over_time"}, call.Func.Name) && number == 0 && op == parser.GTR
}

// averaged returns the share of a window that must be bad for the average of a
// 0/1 state: avg_over_time(up[5m]) < 0.9 is 0.1 of it. absent_over_time and the
// extreme that every sample must reach are all of it.
func averaged(e parser.Expr) (share float64, ok bool) {
	if call, is := bare(e).(*parser.Call); is && call.Func.Name == "absent_over_time" {
		return 1, true
	}
	call, op, number, ok := compared(e)
	if !ok {
		return 0, false
	}
	falls := op == parser.LSS || op == parser.LTE
	switch {
	case call.Func.Name == "absent_over_time":
		return 1, true
	case call.Func.Name == "min_over_time" && !falls, call.Func.Name == "max_over_time" && (falls || op == parser.EQLC):
		return 1, true
	case call.Func.Name == "avg_over_time" && state(call) && number >= 0 && number <= 1:
		if falls {
			return 1 - number, true
		}
		return number, true
	}
	return 0, false
}

// state reports whether a call is over a series that is 0 or 1 by its name.
func state(call *parser.Call) bool {
	m, ok := call.Args[0].(*parser.MatrixSelector)
	if !ok {
		return false
	}
	name := m.VectorSelector.(*parser.VectorSelector).Name
	return slices.Contains([]string{"up", "probe_success"}, name)
}
