package remediate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// proof asks for the trouble by other means than the alert that fired: other
// metrics of other scrape targets, or a source that measures by itself. One
// broken exporter must not restart a fleet.
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
	if why := p.dependent(ctx, q, c); why != "" {
		return blind("it may be no proof: " + why)
	}
	return q.check(ctx, p.sources, c)
}

// dependent says why the question may see only what the alert saw, "" if it is
// independent: the policy says that its source measures by itself, and that
// source did not answer for the alert; or it reads no measurement that the
// alert's rule reads, and no target that was scraped for it.
func (p proof) dependent(ctx context.Context, q *PreCheck, c Candidate) string {
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
	seen := map[string]bool{} // replicas link the same rule at addresses of their own
	for _, a := range alerts {
		rule, why := ruleOf(a)
		if why != "" {
			return why
		}
		text := rule.String()
		if seen[text] {
			continue
		}
		seen[text] = true
		if why = shares(reads, rule); why == "" {
			why = p.scraped(ctx, q.Source, posed, rule, c.Now)
		}
		if why != "" {
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

// ruleOf is the expression of an alert's rule, or why it is not known.
func ruleOf(a page.Alert) (rule parser.Expr, why string) {
	text, err := expr.FromGeneratorURL(a.GeneratorURL)
	if err != nil {
		return nil, "what the alert's rule reads is not known: " + err.Error()
	}
	if rule, err = parser.NewParser(parser.Options{}).ParseExpr(text); err != nil {
		return nil, "what the alert's rule reads is not known: it is no PromQL"
	}
	return rule, ""
}

// shares says what the question has by name in common with a rule, or why that
// is not known.
func shares(reads []string, rule parser.Expr) string {
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
		if m == "ALERTS" || m == "ALERTS_FOR_STATE" {
			return fmt.Sprintf("%s is the alert itself", m)
		}
		at := slices.IndexFunc(watched, func(w string) bool { return measurement(w) == measurement(m) })
		switch {
		case at < 0:
		case watched[at] == m:
			return fmt.Sprintf("the alert's rule reads %s too", m)
		default:
			return fmt.Sprintf("the alert's rule reads %s, which is the same measurement as %s", watched[at], m)
		}
	}
	return ""
}

// measurement is what one instrument's several metrics have in common: a
// histogram's sum, count and buckets, and the native histogram of that name; a
// summary's; a counter's total and when it was made. Two that only look so are
// taken for one: then there is no proof.
func measurement(metric string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum", "_gcount", "_gsum", "_max", "_min", "_total", "_created"} {
		if base, ok := strings.CutSuffix(metric, suffix); ok && base != "" {
			return base
		}
	}
	return metric
}

const (
	// scrapedWithin is how long ago the rule's metrics may have been scraped last:
	// of what is gone, nobody could tell who measured it.
	scrapedWithin = 15 * time.Minute
	// maxWatched bounds the selectors of a rule.
	maxWatched = 32
)

// scraped says that a target was scraped both for the question and for the rule,
// or that this cannot be told: what one exporter gets wrong, all of its metrics
// may have wrong. What a rule has recorded, whatever it is called, has the
// target's labels of what it was made from, or none.
func (p proof) scraped(ctx context.Context, source string, question, rule parser.Expr, now time.Time) string {
	if p.sources == nil {
		return "no source is configured"
	}
	asked, err := selectorsOf(question, "%s")
	if err != nil {
		return err.Error()
	}
	watched, err := selectorsOf(rule, fmt.Sprintf("last_over_time(%%s[%ds])", int(scrapedWithin.Seconds())))
	if err != nil {
		return "the alert's rule: " + err.Error()
	}
	if len(watched.targets) > maxWatched {
		return "the alert's rule reads too much to tell who measured it"
	}
	questions := []struct {
		query string
		some  bool // there should be samples
		why   string
	}{
		{countOf(watched.targets), true, "its source does not have what the alert's rule reads, so who measured that is not known"},
		{countOf(watched.nameless), false, "who measured what the alert's rule reads is not known: a series of it has no job or no instance, as what is recorded"},
		{countOf(asked.nameless), false, "who measures it is not known: a series of it has no job or no instance, as what is recorded"},
		{
			"count((" + strings.Join(asked.targets, " or ") + ") and on (job, instance) (" + strings.Join(watched.targets, " or ") + "))", false,
			"a target that it is scraped from is one that the alert's rule reads",
		},
	}
	answers := make([]string, len(questions)) // why each says no
	var asking sync.WaitGroup
	for i, one := range questions {
		asking.Go(func() {
			values, err := reliable(ctx, p.sources, source, one.query, now)
			switch {
			case err != nil:
				answers[i] = "who measured it cannot be asked: " + err.Error()
			case (len(values) > 0) != one.some:
				answers[i] = one.why
			}
		})
	}
	asking.Wait()
	return cmp.Or(answers...)
}

func countOf(vectors []string) string { return "count(" + strings.Join(vectors, " or ") + ")" }

// scrapes are, of all selectors of an expression, which targets they were scraped
// from, and the series that do not say so.
type scrapes struct{ targets, nameless []string }

// selectorsOf are the selectors of an expression as of now, each once, each put
// into a function over it.
func selectorsOf(q parser.Expr, over string) (scrapes, error) {
	var out scrapes
	parser.Inspect(q, func(n parser.Node, _ []parser.Node) error {
		sel, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		plain := func(without string) string {
			s := parser.VectorSelector{Name: sel.Name, LabelMatchers: slices.Clone(sel.LabelMatchers)}
			if without != "" {
				s.LabelMatchers = append(s.LabelMatchers, labels.MustNewMatcher(labels.MatchEqual, without, ""))
			}
			return fmt.Sprintf(over, s.String())
		}
		one := "group by (job, instance) (" + plain("") + ")"
		if !slices.Contains(out.targets, one) {
			out.targets = append(out.targets, one)
			out.nameless = append(out.nameless, plain("job"), plain("instance"))
		}
		return nil
	})
	if len(out.targets) == 0 {
		return out, errors.New("it asks for no metric")
	}
	return out, nil
}
