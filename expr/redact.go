package expr

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Redact returns a query with the values of matchers on hidden labels replaced,
// and whether it had any. A query that cannot be read comes back as "".
func Redact(query string, hidden func(label string) bool) (string, bool) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return "", true
	}
	found := false
	for _, s := range selectors(e) {
		for i, m := range s.LabelMatchers {
			if hidden(m.Name) && m.Value != "" {
				s.LabelMatchers[i] = labels.MustNewMatcher(labels.MatchEqual, m.Name, "<redacted>")
				found = true
			}
		}
	}
	if !found {
		return query, false
	}
	return e.String(), true
}
