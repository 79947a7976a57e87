package unittest

import (
	"cmp"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	prom "github.com/prometheus/prometheus/rules"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/replay"
)

// tracked follows one alerting rule through a test.
type tracked struct {
	key  key
	rule replay.Rule
	past []replay.Firing
	open map[uint64]*replay.Firing
}

// key is an alerting rule among all that the tests load.
type key struct {
	file, group, alert string
	at                 int // of the alerting rules of its group
}

// alerting are the alerting rules of a group in its order, which g.AlertingRules does not keep.
func alerting(g *prom.Group) []*prom.AlertingRule {
	var out []*prom.AlertingRule
	for _, r := range g.Rules() {
		if a, ok := r.(*prom.AlertingRule); ok {
			out = append(out, a)
		}
	}
	return out
}

func (r *runner) track(g *prom.Group, rule *prom.AlertingRule) *tracked {
	k := key{file: filepath.Clean(g.File()), group: g.Name(), alert: rule.Name(), at: slices.Index(alerting(g), rule)}
	r.coverage.know(k)
	return &tracked{key: k, open: map[uint64]*replay.Firing{}, rule: replay.Rule{
		Group: g.Name(), Alert: rule.Name(), Expr: rule.Query().String(), Every: time.Duration(r.file.doc.EvaluationInterval),
		For: rule.HoldDuration(), KeepFiringFor: rule.KeepFiringFor(), Labels: rule.Labels().Map(), Annotations: rule.Annotations().Map(),
		External: r.test.ExternalLabels.Map(), File: k.file,
	}}
}

// note compares what the rule says after an evaluation with what was known.
func (t *tracked) note(rule *prom.AlertingRule, ts time.Time) {
	firing := map[uint64]bool{}
	rule.ForEachActiveAlert(func(a *prom.Alert) {
		if a.State != prom.StateFiring {
			return
		}
		id := a.Labels.Hash()
		firing[id] = true
		if t.open[id] == nil {
			t.open[id] = &replay.Firing{Alert: rule.Name(), Labels: a.Labels.Map(), Active: a.ActiveAt.UTC(), Fired: a.FiredAt.UTC()}
		}
		t.open[id].Annotations = a.Annotations.Map()
		t.open[id].Summary = cmp.Or(a.Annotations.Get("summary"), a.Annotations.Get("description"))
	})
	for id, f := range t.open {
		if !firing[id] {
			f.Resolved = ts.UTC()
			t.past = append(t.past, *f)
			delete(t.open, id)
		}
	}
}

// at counts the alerts that fired after the evaluation at or before a time.
func (t *tracked) at(ts time.Time) int {
	n := 0
	for _, f := range t.all() {
		if f.At(ts) {
			n++
		}
	}
	return n
}

func (t *tracked) all() []replay.Firing {
	out := slices.Clone(t.past)
	for _, f := range t.open {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b replay.Firing) int {
		return cmp.Or(a.Fired.Compare(b.Fired), strings.Compare(a.Labels.ID(), b.Labels.ID()))
	})
	return out
}

// outcomes is what fired so far.
func (r *runner) outcomes() []replay.Outcome {
	var out []replay.Outcome
	for _, g := range r.groups {
		for _, rule := range alerting(g) {
			t := r.tracked[rule]
			out = append(out, replay.Outcome{Rule: t.rule, Firings: t.all()})
		}
	}
	return out
}

// called yields the alerting rules of a name, which may stand in several groups.
func (r *runner) called(name string) iter.Seq[*prom.AlertingRule] {
	return func(yield func(*prom.AlertingRule) bool) {
		for _, g := range r.groups {
			for _, rule := range alerting(g) {
				if rule.Name() == name && !yield(rule) {
					return
				}
			}
		}
	}
}

// Coverage tells which alerts the tests look at. The zero value is ready.
type Coverage struct {
	order []key
	seen  map[key]*seen
}

type seen struct{ firing, silent bool }

// Covered is one alert and what the tests have seen of it.
type Covered struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Group  string `json:"group"`
	Alert  string `json:"alert"`
	Firing bool   `json:"firing"` // a test looked while it fired
	Silent bool   `json:"silent"` // a test looked while it did not
}

// Whole says whether tests have seen both.
func (c Covered) Whole() bool { return c.Firing && c.Silent }

func (c *Coverage) know(k key) {
	if c.seen == nil {
		c.seen = map[key]*seen{}
	}
	if c.seen[k] == nil {
		c.seen[k] = &seen{}
		c.order = append(c.order, k)
	}
}

func (c *Coverage) saw(k key, firing bool) {
	c.seen[k].firing = c.seen[k].firing || firing
	c.seen[k].silent = c.seen[k].silent || !firing
}

// expression notes what a test sees that asks for ALERTS themselves: of every
// alert that the selector may mean, whether it fires.
func (c *Coverage) expression(r *runner, text string, at time.Time) {
	e, err := rules.ParseExpr(text)
	if err != nil {
		return
	}
	s, ok := e.(*parser.VectorSelector)
	if !ok || s.OriginalOffset != 0 || s.Timestamp != nil || !means(s, model.MetricNameLabel, "ALERTS") || !means(s, "alertstate", "firing") {
		return
	}
	for _, t := range r.tracked {
		if means(s, labels.AlertName, t.key.alert) {
			c.saw(t.key, t.at(at) > 0)
		}
	}
}

// means says whether the selector takes a label with the value.
func means(s *parser.VectorSelector, name, value string) bool {
	return !slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == name && !m.Matches(value) })
}

// Alerts lists all alerts that the tests loaded, in the order of files and of
// their groups.
func (c *Coverage) Alerts() []Covered {
	var out []Covered
	lines := map[string]map[key]int{}
	for _, k := range c.order {
		if lines[k.file] == nil {
			lines[k.file] = alertLines(k.file)
		}
		out = append(out, Covered{
			File: k.file, Line: lines[k.file][k], Group: k.group, Alert: k.alert, Firing: c.seen[k].firing, Silent: c.seen[k].silent,
		})
	}
	slices.SortStableFunc(out, func(a, b Covered) int { return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line) })
	return out
}

// alertLines finds where alerts stand. A file that our own reader would not take
// has been read by Prometheus': it has no lines.
func alertLines(path string) map[key]int {
	out := map[key]int{}
	f, err := rules.ReadFile(path)
	if err != nil {
		return out
	}
	for _, g := range f.Groups {
		at := 0
		for _, x := range g.Rules {
			if x.Alert != "" {
				out[key{path, g.Name, x.Alert, at}] = x.Line
				at++
			}
		}
	}
	return out
}
