package expr

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Exemplars is what to ask a server for single events. Of both texts a server
// reads the selectors alone.
type Exemplars struct {
	Failing string        // selects the events that fail, of the members with some labels
	Healthy string        // selects those that do not, of all members; "" where no selector can
	Over    float64       // above 0: both select all events, and those larger than this fail
	Window  time.Duration // the rule looks back so far
}

// Exemplars returns the questions for single events of the members with all of
// ls, and whether the rule counts events at all. carriers are the members
// themselves, where an info metric has the label that tells them apart.
func (a *Alert) Exemplars(p Population, ls map[string]string, carriers ...Only) (Exemplars, bool) {
	var failing, healthy []*parser.VectorSelector
	out := Exemplars{Window: reach(a.lhs)}
	switch a.Shape {
	case Ratio:
		part, all := selectors(a.bad), selectors(a.all)
		rest, told := others(all, part)
		failing, healthy = part, rest
		switch {
		case a.complement && !told:
			return Exemplars{}, false // which of all events are not among the good ones?
		case a.complement:
			failing, healthy = rest, part
		case !told:
			healthy = all // the failing ones among them are known by their traces
		}
	case Histogram:
		if a.native != nil && a.native.Func.Name != "histogram_quantile" || !(a.Edge > 0) {
			return Exemplars{}, false
		}
		failing, healthy, out.Over = selectors(a.all), selectors(a.all), a.Edge
	case Value:
		failing = slices.DeleteFunc(selectors(a.lhs), func(s *parser.VectorSelector) bool { return !strings.HasSuffix(nameOf(s), "_total") })
	case State, Absence:
	}
	if len(failing) == 0 {
		return Exemplars{}, false
	}
	r := a.rewrite(p)
	out.Failing = r.united(failing, ls, carriers)
	if len(healthy) > 0 {
		out.Healthy = r.united(healthy, nil, nil)
	}
	return out, true
}

// united writes selectors, narrowed by ls, as one expression.
func (r *rewrite) united(list []*parser.VectorSelector, ls map[string]string, carriers []Only) string {
	var all parser.Expr
	for _, s := range list {
		bare := *s
		bare.OriginalOffset, bare.Offset, bare.Timestamp, bare.StartOrEnd = 0, 0, nil, 0
		one := r.selector(&bare)
		for _, name := range slices.Sorted(maps.Keys(ls)) {
			if !slices.Contains(r.made, name) {
				one = narrowed(one, equal(name, ls[name]))
			}
		}
		for _, o := range carriers {
			one = narrowed(one, oneOf(o.Label, o.Values))
		}
		if all == nil {
			all = one
			continue
		}
		all = &parser.BinaryExpr{Op: parser.LOR, LHS: all, RHS: one, VectorMatching: &parser.VectorMatching{Card: parser.CardManyToMany}}
	}
	return all.String()
}

// others selects the events of all that are not among part, and whether
// selectors can: one metric, and one matcher that tells each part apart (of a
// single part any number).
func others(all, part []*parser.VectorSelector) ([]*parser.VectorSelector, bool) {
	if len(all) != 1 || len(part) == 0 {
		return nil, false
	}
	base := all[0]
	var apart []*labels.Matcher
	for _, s := range part {
		own := slices.DeleteFunc(slices.Clone(s.LabelMatchers), func(m *labels.Matcher) bool { return has(base, m) })
		whole := !slices.ContainsFunc(base.LabelMatchers, func(m *labels.Matcher) bool { return !has(s, m) })
		if len(own) == 0 || !whole || nameOf(s) != nameOf(base) || (len(own) > 1 && len(part) > 1) {
			return nil, false
		}
		apart = append(apart, own...)
	}
	if len(part) == 1 { // not (a and b): not a, or not b
		var out []*parser.VectorSelector
		for _, m := range apart {
			out = append(out, with(base, m))
		}
		return out, true
	}
	return []*parser.VectorSelector{with(base, apart...)}, true
}

func has(s *parser.VectorSelector, m *labels.Matcher) bool {
	return slices.ContainsFunc(s.LabelMatchers, func(o *labels.Matcher) bool { return o.String() == m.String() })
}

// with adds the contrary of each matcher to a selector.
func with(s *parser.VectorSelector, apart ...*labels.Matcher) *parser.VectorSelector {
	c := *s
	c.LabelMatchers = slices.Clone(s.LabelMatchers)
	for _, m := range apart {
		contrary := map[labels.MatchType]labels.MatchType{
			labels.MatchEqual: labels.MatchNotEqual, labels.MatchNotEqual: labels.MatchEqual,
			labels.MatchRegexp: labels.MatchNotRegexp, labels.MatchNotRegexp: labels.MatchRegexp,
		}[m.Type]
		c.LabelMatchers = append(c.LabelMatchers, labels.MustNewMatcher(contrary, m.Name, m.Value))
	}
	return &c
}
