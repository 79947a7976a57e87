package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// StormID is the problem that a receiver's storms are told by; its episodes are
// the storms. Replicas agree on it.
func StormID(receiver string) string { return ProblemID("tocsin", receiver, "storm") }

// mostRules is how many rules a storm's summary names beside the critical ones.
const mostRules = 5

// title names the storm: "Storm at team-payments: 312 new problems, 287 open".
func (s Storm) title(receiver string) string {
	problems := "new problems"
	if s.Total == 1 {
		problems = "new problem"
	}
	return fmt.Sprintf("Storm at %s: %d %s, %d open", receiver, s.Total, problems, s.Open)
}

// headline says what is certain: how many rules, the worst, and the labels that
// all of the folded problems have. That is no trait: the healthy were not asked.
func (s Storm) headline(common Labels) string {
	names := s.worst()
	if len(names) == 0 {
		return "too many new problems to tell of each"
	}
	rules := fmt.Sprintf("%d rules", len(names))
	if len(names) == 1 {
		rules = "1 rule"
	}
	line := fmt.Sprintf("too many new problems to tell of each: %s, worst %s (%s)", rules, ruleName(names[0]), s.Rules[names[0]].Severity)
	if len(common) > 0 {
		line += " · all have " + short(common.String())
	}
	return line
}

// summary counts the problems of each critical rule, and of some others.
func (s Storm) summary() string {
	var parts []string
	others, left := 0, 0
	for _, name := range s.worst() {
		t := s.Rules[name]
		if t.Severity != Critical {
			if others++; others > mostRules {
				left += t.Total
				continue
			}
		}
		parts = append(parts, fmt.Sprintf("%d %s (%s)", t.Total, ruleName(name), t.Severity))
	}
	if left > 0 {
		parts = append(parts, fmt.Sprintf("%d of other rules", left))
	}
	return strings.Join(parts, ", ")
}

// worst returns the rules' names, the worst first, then those with the most problems.
func (s Storm) worst() []string {
	return slices.SortedFunc(maps.Keys(s.Rules), func(a, b string) int {
		x, y := s.Rules[a], s.Rules[b]
		return cmp.Or(cmp.Compare(x.Severity.Rank(), y.Severity.Rank()), cmp.Compare(y.Open, x.Open), cmp.Compare(y.Total, x.Total), cmp.Compare(a, b))
	})
}

func ruleName(alertname string) string { return short(cmp.Or(alertname, otherRules)) }

// otherRules is what the rules are called that a storm does not tell apart.
const otherRules = "other rules"

// Alert is the alert that stands for the problems of one rule on the storm's
// page: its labels are those that all of them have.
func (t Tally) Alert(name string, common Labels) Alert {
	labels := common.Clone()
	if labels == nil {
		labels = Labels{}
	}
	labels["alertname"], labels["severity"] = cmp.Or(name, otherRules), string(t.Severity)
	a := Alert{
		ID: Labels{"alertname": name}.ID(), Status: Firing, Labels: labels,
		Annotations: Labels{"summary": fmt.Sprintf("%d of %d problems open", t.Open, t.Total)},
	}
	if t.Open == 0 {
		a.Status = Resolved
	}
	return a
}
