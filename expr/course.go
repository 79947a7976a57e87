package expr

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Course asks how bad the members with certain labels were over time.
type Course struct {
	Query   string        // one series: the share of bad events, of failing members, or the members' mean value
	Falling bool          // low values of Query are the bad ones
	Window  time.Duration // the longest range Query looks back: a step shows as a ramp of this length
}

// Course returns the question how bad the members with all of ls were over
// time. ask is what the members were asked for, joined the labels that they have
// by an info metric, carriers whom to look at in place of a join where those are
// few. It answers with one series, so that a range of it is cheap to send.
func (a *Alert) Course(ask Ask, joined []Joined, ls map[string]string, carriers ...Only) (Course, error) {
	if len(carriers) > 0 {
		ls = maps.Clone(ls)
		maps.DeleteFunc(ls, func(name, _ string) bool {
			return slices.ContainsFunc(joined, func(j Joined) bool { return j.Label == name })
		})
	}
	for _, question := range []*string{&ask.Member, &ask.Bad, &ask.All} {
		if *question == "" {
			continue
		}
		e, err := parser.NewParser(parser.Options{}).ParseExpr(*question)
		if err != nil {
			return Course{}, fmt.Errorf("%w: %w", ErrSyntax, err)
		}
		for _, o := range carriers {
			e = narrowed(e, oneOf(o.Label, o.Values))
		}
		*question = having(e, joined, ls).String()
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(a.course(ask))
	if err != nil {
		return Course{}, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	counts := ask.Bad != "" && ask.All != "" || a.Shape == State
	return Course{Query: e.String(), Falling: !counts && a.Op.Falling(), Window: reach(e)}, nil
}

// course is the question about all members.
func (a *Alert) course(ask Ask) string {
	quantile, ok := quantileOf(ask.Member)
	switch {
	case ask.Bad != "" && ask.All != "" && ask.Complement:
		return fmt.Sprintf("1 - (sum(%s) or vector(0)) / sum(%s)", ask.Bad, ask.All)
	case ask.Bad != "" && ask.All != "":
		return fmt.Sprintf("(sum(%s) or vector(0)) / sum(%s)", ask.Bad, ask.All)
	case a.Shape == State:
		return fmt.Sprintf("avg((%s) %s bool %g)", ask.Member, a.Op, a.Threshold)
	case ok:
		return quantile
	}
	return fmt.Sprintf("avg(%s)", ask.Member)
}

// quantileOf sums the buckets of all members before it reads a quantile off them.
func quantileOf(member string) (string, bool) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(member)
	if err != nil {
		return "", false
	}
	c, ok := unparen(e).(*parser.Call)
	if !ok || c.Func.Name != "histogram_quantile" {
		return "", false
	}
	return fmt.Sprintf("histogram_quantile(%s, sum by (le) (%s))", c.Args[0], c.Args[1]), true
}

// Seen returns PromQL with one series per value of a label, for as long as
// members with it are there: their raw series are counted, for a rate shows
// only with the second scrape.
func (a *Alert) Seen(ask Ask, by string, ls map[string]string) (string, error) {
	text := ask.Member
	if ask.All != "" {
		text = ask.All
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	all := selectors(e)
	if len(all) == 0 {
		return "", ErrNoPopulation
	}
	s := *all[0]
	s.OriginalOffset, s.Offset, s.Timestamp, s.StartOrEnd = 0, 0, nil, 0
	s.LabelMatchers = slices.Clone(s.LabelMatchers)
	for _, name := range slices.Sorted(maps.Keys(ls)) {
		if m := equal(name, ls[name]); !has(&s, m) {
			s.LabelMatchers = append(s.LabelMatchers, m)
		}
	}
	s.LabelMatchers = append(s.LabelMatchers, labels.MustNewMatcher(labels.MatchNotEqual, by, ""))
	count := &parser.AggregateExpr{Op: parser.COUNT, Grouping: []string{by}, Expr: &s}
	return count.String(), nil
}

// reach is the longest range that an expression looks back over.
func reach(e parser.Expr) time.Duration {
	longest := time.Duration(0)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			longest = max(longest, n.Range)
		case *parser.SubqueryExpr:
			longest = max(longest, n.Range+reach(n.Expr))
		}
		return nil
	})
	return longest
}
