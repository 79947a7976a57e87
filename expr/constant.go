package expr

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

func unparen(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}

// wrapped puts e in brackets where its operator might bind less than its
// neighbour: the printer of a tree adds none.
func wrapped(e parser.Expr) parser.Expr {
	switch e.(type) {
	case *parser.BinaryExpr, *parser.UnaryExpr:
		return &parser.ParenExpr{Expr: e}
	}
	return e
}

// constant folds arithmetic over numbers.
func constant(e parser.Expr) (float64, bool) {
	switch n := unparen(e).(type) {
	case *parser.NumberLiteral:
		return n.Val, true
	case *parser.UnaryExpr:
		v, ok := constant(n.Expr)
		if n.Op == parser.SUB {
			v = -v
		}
		return v, ok
	case *parser.BinaryExpr:
		l, lok := constant(n.LHS)
		r, rok := constant(n.RHS)
		if !lok || !rok {
			return 0, false
		}
		return arithmetic(n.Op, l, r)
	}
	return 0, false
}

func arithmetic(op parser.ItemType, l, r float64) (float64, bool) {
	switch op {
	case parser.ADD:
		return l + r, true
	case parser.SUB:
		return l - r, true
	case parser.MUL:
		return l * r, true
	case parser.DIV:
		return l / r, true
	case parser.POW:
		return math.Pow(l, r), true
	}
	return 0, false
}

// scaled splits constant factors off: 0.05 * x is 0.05 and x, sum(x * 100) is
// 100 and sum(x).
func scaled(e parser.Expr) (float64, parser.Expr) {
	switch n := unparen(e).(type) {
	case *parser.AggregateExpr:
		if f, rest := scaled(n.Expr); f != 1 && (n.Op == parser.SUM || n.Op == parser.AVG) {
			c := *n
			c.Expr = rest
			return f, &c
		}
	case *parser.BinaryExpr:
		l, lok := constant(n.LHS)
		r, rok := constant(n.RHS)
		switch {
		case n.Op == parser.MUL && lok:
			f, rest := scaled(n.RHS)
			return l * f, rest
		case n.Op == parser.MUL && rok:
			f, rest := scaled(n.LHS)
			return r * f, rest
		case n.Op == parser.DIV && rok:
			f, rest := scaled(n.LHS)
			return f / r, rest
		}
	}
	return 1, e
}

// moved carries additions and factors of e over to the threshold, so that
// 1 - good/all > 0.05 reads good/all < 0.95. A factor of zero stays.
func moved(e parser.Expr, op Op, threshold float64) (parser.Expr, Op, float64) {
	for {
		switch n := unparen(e).(type) {
		case *parser.UnaryExpr:
			e = n.Expr
			if n.Op == parser.SUB {
				op, threshold = op.mirrored(), -threshold
			}
			continue
		case *parser.Call:
			if slices.Contains([]string{"round", "sort", "sort_desc"}, n.Func.Name) {
				e = n.Args[0]
				continue
			}
		case *parser.BinaryExpr:
			if rest, o, t, ok := movedOne(n, op, threshold); ok {
				e, op, threshold = rest, o, t
				continue
			}
		}
		return e, op, threshold
	}
}

func movedOne(n *parser.BinaryExpr, op Op, threshold float64) (parser.Expr, Op, float64, bool) {
	l, lok := constant(n.LHS)
	r, rok := constant(n.RHS)
	factor := func(rest parser.Expr, f float64) (parser.Expr, Op, float64, bool) {
		if f < 0 {
			op = op.mirrored()
		}
		ok := f != 0 && !math.IsNaN(f) && !math.IsInf(f, 0)
		return rest, op, threshold / f, ok
	}
	switch {
	case n.Op == parser.ADD && rok:
		return n.LHS, op, threshold - r, true
	case n.Op == parser.ADD && lok:
		return n.RHS, op, threshold - l, true
	case n.Op == parser.SUB && rok:
		return n.LHS, op, threshold + r, true
	case n.Op == parser.SUB && lok:
		return n.RHS, op.mirrored(), l - threshold, true
	case n.Op == parser.MUL && rok:
		return factor(n.LHS, r)
	case n.Op == parser.MUL && lok:
		return factor(n.RHS, l)
	case n.Op == parser.DIV && rok:
		return factor(n.LHS, 1/r)
	case n.Op == parser.DIV: // 100 * a / b is 100 * (a / b)
		above, a := scaled(n.LHS)
		below, b := scaled(n.RHS)
		if above == 1 && below == 1 {
			break
		}
		c := *n
		c.LHS, c.RHS = wrapped(a), wrapped(b)
		return factor(&c, above/below)
	}
	return nil, op, threshold, false
}
