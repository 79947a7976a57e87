package lint

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// expression looks at each node of the rule's expression.
func (j *judge) expression() {
	parser.Inspect(j.expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.BinaryExpr:
			j.comparison(n)
			j.matching(n)
		case *parser.Call:
			j.rate(n)
			j.histogram(n)
		case *parser.VectorSelector:
			j.selector(n)
		case *parser.AggregateExpr:
			j.flapping(n, path)
		}
		return nil
	})
}

// comparison says where a comparison cannot be true.
func (j *judge) comparison(n *parser.BinaryExpr) {
	if !n.Op.IsComparisonOperator() || filled(n) {
		return
	}
	for _, side := range []parser.Expr{n.LHS, n.RHS} {
		if c, ok := unparen(side).(*parser.NumberLiteral); ok && math.IsNaN(c.Val) && n.Op != parser.NEQ {
			j.in(n, Error, checkComparison, "nothing compares with NaN: this is never true", "NaN is what differs from itself: x != x")
			return
		}
	}
	if n.ReturnBool {
		return
	}
	left, right := spanOf(n.LHS), spanOf(n.RHS)
	switch {
	case left.never(n.Op, right):
		j.in(n, Error, checkComparison, fmt.Sprintf("%s is never true: the left side is %s", brief(n), left), never(n.LHS))
	case left.always(n.Op, right) && !presence(n):
		j.in(n, Warning, checkComparison, fmt.Sprintf("%s is always true: the left side is %s", brief(n), left),
			"take the comparison out, or compare with a value that is not always reached")
	case n.Op == parser.EQLC && fraction(n.RHS) && computed(n.LHS):
		j.in(n, Warning, checkFragile, "a computed value is hardly ever equal to a fraction", "compare with < or >, or round() the left side")
	}
}

// presence is a comparison that says what its side says already, as people
// write to be clear: absent(x) == 1, count(x) > 0.
func presence(n *parser.BinaryExpr) bool {
	if c, ok := unparen(n.RHS).(*parser.NumberLiteral); ok && math.IsInf(c.Val, 0) {
		return true // takes NaN out
	}
	switch e := unparen(n.LHS).(type) {
	case *parser.Call:
		return e.Func.Name == "absent" || e.Func.Name == "absent_over_time" || e.Func.Name == "vector" || e.Func.Name == "count_over_time"
	case *parser.AggregateExpr:
		return e.Op == parser.COUNT || e.Op == parser.GROUP
	case *parser.NumberLiteral:
		return true // scalars: Prometheus wants bool there
	}
	return false
}

func never(e parser.Expr) string {
	switch e := unparen(e).(type) {
	case *parser.AggregateExpr:
		if e.Op == parser.COUNT {
			return "count() of nothing is no series, never 0: use absent(), or (count() or vector(0))"
		}
	case *parser.Call:
		if e.Func.Name == "absent" || e.Func.Name == "absent_over_time" {
			return e.Func.Name + "() is 1 or no series: leave the comparison out"
		}
	}
	return "compare with a value that the left side can have"
}

func fraction(e parser.Expr) bool {
	c, ok := unparen(e).(*parser.NumberLiteral)
	return ok && c.Val != math.Trunc(c.Val)
}

// computed reports whether a value is worked out, not read.
func computed(e parser.Expr) bool {
	switch e := unparen(e).(type) {
	case *parser.Call:
		return slices.Contains([]string{"rate", "irate", "increase", "delta", "deriv", "avg_over_time", "histogram_quantile", "predict_linear"}, e.Func.Name)
	case *parser.AggregateExpr:
		return e.Op == parser.AVG || computed(e.Expr)
	case *parser.BinaryExpr:
		return e.Op == parser.DIV || e.Op == parser.MUL
	}
	return false
}

// String is the span as a person says it.
func (s span) String() string {
	switch {
	case s.low == s.high:
		return fmt.Sprintf("always %g", s.low)
	case math.IsInf(s.high, 1):
		return fmt.Sprintf("at least %g", s.low)
	case math.IsInf(s.low, -1):
		return fmt.Sprintf("at most %g", s.high)
	}
	return fmt.Sprintf("between %g and %g", s.low, s.high)
}

// rate holds a window against the scrape interval.
func (j *judge) rate(n *parser.Call) {
	needsTwo := []string{"rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear"}
	if !slices.Contains(needsTwo, n.Func.Name) || len(n.Args) == 0 {
		return
	}
	switch m := unparen(n.Args[0]).(type) {
	case *parser.SubqueryExpr:
		if a, ok := unparen(m.Expr).(*parser.AggregateExpr); ok && a.Op == parser.SUM && slices.Contains(needsTwo[:3], n.Func.Name) {
			j.in(n, Warning, checkRate, n.Func.Name+" of a sum: when one counter restarts, the sum falls, which counts as a reset of all", "sum the rates: sum(rate(x[5m]))")
		}
	case *parser.MatrixSelector:
		if m.RangeExpr == nil && m.Range > 0 && !extended(m) {
			j.window(n, m)
		}
	}
}

