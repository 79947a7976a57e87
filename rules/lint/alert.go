package lint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/rules"
)

// alert looks at what only alerting rules have.
func (j *judge) alert() {
	j.condition()
	j.required()
	j.templates()
	j.trait()
	j.remediate()
	if j.rule.For == 0 && calls(j.expr, "absent") {
		j.add("expr", Warning, checkFragile, "absent() without for: a restart or one missed scrape fires it", "set for to two scrapes or more, or use absent_over_time()")
	}
}

// condition says where an alert has none.
func (j *judge) condition() {
	if reads(j.expr) && !filters(j.expr) {
		if n := judged(j.expr); n != nil {
			j.in(n, Error, checkFilter, "bool makes the comparison 0 or 1, and the alert fires on both", "take bool out")
			return
		}
		j.add("expr", Warning, checkFilter, "the alert has no condition: it fires on any value", "compare the value with a threshold")
	}
}

func reads(e parser.Expr) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		found = found || ok && v.Name != "ALERTS"
		return nil
	})
	return found
}

// filters reports whether an expression leaves series out.
func filters(e parser.Expr) bool {
	switch e := unparen(e).(type) {
	case *parser.BinaryExpr:
		switch {
		case e.Op == parser.LAND || e.Op == parser.LUNLESS:
			return true
		case e.Op == parser.LOR:
			return filters(e.LHS) && filters(e.RHS)
		case e.Op.IsComparisonOperator() && !e.ReturnBool:
			return true
		}
		return filters(e.LHS) || filters(e.RHS)
	case *parser.AggregateExpr:
		return filters(e.Expr)
	case *parser.UnaryExpr:
		return filters(e.Expr)
	case *parser.SubqueryExpr:
		return filters(e.Expr)
	case *parser.Call:
		if e.Func.Name == "absent" || e.Func.Name == "absent_over_time" {
			return true
		}
		return slices.ContainsFunc(e.Args, filters)
	}
	return false
}

// judged is a comparison with bool whose 0 or 1 is the alert's own value.
func judged(e parser.Expr) *parser.BinaryExpr {
	if n, ok := unparen(e).(*parser.BinaryExpr); ok && n.Op.IsComparisonOperator() && n.ReturnBool {
		return n
	}
	return nil
}

func calls(e parser.Expr, names ...string) bool {
	found := false
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		c, ok := n.(*parser.Call)
		found = found || ok && slices.Contains(names, c.Func.Name)
		return nil
	})
	return found
}

// flapping says where members come and go by their rank.
func (j *judge) flapping(n *parser.AggregateExpr, path []parser.Node) {
	ranks := []parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO}
	if j.rule.Alert == "" || !slices.Contains(ranks, n.Op) {
		return
	}
	if k, ok := unparen(n.Param).(*parser.NumberLiteral); ok && k.Val == 1 && len(n.Grouping) > 0 {
		return // takes one of several that are the same
	}
	for _, above := range path {
		if a, ok := above.(*parser.AggregateExpr); ok && a != n && !slices.Contains(ranks, a.Op) {
			return
		}
	}
	j.in(n, Warning, checkFragile, n.Op.String()+"() in an alert: whenever ranks change, one alert ends and another begins", "compare all series with a threshold")
}

// required asks for what routes and people need.
func (j *judge) required() {
	severity := j.group.Severity(j.rule)
	if severity == "" {
		j.add("", Warning, checkSeverity, "the alert has no label severity", "add it: routes, deadlines and budgets go by it")
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.TrimSpace(j.rule.Annotations[n]) != "" })
	}
	if !has("summary", "message", "title", "description") {
		j.add("", Warning, checkSummary, "the alert has no sentence for people", "add the annotation summary")
	}
	if (severity == "critical" || severity == "page") && !has("runbook_url", "runbook", "runbookURL") {
		j.add("", Info, checkRunbook, "the alert pages, and has no runbook", "add the annotation runbook_url: what to look at, what to do")
	}
}

