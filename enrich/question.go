package enrich

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// maxRules is how many rules of one problem are asked about.
const maxRules = 3

// rule is what firing alerts of one problem have in common: a name and an expression.
type rule struct {
	name, expr string
	worst      int // page.Severity.Rank
	firing     []page.Labels
	shared     page.Labels
}

// rulesOf sorts the firing alerts of a problem by rule, the worst and then the
// largest first, and returns the names of those beyond the limit.
func rulesOf(p page.Problem) (rules []rule, rest []string) {
	at := map[[2]string]int{}
	for _, a := range p.Firing() {
		text, err := expr.FromGeneratorURL(a.GeneratorURL)
		if err != nil {
			text = "" // the source's own list of rules may know it
		}
		k := [2]string{a.Name(), text}
		i, ok := at[k]
		if !ok {
			i = len(rules)
			at[k] = i
			rules = append(rules, rule{name: a.Name(), expr: text, worst: a.Severity().Rank(), shared: a.Labels.Clone()})
		}
		r := &rules[i]
		r.firing = append(r.firing, a.Labels)
		r.worst = min(r.worst, a.Severity().Rank())
		maps.DeleteFunc(r.shared, func(name, v string) bool { return a.Labels[name] != v })
	}
	slices.SortStableFunc(rules, func(a, b rule) int {
		return cmp.Or(cmp.Compare(a.worst, b.worst), cmp.Compare(len(b.firing), len(a.firing)), cmp.Compare(a.name, b.name))
	})
	if len(rules) <= maxRules {
		return rules, nil
	}
	for _, r := range rules[maxRules:] {
		rest = append(rest, r.name)
	}
	return rules[:maxRules], rest
}
