package remediate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// preChecks passes while the answer to each of the policy's questions holds.
type preChecks struct{ sources Sources }

// Name implements Guard.
func (preChecks) Name() string { return "pre-checks" }

// Check implements Guard.
func (p preChecks) Check(ctx context.Context, c Candidate) Verdict {
	if len(c.Policy.Guards.PreChecks) == 0 {
		return pass("none")
	}
	out := pass("all hold")
	var seen, reasons []string
	for _, q := range c.Policy.Guards.PreChecks {
		v := q.check(ctx, p.sources, c)
		seen = append(seen, v.Value)
		if v.Outcome == Pass {
			continue
		}
		reasons = append(reasons, v.Reason)
		if out.Outcome != Deny {
			out.Outcome = v.Outcome
		}
	}
	if len(reasons) > 0 {
		out.Reason = strings.Join(reasons, "; ")
	}
	return out.saw("%s", strings.Join(seen, ", "))
}

// check asks one question and holds its one sample against what is required.
func (q PreCheck) check(ctx context.Context, sources Sources, c Candidate) Verdict {
	require, err := parseRequirement(q.Require)
	if err != nil {
		return blind(q.Name + ": " + err.Error())
	}
	got, err := sampleOf(ctx, sources, q.Source, q.PromQL, c)
	if err != nil {
		return blind(q.Name+": "+err.Error()).saw("%s: not known", q.Name)
	}
	v := pass("%s must be %s", q.Name, require)
	if !require.holds(got) {
		v.Outcome = Deny
	}
	return v.saw("%s: %s", q.Name, number(got))
}

// proof asks for the trouble by other means than the alert that fired: another
// source, or other metrics. One broken exporter must not restart a fleet.
type proof struct{ sources Sources }

// Name implements Guard.
func (proof) Name() string { return "proof" }

// Check implements Guard.
func (p proof) Check(ctx context.Context, c Candidate) Verdict {
	q := c.Policy.Guards.Proof
	if class := c.Policy.DangerOf(c.Step); q == nil {
		if class.rank() < Disruptive.rank() {
			return pass("a %s step needs none", class)
		}
		return deny("a %s step needs proof by other means than the alert", class)
	}
	if why := q.dependent(c); why != "" {
		return blind("it may be no proof: " + why)
	}
	return q.check(ctx, p.sources, c)
}

// dependent says why the question may see only what the alert saw, "" if it is
// independent: the policy says that its source measures by itself, and that
// source did not answer for the alert; or it reads no metric that the alert's
// rule reads.
func (q PreCheck) dependent(c Candidate) string {
	if q.Elsewhere {
		return q.watched(c.Page)
	}
	posed, err := pose(q.PromQL, c.Target)
	if err != nil {
		return err.Error()
	}
	reads, ok := metricsOf(posed)
	if !ok {
		return "it does not name its metrics"
	}
	alerts := c.concerned()
	if len(alerts) == 0 {
		return "no alert is about the target"
	}
	seen := map[string]bool{}
	for _, a := range alerts {
		if seen[a.GeneratorURL] {
			continue
		}
		seen[a.GeneratorURL] = true
		if why := shares(reads, a); why != "" {
			return why
		}
	}
	return ""
}

// watched says that the source which should measure by itself is one that
// answered for the alert.
func (q PreCheck) watched(pg page.Page) string {
	if q.Source == "" {
		return "it names no source"
	}
	watch := []string{}
	for _, asked := range pg.Queries {
		watch = append(watch, asked.Source)
	}
	for _, t := range pg.Traits {
		watch = append(watch, t.Source)
	}
	if slices.Contains(watch, q.Source) {
		return "its source answered for the alert, too"
	}
	return ""
}

// shares says what the question has in common with an alert's rule, or why that
// is not known.
func shares(reads []string, a page.Alert) string {
	text, err := expr.FromGeneratorURL(a.GeneratorURL)
	if err != nil {
		return "what the alert's rule reads is not known: " + err.Error()
	}
	rule, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return "what the alert's rule reads is not known: it is no PromQL"
	}
	watched, ok := metricsOf(rule)
	if !ok {
		return "the alert's rule does not name its metrics"
	}
	for _, m := range slices.Concat(reads, watched) {
		if strings.Contains(m, ":") {
			return fmt.Sprintf("what is recorded as %s is not known", m)
		}
	}
	for _, m := range reads {
		if slices.Contains(watched, m) || m == "ALERTS" || m == "ALERTS_FOR_STATE" {
			return fmt.Sprintf("the alert's rule reads %s too", m)
		}
	}
	return ""
}
