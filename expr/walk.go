package expr

import (
	"github.com/prometheus/prometheus/promql/parser"
)

// outermost returns the aggregations that no other aggregation encloses. A
// scalar() holds a yardstick: what it aggregates has no members here.
func outermost(e parser.Expr) []*parser.AggregateExpr {
	var out []*parser.AggregateExpr
	var walk func(parser.Node)
	walk = func(n parser.Node) {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if n.Op == parser.TOPK || n.Op == parser.BOTTOMK { // they choose members, and keep their labels
				walk(n.Expr)
				return
			}
			out = append(out, n)
			return
		case *parser.Call:
			if n.Func.Name == "scalar" {
				return
			}
		case *parser.BinaryExpr:
			if n.Op == parser.LAND || n.Op == parser.LUNLESS {
				walk(n.LHS)
				return
			}
		}
		for c := range parser.ChildrenIter(n) {
			walk(c)
		}
	}
	walk(e)
	return out
}

func aggregated(e parser.Expr) bool { return len(outermost(e)) > 0 }

// joins reports whether two vectors are matched inside an aggregation, as with
// info metrics: a label of the result may then be on one of them only.
func joins(e parser.Expr) bool {
	found := false
	for _, agg := range outermost(e) {
		parser.Inspect(agg, func(n parser.Node, _ []parser.Node) error {
			if b, ok := n.(*parser.BinaryExpr); ok && b.VectorMatching != nil && !b.Op.IsSetOperator() {
				found = true
			}
			return nil
		})
	}
	return found
}

// made returns the labels that label_replace and label_join write.
func made(e parser.Expr) []string {
	var out []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if c, ok := n.(*parser.Call); ok && (c.Func.Name == "label_replace" || c.Func.Name == "label_join") {
			if s, ok := c.Args[1].(*parser.StringLiteral); ok {
				out = append(out, s.Val)
			}
		}
		return nil
	})
	return out
}
