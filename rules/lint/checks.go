package lint

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/rules"
)

// judge looks at one rule.
type judge struct {
	group   *rules.Group
	rule    *rules.Rule
	options Options
	file    string
	expr    string // as the parser writes it
	found   []Problem
}

func (j *judge) add(line int, severity, check, message, fix string) {
	j.found = append(j.found, Problem{j.file, line, severity, check, message, fix})
}

func (j *judge) all() {
	e, err := rules.ParseExpr(j.rule.Expr)
	if err != nil {
		j.expr = j.rule.Expr
		return // the reader has said so
	}
	j.expr = e.String()
	line := j.rule.Lines.Of("expr", j.rule.Line)
	var absent, filters, selects bool
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.BinaryExpr:
			filters = filters || n.Op.IsSetOperator() || n.Op.IsComparisonOperator()
			j.comparison(n, line)
		case *parser.Call:
			absent = absent || n.Func.Name == "absent" || n.Func.Name == "absent_over_time"
			j.rate(n, line)
		case *parser.VectorSelector:
			selects = selects || n.Name != "ALERTS"
			j.regexps(n, line)
		}
		return nil
	})
	if j.rule.Alert == "" {
		return
	}
	if selects && !filters && !absent {
		j.add(line, Warning, "filter", "the alert compares nothing: it fires on any value", "compare the value with a threshold")
	}
	if _, ok := j.rule.Labels["remediate"]; ok && (j.rule.For == 0 || absent) {
		j.add(j.rule.Line, Warning, "remediate", "a remediation starts on one sample, or on data that is missing", "set for, and remediate on a measured fault")
	}
	j.require()
	j.template(e)
}

func (j *judge) comparison(n *parser.BinaryExpr, line int) {
	limit, ok := bare(n.RHS).(*parser.NumberLiteral)
	if !ok || n.ReturnBool || !n.Op.IsComparisonOperator() {
		return
	}
	never := n.Op == parser.EQLC && limit.Val == 0 || n.Op == parser.LSS && limit.Val <= 1 || n.Op == parser.LTE && limit.Val < 1
	switch l := bare(n.LHS).(type) {
	case *parser.AggregateExpr:
		if l.Op == parser.COUNT && never {
			j.add(line, Error, "comparison", "count() of nothing is no series, never 0: this is never true", "use absent(), or count() or vector(0)")
		}
	case *parser.Call:
		if l.Func.Name == "absent" && never {
			j.add(line, Error, "comparison", "absent() is 1 or no series: this is never true", "leave the comparison out")
		}
	}
}

func (j *judge) rate(n *parser.Call, line int) {
	if !slices.Contains([]string{"rate", "irate", "increase"}, n.Func.Name) || len(n.Args) == 0 {
		return
	}
	m, ok := bare(n.Args[0]).(*parser.MatrixSelector)
	if !ok || m.RangeExpr != nil || m.Range <= 0 {
		return
	}
	scrape, severity := j.options.ScrapeInterval, Error
	if scrape == 0 {
		scrape, severity = time.Minute, Warning
	}
	if m.Range >= 4*scrape {
		return
	}
	if m.Range >= 2*scrape {
		severity = Warning
	}
	j.add(line, severity, "rate", fmt.Sprintf("%s over %s with a scrape every %s: few samples or none", n.Func.Name, m.Range, scrape),
		fmt.Sprintf("use a window of %s or more", 4*scrape))
}

func (j *judge) regexps(n *parser.VectorSelector, line int) {
	for _, m := range n.LabelMatchers {
		if m.Type != labels.MatchRegexp && m.Type != labels.MatchNotRegexp {
			continue
		}
		switch {
		case m.Value == ".*" && m.Type == labels.MatchRegexp:
			j.add(line, Warning, "regexp", m.String()+" matches everything", "leave the matcher out")
		case m.Value != "" && regexp.QuoteMeta(m.Value) == m.Value:
			j.add(line, Warning, "regexp", m.String()+" is no pattern", "use = or !=")
		}
	}
}

func (j *judge) require() {
	for _, name := range j.options.Require {
		if j.rule.Labels[name] == "" && j.group.Labels[name] == "" && j.rule.Annotations[name] == "" {
			j.add(j.rule.Line, Warning, "require", "the alert has no "+name, "add the label or annotation "+name)
		}
	}
}

// template holds the labels that templates use against those the query leaves.
func (j *judge) template(e parser.Expr) {
	a := aggregation(e)
	if a == nil {
		return
	}
	uses := regexp.MustCompile(`\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)`)
	for section, texts := range map[string]map[string]string{"annotations.": j.rule.Annotations, "labels.": j.rule.Labels} {
		for name, text := range texts {
			for _, m := range uses.FindAllStringSubmatch(text, -1) {
				if slices.Contains(a.Grouping, m[1]) == a.Without {
					j.add(j.rule.Lines.Of(section+name, j.rule.Line), Error, "template",
						name+" uses the label "+m[1]+", which "+a.Op.String()+"() drops", "keep the label in the aggregation, or leave it out of the text")
				}
			}
		}
	}
	slices.SortFunc(j.found, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, cmp.Compare(a.Message, b.Message)) })
}

// aggregation returns the aggregation whose labels the alert has, nil where
// that is not certain.
func aggregation(e parser.Expr) *parser.AggregateExpr {
	switch e := bare(e).(type) {
	case *parser.AggregateExpr:
		if slices.Contains([]parser.ItemType{parser.SUM, parser.MIN, parser.MAX, parser.AVG, parser.COUNT}, e.Op) {
			return e
		}
	case *parser.BinaryExpr:
		if _, ok := bare(e.RHS).(*parser.NumberLiteral); ok {
			return aggregation(e.LHS)
		}
	}
	return nil
}

func bare(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}
