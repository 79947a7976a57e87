package dashboards

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

type matcher = labels.Matcher

// Grafana's ranges while a query is only read: durations that nobody writes.
const (
	rateInterval = 4*time.Minute + 7*time.Second
	wholeRange   = 3*time.Hour + 11*time.Second
	oneStep      = 13 * time.Second
)

// parse reads a query with Grafana's own variables filled in; those of the
// dashboard stand in strings and stay.
func parse(query string) (parser.Expr, error) {
	text := globals(query, map[string]string{
		"__rate_interval": model.Duration(rateInterval).String(), "__range": model.Duration(wholeRange).String(), "__interval": model.Duration(oneStep).String(),
		"__range_s": "10811", "__range_ms": "10811000", "__interval_ms": "13000", "__from": "0", "__to": "10811000",
	})
	return parser.NewParser(parser.Options{}).ParseExpr(text)
}

// reference is how a text names a variable: $name, ${name}, ${name:format} or [[name]].
func reference() *regexp.Regexp {
	return regexp.MustCompile(`\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)\]\]`)
}

// names are the variables that a text uses.
func names(text string) []string {
	var out []string
	for _, m := range reference().FindAllStringSubmatch(text, -1) {
		if name := m[1] + m[2] + m[4]; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// globals fills in what values has, and leaves the others.
func globals(text string, values map[string]string) string {
	re := reference()
	return re.ReplaceAllStringFunc(text, func(found string) string {
		m := re.FindStringSubmatch(found)
		if value, ok := values[m[1]+m[2]+m[4]]; ok {
			return value
		}
		return found
	})
}

func inspect(query string, each func(parser.Node)) {
	expr, err := parse(query)
	if err != nil {
		return // check metrics says so
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if n != nil {
			each(n)
		}
		return nil
	})
}

// fixedRanges are the ranges of a query that are so many minutes.
func fixedRanges(query string) []string {
	var out []string
	look := func(d time.Duration) {
		if d != rateInterval && d != wholeRange {
			out = append(out, model.Duration(d).String())
		}
	}
	inspect(query, func(n parser.Node) {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			look(n.Range)
		case *parser.SubqueryExpr:
			look(n.Range)
			if n.Step != oneStep && n.Step != 0 {
				out = append(out, ":"+model.Duration(n.Step).String())
			}
		}
	})
	return out
}

// Keeps says whether the series that a query makes can have a label: its
// aggregations keep it, or a join brings it back. A query that cannot be read keeps all.
func Keeps(query, label string) bool {
	expr, err := parse(query)
	return err != nil || keeps(expr, label)
}

func keeps(expr parser.Expr, label string) bool {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		named := slices.Contains(e.Grouping, label)
		switch {
		case e.Op == parser.TOPK || e.Op == parser.BOTTOMK || e.Op == parser.LIMITK || e.Op == parser.LIMIT_RATIO:
			return keeps(e.Expr, label)
		case e.Op == parser.COUNT_VALUES && strings.Contains(e.Param.String(), label):
			return true
		case e.Without:
			return !named && keeps(e.Expr, label)
		}
		return named && keeps(e.Expr, label)
	case *parser.BinaryExpr:
		m := e.VectorMatching
		switch {
		case m == nil:
			return keeps(e.LHS, label) || keeps(e.RHS, label)
		case slices.Contains(m.Include, label):
			return true
		case m.Card == parser.CardOneToMany:
			return keeps(e.RHS, label)
		case m.Card == parser.CardOneToOne && m.On && !e.Op.IsSetOperator() && !e.Op.IsComparisonOperator():
			return slices.Contains(m.MatchingLabels, label)
		}
		return keeps(e.LHS, label)
	case *parser.Call:
		if e.Func.Name == "label_replace" || e.Func.Name == "label_join" {
			return true
		}
		return slices.ContainsFunc(e.Args, func(a parser.Expr) bool { return keeps(a, label) })
	case *parser.ParenExpr:
		return keeps(e.Expr, label)
	case *parser.StepInvariantExpr:
		return keeps(e.Expr, label)
	case *parser.SubqueryExpr:
		return keeps(e.Expr, label)
	case *parser.UnaryExpr:
		return keeps(e.Expr, label)
	case *parser.MatrixSelector:
		return true
	case *parser.VectorSelector:
		return true
	}
	return false
}
