package layers

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// parsePromQL reads an expression as Prometheus and Thanos do by default.
func parsePromQL(text string) (parser.Expr, error) {
	return parser.NewParser(parser.Options{}).ParseExpr(text)
}

// inject adds matchers to every selector of e but those of shared metrics.
func inject(e parser.Expr, shared []string, add ...*labels.Matcher) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && !isShared(s, shared) {
			s.LabelMatchers = append(slices.Clip(s.LabelMatchers), add...)
		}
		return nil
	})
}

func isShared(s *parser.VectorSelector, shared []string) bool {
	return slices.Contains(shared, metricOf(s))
}

func metricOf(s *parser.VectorSelector) string {
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return s.Name
}

// selectors counts those that inject would change.
func selectors(e parser.Expr, shared []string) int {
	n := 0
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && !isShared(s, shared) {
			n++
		}
		return nil
	})
	return n
}

// unnamed refuses an expression that names apps by itself.
func unnamed(e parser.Expr, label string) error {
	var err error
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			for _, m := range s.LabelMatchers {
				if m.Name == label {
					err = fmt.Errorf("%s chooses apps by itself: take the matcher out, layers say which apps a rule is for (enabled: false)", m)
				}
			}
		}
		return nil
	})
	return err
}

// carrier judges whether the samples of an expression still carry a label: if
// they did not, the apps of one rule would be counted together.
type carrier struct {
	label  string
	shared []string
}

// check returns why the label is gone, nil if each sample has it.
func (c carrier) check(e parser.Expr) error {
	switch n := e.(type) {
	case *parser.VectorSelector:
		if isShared(n, c.shared) {
			return fmt.Errorf("the samples of %s are shared: they carry no label %s", metricOf(n), c.label)
		}
		return nil
	case *parser.ParenExpr:
		return c.check(n.Expr)
	case *parser.UnaryExpr:
		return c.check(n.Expr)
	case *parser.StepInvariantExpr:
		return c.check(n.Expr)
	case *parser.SubqueryExpr:
		return c.check(n.Expr)
	case *parser.MatrixSelector:
		return c.check(n.VectorSelector)
	case *parser.AggregateExpr:
		if slices.Contains(n.Grouping, c.label) == n.Without {
			return fmt.Errorf("%s drops the label %s, so that apps would be counted together: write by (%s)", n.Op, c.label, c.label)
		}
		return c.check(n.Expr)
	case *parser.Call:
		return c.call(n)
	case *parser.BinaryExpr:
		return c.binary(n)
	default:
		return fmt.Errorf("%s has no samples of an app", e)
	}
}

func (c carrier) call(n *parser.Call) error {
	switch n.Func.Name {
	case "absent", "absent_over_time":
		return fmt.Errorf("%s cannot tell which app is gone: ask what was there before instead (x offset 10m unless x), or write per_app: false", n.Func.Name)
	case "label_replace", "label_join":
		if dst, ok := n.Args[1].(*parser.StringLiteral); ok && dst.Val == c.label {
			return fmt.Errorf("%s writes over the label %s", n.Func.Name, c.label)
		}
	}
	for _, a := range n.Args {
		if t := a.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			return c.check(a)
		}
	}
	return fmt.Errorf("%s has no samples of an app", n)
}

func (c carrier) binary(n *parser.BinaryExpr) error {
	l, r := n.LHS.Type() == parser.ValueTypeScalar, n.RHS.Type() == parser.ValueTypeScalar
	switch {
	case l && r:
		return fmt.Errorf("%s has no samples of an app", n)
	case l:
		return c.check(n.RHS)
	case r:
		return c.check(n.LHS)
	case n.Op == parser.LOR:
		if err := c.check(n.LHS); err != nil {
			return err
		}
		return c.check(n.RHS)
	case n.Op == parser.LAND, n.Op == parser.LUNLESS:
		return c.check(n.LHS)
	}
	m := n.VectorMatching
	many, one := n.LHS, n.RHS
	if m.Card == parser.CardOneToMany {
		many, one = one, many
	}
	switch m.Card {
	case parser.CardManyToOne, parser.CardOneToMany:
		if slices.Contains(m.Include, c.label) {
			return c.check(one)
		}
		return c.check(many)
	default:
		if slices.Contains(m.MatchingLabels, c.label) != m.On {
			return fmt.Errorf("%s matches without the label %s, which is gone then: write on (%s)", n.Op, c.label, c.label)
		}
		return c.check(n.LHS)
	}
}
