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
// same kind and window, with a threshold that a share can reach.
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
	badFn, badWindow, ok := counter(num)
	allFn, allWindow, ok2 := counter(den)
	if !ok || !ok2 || (badFn == "increase") != (allFn == "increase") || badWindow != allWindow || strings.HasSuffix(metric(num), "_sum") {
		return false
	}
	a.Shape, a.Share, a.complement = Ratio, share, complement
	a.bad, a.all = num, den
	a.window, a.perSecond = badWindow, badFn != "increase"
	return true
}

// histogram recognises histogram_quantile(φ, … rate(x_bucket[w])) > t: the
// quantile is above t exactly when more than 1-φ of the events are slower.
func (a *Alert) histogram(n *parser.Call) bool {
	q, ok := constant(n.Args[0])
	if !ok || !(q > 0 && q < 1) || a.Op == Equal || a.Op == Differs || a.Op.Falling() {
		return false
	}
	fn, window, ok := counter(n.Args[1])
	s := selectors(n.Args[1])
	if !ok || len(s) != 1 || !strings.HasSuffix(metric(n.Args[1]), "_bucket") || len(matchersOf(s[0], labels.BucketLabel)) > 0 {
		return false
	}
	a.Shape, a.Share, a.Edge = Histogram, 1-q, a.Threshold
	a.all, a.complement = n.Args[1], true
	a.window, a.perSecond = window, fn != "increase"
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

// unfilled strips `or vector(0)` and `or all * 0`: a member without a series
// is filled when the answers are joined.
func unfilled(e parser.Expr) parser.Expr {
	n, ok := unparen(e).(*parser.BinaryExpr)
	if !ok || n.Op != parser.LOR {
		return e
	}
	switch r := unparen(n.RHS).(type) {
	case *parser.Call:
		if r.Func.Name == "vector" {
			return unfilled(n.LHS)
		}
	case *parser.BinaryExpr:
		if f, _ := scaled(r); f == 0 {
			return unfilled(n.LHS)
		}
	}
	return e
}

// counter recognises a sum (or mean) of one counter's rate or increase and
// returns the function and its window.
func counter(e parser.Expr) (fn string, window time.Duration, ok bool) {
	switch n := unparen(e).(type) {
	case *parser.AggregateExpr:
		if n.Op != parser.SUM && n.Op != parser.AVG {
			return "", 0, false
		}
		return counter(n.Expr)
	case *parser.Call:
		if !slices.Contains([]string{"rate", "irate", "increase"}, n.Func.Name) {
			return "", 0, false
		}
		m, isMatrix := unparen(n.Args[0]).(*parser.MatrixSelector)
		if !isMatrix {
			return "", 0, false
		}
		return n.Func.Name, m.Range, true
	}
	return "", 0, false
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
	name := ""
	for _, s := range selectors(e) {
		own := s.Name
		for _, m := range s.LabelMatchers {
			if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
				own = m.Value
			}
		}
		if name != "" && own != name {
			return ""
		}
		name = own
	}
	return name
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
