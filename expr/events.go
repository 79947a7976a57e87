package expr

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// ratio recognises bad events over all events: two sums of counters of the
// same kind, window and time, with a threshold that a share can reach.
func (a *Alert) ratio(n *parser.BinaryExpr) bool {
	num, den := unfilled(n.LHS), unfilled(n.RHS)
	op, share, complement := a.Op, a.Threshold, false
	if rest, ok := remainder(num, den); ok { // (all - good) / all
		num, complement = rest, true
	}
	if op.Falling() { // good / all < 0.95
		share, complement = 1-share, !complement
	}
	if op == Equal || op == Differs || !(share > 0 && share < 1) {
		return false
	}
	bad, ok := counter(num)
	all, ok2 := counter(den)
	bad.increase, all.increase = bad.fn == "increase", all.fn == "increase"
	bad.fn, all.fn = "", ""
	if !ok || !ok2 || bad != all || slices.ContainsFunc(metrics(num), func(m string) bool { return strings.HasSuffix(m, "_sum") }) {
		return false
	}
	a.Shape, a.Share, a.complement = Ratio, share, complement
	a.bad, a.all = num, den
	a.window, a.perSecond = bad.window, !bad.increase
	return true
}

// histogram recognises histogram_quantile(φ, … rate(x_bucket[w])) > t: the
// quantile is above t exactly when more than 1-φ of the events are slower. A
// native histogram is asked for that share, as histogram_fraction() does.
func (a *Alert) histogram(n *parser.Call) bool {
	vector := unfilled(n.Args[len(n.Args)-1])
	c, ok := counter(vector)
	s := selectors(vector)
	if !ok || len(s) != 1 || a.Op == Equal || a.Op == Differs {
		return false
	}
	classic := strings.HasSuffix(nameOf(s[0]), "_bucket")
	share, complement, edge := 0.0, true, a.Threshold
	if n.Func.Name == "histogram_fraction" {
		share, complement = a.Threshold, false
		if a.Op.Falling() {
			share, complement = 1-share, true
		}
		if classic {
			return false
		}
	} else {
		q, ok := constant(n.Args[0])
		if !ok || a.Op.Falling() || (classic && len(matchersOf(s[0], labels.BucketLabel)) > 0) {
			return false
		}
		share = 1 - q
	}
	if !(share > 0 && share < 1) {
		return false
	}
	a.Shape, a.Share, a.Edge = Histogram, share, edge
	a.all, a.complement = vector, complement
	a.window, a.perSecond = c.window, c.fn != "increase"
	if !classic {
		a.native = n
	}
	return true
}

// remainder returns good where num is all - good.
func remainder(num, all parser.Expr) (parser.Expr, bool) {
	n, ok := unparen(num).(*parser.BinaryExpr)
	if !ok || n.Op != parser.SUB || unparen(n.LHS).String() != unparen(all).String() {
		return nil, false
	}
	return unfilled(n.RHS), true
}

// unfilled strips what fills in for members without a series (`or vector(0)`,
// `or all * 0`) or keeps a divisor off zero (`> 0`, clamp_min): the answers are
// joined member by member, and there neither is needed.
func unfilled(e parser.Expr) parser.Expr {
	switch n := unparen(e).(type) {
	case *parser.Call:
		if slices.Contains([]string{"clamp_min", "clamp_max", "clamp", "scalar", "sort", "sort_desc"}, n.Func.Name) {
			return unfilled(n.Args[0])
		}
	case *parser.BinaryExpr:
		if n.Op == parser.LOR && filler(n.RHS) {
			return unfilled(n.LHS)
		}
		if n.Op.IsComparisonOperator() && !n.ReturnBool {
			if _, ok := constant(n.RHS); ok {
				return unfilled(n.LHS)
			}
		}
	}
	return e
}

// filler reports whether e is zero wherever it is anything.
func filler(e parser.Expr) bool {
	switch n := unparen(e).(type) {
	case *parser.Call:
		return n.Func.Name == "vector"
	case *parser.BinaryExpr:
		f, _ := scaled(n)
		return f == 0
	}
	return false
}

// count is how a counter is read.
type count struct {
	fn       string // rate, irate or increase
	increase bool
	window   time.Duration
	when     string // offset and @
}

// counter recognises a sum (or mean) of counters' rates or increases, all of
// them read alike.
func counter(e parser.Expr) (count, bool) {
	switch n := unparen(unfilled(e)).(type) {
	case *parser.AggregateExpr:
		if n.Op != parser.SUM && n.Op != parser.AVG {
			return count{}, false
		}
		return counter(n.Expr)
	case *parser.BinaryExpr:
		if n.Op != parser.ADD {
			return count{}, false
		}
		l, ok := counter(n.LHS)
		r, ok2 := counter(n.RHS)
		return l, ok && ok2 && l == r
	case *parser.Call:
		if !slices.Contains([]string{"rate", "irate", "increase"}, n.Func.Name) {
			return count{}, false
		}
		m, ok := unparen(n.Args[0]).(*parser.MatrixSelector)
		if !ok {
			return count{}, false
		}
		s, ok := m.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return count{}, false
		}
		at := parser.VectorSelector{OriginalOffset: s.OriginalOffset, Timestamp: s.Timestamp, StartOrEnd: s.StartOrEnd, Name: "x"}
		return count{fn: n.Func.Name, window: m.Range, when: at.String()}, true
	}
	return count{}, false
}

// selectors returns every vector selector under e.
func selectors(e parser.Expr) []*parser.VectorSelector {
	var out []*parser.VectorSelector
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out = append(out, s)
		}
		return nil
	})
	return out
}

// metric is the name of the only metric under e, "" if there are several.
func metric(e parser.Expr) string {
	if m := metrics(e); len(m) == 1 {
		return m[0]
	}
	return ""
}

func matchersOf(s *parser.VectorSelector, name string) []string {
	var out []string
	for _, m := range s.LabelMatchers {
		if m.Name == name {
			out = append(out, m.String())
		}
	}
	slices.Sort(out)
	return out
}

// pinned returns the labels that the numerator's selector narrows in another
// way than the denominator's, such as code=~"5..": they tell bad from good
// events and can have no part in telling members apart.
func pinned(num, den parser.Expr) []string {
	var out []string
	for _, s := range selectors(num) {
		for _, m := range s.LabelMatchers {
			if m.Name == model.MetricNameLabel {
				continue
			}
			for _, d := range selectors(den) {
				if !slices.Equal(matchersOf(s, m.Name), matchersOf(d, m.Name)) {
					out = append(out, m.Name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// edgeForms are the ways in which clients write a bucket edge: Prometheus 3
// normalises 1 to 1.0, older servers keep what was exposed.
func edgeForms(edge float64) []string {
	short := strconv.FormatFloat(edge, 'g', -1, 64)
	long := strconv.FormatFloat(edge, 'f', -1, 64)
	forms := []string{short, long}
	if edge == math.Trunc(edge) && !strings.Contains(long, ".") {
		forms = append(forms, long+".0")
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}
