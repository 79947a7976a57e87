package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// filled reports a matching that puts a value where a side is missing.
func filled(n *parser.BinaryExpr) bool {
	m := n.VectorMatching
	return m != nil && (m.FillValues.LHS != nil || m.FillValues.RHS != nil)
}

// matching holds the labels of two sides against each other.
func (j *judge) matching(n *parser.BinaryExpr) {
	m := n.VectorMatching
	if m == nil || n.Op == parser.LOR || filled(n) || n.LHS.Type() != parser.ValueTypeVector || n.RHS.Type() != parser.ValueTypeVector {
		return
	}
	left, right := j.shaper.of(n.LHS), j.shaper.of(n.RHS)
	if m.On {
		j.matchedOn(n, left, right)
	} else {
		ignored := append([]string{model.MetricNameLabel}, m.MatchingLabels...)
		j.matchedAll(n, left.without(ignored...), right.without(ignored...))
	}
	if m.Card != parser.CardManyToOne && m.Card != parser.CardOneToMany {
		return
	}
	one, word := right, "group_left"
	if m.Card == parser.CardOneToMany {
		one, word = left, "group_right"
	}
	for _, name := range m.Include {
		if !one.can(name) {
			j.in(n, Warning, checkMatching, fmt.Sprintf("%s copies the label %s, which the other side does not have: it is removed", word, name),
				"keep it in the aggregation of the other side, or take it out of "+word+"()")
		}
	}
}

func (j *judge) matchedOn(n *parser.BinaryExpr, left, right shape) {
	for _, name := range n.VectorMatching.MatchingLabels {
		l, r := left.can(name), right.can(name)
		severity, word := Warning, "the sides match only where it is missing"
		if left.must[name] || right.must[name] {
			severity, word = Error, "the sides never match"
		}
		switch fix := "keep it in the aggregation, or take it out of on()"; {
		case !l && !r:
			j.in(n, Warning, checkMatching, fmt.Sprintf("on(%s): neither side has the label", name), fix)
		case !l:
			j.in(n, severity, checkMatching, fmt.Sprintf("on(%s): the left side drops the label, and %s", name, word), fix)
		case !r:
			j.in(n, severity, checkMatching, fmt.Sprintf("on(%s): the right side drops the label, and %s", name, word), fix)
		}
	}
}

// matchedAll is about sides that match by all their labels.
func (j *judge) matchedAll(n *parser.BinaryExpr, left, right shape) {
	const fix = "aggregate both by the same labels, or say with on() which both have"
	for _, name := range slices.Sorted(maps.Keys(left.must)) {
		if !right.can(name) {
			j.in(n, Error, checkMatching, fmt.Sprintf("the sides never match: the left has the label %s, which the right drops", name), fix)
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(right.must)) {
		if !left.can(name) {
			j.in(n, Error, checkMatching, fmt.Sprintf("the sides never match: the right has the label %s, which the left drops", name), fix)
			return
		}
	}
	switch {
	case left.closed && right.closed:
		if !maps.Equal(left.names, right.names) {
			j.in(n, Warning, checkMatching, fmt.Sprintf("the sides match only where labels are missing: the left has %s, the right %s", left, right), fix)
		}
	case left.closed:
		j.against(n, right, left, n.RHS)
	case right.closed:
		j.against(n, left, right, n.LHS)
	}
}

// against holds scraped series, which have job and instance, against a side
// that has few labels. Recorded ones may have any.
func (j *judge) against(n *parser.BinaryExpr, open, few shape, side parser.Expr) {
	if j.recording(side) {
		return
	}
	for _, name := range []string{"instance", "job"} {
		if open.can(name) && !few.can(name) {
			j.in(n, Warning, checkMatching, fmt.Sprintf("one side has all labels of its series, as %s, the other %s: they match only where the others are missing", name, few),
				"say with on() which labels both have: on() where the other side has none")
			return
		}
	}
}

// recording reports whether an expression reads recorded series.
func (j *judge) recording(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			found = found || v.Name == "" || strings.Contains(v.Name, ":") || len(j.recorded[v.Name]) > 0 || v.Name == "ALERTS"
		}
		return nil
	})
	return found
}
