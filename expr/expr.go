// Package expr takes an alert's expression apart: what is compared with what,
// over which members. It builds the questions about those members from the
// syntax tree, so that no label value is ever read as PromQL.
package expr

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Limits of what is taken apart. Real rules stay far below them.
const (
	MaxBytes = 16 << 10 // length of an expression
	MaxDepth = 100      // nesting of an expression
)

var (
	// ErrNoPopulation is returned for an expression under which no healthy
	// member can exist next to a failing one: vector(1), a selector that is
	// compared with nothing.
	ErrNoPopulation = errors.New("no population to compare with")
	// ErrSyntax is returned for what is no PromQL.
	ErrSyntax = errors.New("parse expression")
	// ErrShape is returned for an expression that is valid and not understood.
	ErrShape = errors.New("expression of an unknown shape")
)

// Shape says how a member is judged.
type Shape string

// The shapes.
const (
	Ratio     Shape = "ratio"     // bad events over all events
	Histogram Shape = "histogram" // events slower than the threshold over all events
	State     Shape = "state"     // the member's own value equals, or does not, a constant
	Value     Shape = "value"     // the member's own value lies beyond a constant
	Absence   Shape = "absence"   // the member is gone, or lacks what it should have
)

// Op is a comparison, read as `left-hand side Op Threshold`.
type Op string

// The comparisons of PromQL.
const (
	Above   Op = ">"
	AtLeast Op = ">="
	Below   Op = "<"
	AtMost  Op = "<="
	Equal   Op = "=="
	Differs Op = "!="
)

// Holds reports whether v breaks the rule. NaN breaks no rule but `!=`.
func (o Op) Holds(v, threshold float64) bool {
	switch o {
	case Above:
		return v > threshold
	case AtLeast:
		return v >= threshold
	case Below:
		return v < threshold
	case AtMost:
		return v <= threshold
	case Equal:
		return v == threshold
	case Differs:
		return v != threshold
	}
	return false
}

// Falling reports whether low values break the rule.
func (o Op) Falling() bool { return o == Below || o == AtMost }

// mirrored is the comparison with its sides exchanged.
func (o Op) mirrored() Op {
	switch o {
	case Above:
		return Below
	case AtLeast:
		return AtMost
	case Below:
		return Above
	case AtMost:
		return AtLeast
	case Equal, Differs:
	}
	return o
}

// negated holds exactly where o does not (NaN apart).
func (o Op) negated() Op {
	switch o {
	case Above:
		return AtMost
	case AtLeast:
		return Below
	case Below:
		return AtLeast
	case AtMost:
		return Above
	case Equal:
		return Differs
	case Differs:
		return Equal
	}
	return o
}

// Alert is an alerting expression taken apart.
type Alert struct {
	Shape     Shape
	Op        Op       // judges Ask.Member against Threshold
	Threshold float64  // in the unit of Ask.Member
	Share     float64  // Ratio, Histogram: the share of bad events at which the rule fires, 0..1
	Edge      float64  // Histogram: the bucket edge that divides fast from slow
	Additive  bool     // Value: the rule compares the sum over members, not each one's own value
	Dropped   []string // conditions beside the one that is asked about: guards
	Or        []*Alert // alternatives: the rule fires where this one or any of them holds

	whole      parser.Expr          // the side that the rule compares: its grouping is the alert's
	lhs        parser.Expr          // the left-hand side, constants moved to the threshold
	guards     []*parser.BinaryExpr // kept: the right of each says which members the rule is about
	bad, all   parser.Expr          // Ratio: sums of events; Histogram: all is the bucket vector
	native     *parser.Call         // Histogram: all is a native histogram, judged by this function
	complement bool                 // bad is the good events
	window     time.Duration
	longer     time.Duration // count events over this range instead of the rule's own, 0 for its own
	perSecond  bool          // bad and all are rates
}

// Parse takes an alerting expression apart. Its error is ErrNoPopulation,
// ErrShape or ErrSyntax.
func Parse(text string) (*Alert, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrShape, len(text), MaxBytes)
	}
	if nesting(text) > MaxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrShape, MaxDepth)
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if depth(e, MaxDepth) > MaxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrShape, MaxDepth)
	}
	a := &Alert{}
	if err := a.condition(e); err != nil {
		return nil, err
	}
	return a, nil
}

// nesting counts open brackets, before the parser recurses into them.
func nesting(text string) int {
	open, most := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			open++
			most = max(most, open)
		case ')':
			open--
		}
	}
	return most
}

func depth(n parser.Node, budget int) int {
	if budget < 0 {
		return 1
	}
	deepest := 0
	for c := range parser.ChildrenIter(n) {
		deepest = max(deepest, depth(c, budget-1))
	}
	return deepest + 1
}