// extended reports the modifiers that need one sample only.
func extended(m *parser.MatrixSelector) bool {
	v, ok := m.VectorSelector.(*parser.VectorSelector)
	return !ok || v.Anchored || v.Smoothed
}

func (j *judge) window(n *parser.Call, m *parser.MatrixSelector) {
	scrape := time.Duration(0)
	if j.options.Scrape != nil {
		scrape = j.options.Scrape(m.VectorSelector)
	}
	text := func(d time.Duration) string { return model.Duration(d).String() }
	what := fmt.Sprintf("%s over %s", n.Func.Name, text(m.Range))
	fix := "use a window of %s or more: four scrapes, so that one may be missed"
	switch {
	case scrape == 0 && m.Range < 2*time.Minute:
		j.in(n, Info, checkRate, fmt.Sprintf("%s needs a scrape each %s or more often", what, text(m.Range/4)),
			"name the config, and it is held against that: --prometheus prometheus.yml")
	case scrape == 0:
	case m.Range <= scrape && ofJob(m.VectorSelector):
		j.in(n, Error, checkRate, fmt.Sprintf("%s is always empty: it needs two samples, and one is scraped each %s", what, text(scrape)), fmt.Sprintf(fix, text(4*scrape)))
	case m.Range < 2*scrape:
		j.in(n, Warning, checkRate, fmt.Sprintf("%s is empty at times: it needs two samples, and one is scraped each %s", what, text(scrape)), fmt.Sprintf(fix, text(4*scrape)))
	case m.Range < 4*scrape:
		j.in(n, Info, checkRate, fmt.Sprintf("%s has a gap when a scrape is missed: one is due each %s", what, text(scrape)), fmt.Sprintf(fix, text(4*scrape)))
	}
}

// ofJob reports whether a selector says which job scrapes its series: others may
// be pushed, as often as somebody likes.
func ofJob(e parser.Expr) bool {
	v, ok := e.(*parser.VectorSelector)
	return ok && slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "job" })
}

// histogram says where a quantile has lost its buckets.
func (j *judge) histogram(n *parser.Call) {
	if n.Func.Name != "histogram_quantile" || len(n.Args) != 2 || j.shaper.of(n.Args[1]).can("le") {
		return
	}
	classic := false
	parser.Inspect(n.Args[1], func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			classic = classic || len(v.Name) > 7 && v.Name[len(v.Name)-7:] == "_bucket"
		}
		return nil
	})
	if classic {
		j.in(n, Error, checkHistogram, "the aggregation drops le: there are no buckets left, and the quantile is empty", "keep le: sum by (le, …) (rate(…_bucket[5m]))")
	}
}

func (j *judge) selector(n *parser.VectorSelector) {
	for _, m := range n.LabelMatchers {
		if m.Type == labels.MatchEqual {
			for _, other := range n.LabelMatchers {
				if other != m && other.Name == m.Name && !other.Matches(m.Value) {
					j.in(n, Error, checkSelector, fmt.Sprintf("%s and %s contradict each other: no series is like that", m, other), "take one of them out")
					return
				}
			}
		}
	}
	for _, m := range n.LabelMatchers {
		if m.Type != labels.MatchRegexp && m.Type != labels.MatchNotRegexp {
			continue
		}
		switch {
		case everything(m.Value) && m.Type == labels.MatchNotRegexp:
			j.in(n, Warning, checkSelector, m.String()+" lets nothing in: no series is like that", "take it out, or the rule if it is off on purpose")
		case everything(m.Value):
			j.in(n, Info, checkRegexp, m.String()+" lets everything in", "leave the matcher out; to ask that the label is there, write "+m.Name+`!=""`)
		case m.Value != "" && regexp.QuoteMeta(m.Value) == m.Value:
			plain := labels.Matcher{Type: labels.MatchEqual, Name: m.Name, Value: m.Value}
			if m.Type == labels.MatchNotRegexp {
				plain.Type = labels.MatchNotEqual
			}
			j.in(n, Info, checkRegexp, m.String()+" is no pattern", "write "+plain.String())
		}
	}
}

func everything(pattern string) bool {
	return slices.Contains([]string{".*", "^.*$", "(.*)", ".*?"}, pattern)
}

// brief is an expression as a message has room for it.
func brief(e parser.Expr) string {
	const most = 80
	text := []rune(e.String())
	if len(text) > most {
		return string(text[:most-1]) + "…"
	}
	return string(text)
}