func (j *judge) duplicate() {
	text := func(m map[string]string) string {
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "%q=%q,", k, m[k])
		}
		return b.String()
	}
	expression := j.rule.Expr
	if e, err := rules.ParseExpr(expression); err == nil && small(e) {
		expression = e.String()
	}
	key := strings.Join([]string{j.rule.Alert, j.rule.Record, expression, text(j.labels())}, "\x00")
	at := j.place("")
	first, ok := j.seen[key]
	if !ok {
		j.seen[key] = at
		return
	}
	switch {
	case first == at: // of a template: for several classes of apps
	case first.File == at.File:
		j.add("", Warning, checkDuplicate, fmt.Sprintf("the same rule stands in line %d", first.Line), "remove one of them")
	default:
		j.add("", Info, checkDuplicate, fmt.Sprintf("the same rule stands in %s:%d", first.File, first.Line), "where one server reads both files, remove one of them")
	}
}

// trait asks whether Tocsin can tell the failing from the healthy.
func (j *judge) trait() {
	resolved := expr.Resolve(j.rule.Expr, func(name string) []expr.Recording { return j.recorded[name] })
	_, err := expr.Parse(resolved)
	if errors.Is(err, expr.ErrShape) {
		j.add("expr", Info, checkTrait, "Tocsin cannot tell the failing from the healthy: "+strings.TrimPrefix(err.Error(), expr.ErrShape.Error()+": "),
			"compare a value of each member with a threshold; else the page has no first sentence")
		return
	}
	e, errParse := rules.ParseExpr(resolved)
	if err != nil || errParse != nil || len(j.options.Roles) == 0 {
		return
	}
	var blind []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && !slices.Contains(blind, v.Name) {
			if s, recorded := j.shapes[v.Name]; recorded && !j.plays(s) {
				blind = append(blind, v.Name)
			}
		}
		return nil
	})
	if len(blind) > 0 {
		j.add("expr", Info, checkTrait, strings.Join(blind, ", ")+": recorded without a label of any role, and by more than one rule, so that nobody can look behind it",
			"keep a label of a role where it is recorded: "+j.roleLabels())
	}
}

// plays reports whether series can have a label of a role.
func (j *judge) plays(s shape) bool {
	for _, names := range j.options.Roles {
		if slices.ContainsFunc(names, s.can) {
			return true
		}
	}
	return false
}

func (j *judge) roleLabels() string {
	var out []string
	for _, role := range slices.Sorted(maps.Keys(j.options.Roles)) {
		out = append(out, j.options.Roles[role]...)
	}
	return strings.Join(out, ", ")
}

// remediate looks at alerts that a machine acts on.
func (j *judge) remediate() {
	all := j.labels()
	all["alertname"] = j.rule.Alert
	s := j.shaper.of(j.expr)
	who := ""
	if all["remediate"] != "" {
		who = "a machine acts on it (label remediate)"
		if !j.plays(s) && len(j.options.Roles) > 0 {
			j.add("expr", Warning, checkRemediate, who+", and the alert names no target: it has "+s.String(), "keep a label of a role: "+j.roleLabels())
		}
	}
	for _, r := range j.options.Remedies {
		if r.Matches == nil || !r.Matches(all) {
			continue
		}
		who = cmp.Or(who, "policy "+r.Policy+" acts on it")
		if r.Label != "" && !s.can(r.Label) && all[r.Label] == "" {
			j.add("expr", Warning, checkRemediate, fmt.Sprintf("policy %s acts on it, and the alert drops %s, which names its target", r.Policy, r.Label), "keep "+r.Label+" in the aggregation")
		}
	}
	if who == "" {
		return
	}
	if calls(j.expr, "absent", "absent_over_time") || counts(j.expr) {
		j.add("expr", Warning, checkRemediate, who+", on what is missing: a broken scrape looks the same as a broken host", "act on a fault that is measured, and let people look at what is missing")
	}
	if j.rule.For == 0 && j.rule.KeepFiringFor == 0 {
		j.add("", Warning, checkRemediate, who+", and it can flap: one sample starts it, the next ends it", "set for, or keep_firing_for")
	}
}

// counts reports whether the alert judges how many series there are.
func counts(e parser.Expr) bool {
	switch e := unparen(e).(type) {
	case *parser.AggregateExpr:
		return e.Op == parser.COUNT || e.Op == parser.GROUP
	case *parser.BinaryExpr:
		return counts(e.LHS) || counts(e.RHS)
	}
	return false
}
