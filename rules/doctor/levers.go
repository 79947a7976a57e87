package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules/latency"
)

// Lever is one line that would shorten the time to notify.
type Lever struct {
	File  string        `json:"file"`
	Line  int           `json:"line"`
	Key   string        `json:"key"`
	From  string        `json:"from"`
	To    string        `json:"to"`
	Saves time.Duration `json:"saves_ns"` // of the mean
	Why   string        `json:"why,omitempty"`
}

// String is `alertmanager.yml:12 group_wait: 30s → 0s: −30s`.
func (l Lever) String() string {
	place := l.File
	if l.Line > 0 {
		place += fmt.Sprintf(":%d", l.Line)
	}
	return fmt.Sprintf("%s %s: %s → %s: −%s", place, l.Key, l.From, l.To, seconds(l.Saves))
}

// What the intervals of a rule that pages are best set to.
const (
	pageScrape = 10 * time.Second
	pageEval   = 5 * time.Second
	pageWindow = time.Minute
)

// cures know where everything about one rule is written.
type cures struct {
	rule                 recording
	eval, offset, scrape Setting
	recorded             []recording
	way                  *Route // nil: no route tree
	level                float64
	e                    parser.Expr
}

// levers are what may be changed, by what it saves of the mean.
func (c cures) levers(chain latency.Chain) []Lever {
	var out []Lever
	now := chain.Total().Mean
	try := func(s Setting, to string, why string, change func(*latency.Chain)) {
		then := chain
		change(&then)
		saves := now - then.Total().Mean
		if saves < time.Second {
			return
		}
		from := model.Duration(s.Value).String()
		if s.Default {
			from += " (default)"
		}
		out = append(out, Lever{File: s.File, Line: s.Line, Key: s.Key, From: from, To: to, Saves: saves, Why: why})
	}
	r := c.rule
	hold, why := 2*chain.Eval, "two evaluations keep out one bad sample"
	if c.windowed() {
		hold, why = 0, "its window filters already; keep_firing_for: 5m keeps it from flapping"
	}
	try(Setting{Key: "for", Value: r.rule.For, File: r.file.Path, Line: r.rule.Lines.Of("for", r.rule.Line)},
		model.Duration(hold).String(), why, func(t *latency.Chain) { t.For = hold })
	if c.way != nil {
		try(c.way.Wait, "0s", "alerts that follow are edits of the page", func(t *latency.Chain) { t.GroupWait = 0 })
	}
	try(c.eval, "5s", "in a group of its own for rules that page", func(t *latency.Chain) { t.Eval = pageEval })
	try(c.scrape, "10s", "of the jobs that rules which page read", func(t *latency.Chain) { t.Scrape = pageScrape })
	try(c.offset, "0s", "it hides remote write's lag, and costs itself", func(t *latency.Chain) { t.Offset = 0 })
	for i, rec := range c.recorded {
		if chain.Recorded[i].Same && !chain.Recorded[i].Behind {
			continue
		}
		try(Setting{Key: "record " + rec.rule.Record, Value: chain.Recorded[i].Eval, File: rec.file.Path, Line: rec.rule.Line},
			fmt.Sprintf("group %q, ahead of the alert", r.group.Name), "what is recorded in the same evaluation is not waited for",
			func(t *latency.Chain) {
				t.Recorded = slices.Clone(t.Recorded)
				t.Recorded[i] = latency.Recorded{Same: true}
			})
	}
	if l, ok := c.window(chain); ok {
		out = append(out, l)
	}
	slices.SortStableFunc(out, func(a, b Lever) int { return cmp.Compare(b.Saves, a.Saves) })
	return out
}

// windowed reports whether the expression looks back over more than a sample.
func (c cures) windowed() bool {
	found := false
	parser.Inspect(c.e, func(n parser.Node, _ []parser.Node) error {
		_, matrix := n.(*parser.MatrixSelector)
		_, sub := n.(*parser.SubqueryExpr)
		found = found || matrix || sub
		return nil
	})
	return found
}

// window is the lever of an expression whose windows are longer than a minute.
// It is only offered where the condition follows from the window.
func (c cures) window(chain latency.Chain) (Lever, bool) {
	longest := time.Duration(0)
	short, err := parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true, ExperimentalDurationExpr: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	}).ParseExpr(c.e.String()) // a copy to change
	if err != nil {
		return Lever{}, false
	}
	parser.Inspect(short, func(n parser.Node, _ []parser.Node) error {
		if m, ok := n.(*parser.MatrixSelector); ok && m.Range > pageWindow {
			longest = max(longest, m.Range)
			m.Range, m.RangeExpr = pageWindow, nil
		}
		return nil
	})
	then := latency.ConditionOf(short, c.level, c.scrape.Value)
	saves := chain.Condition.Mean - then.Mean
	if longest == 0 || !then.Known || then.Never || saves < time.Second {
		return Lever{}, false
	}
	why := "a shorter window is over its threshold sooner; add a floor of traffic"
	if longest > 30*time.Minute {
		why = "a long window guards the budget: keep it, and add a rule over [1m] that pages"
	}
	return Lever{
		File: c.rule.file.Path, Line: c.rule.rule.Lines.Of("expr", c.rule.rule.Line), Key: "expr",
		From: "[" + model.Duration(longest).String() + "]", To: "[1m]", Saves: saves, Why: why,
	}, true
}

// Budgets are the longest times to notify, by severity.
type Budgets map[string]config.Duration

// Over returns by how much a prediction is over its severity's budget, 0 when it
// is within it, has none, or a fault of this size does not fire the rule.
func (b Budgets) Over(p Prediction, worst bool) time.Duration {
	budget, has := b[p.Severity]
	if !has || p.Never {
		return 0
	}
	took := p.Mean
	if worst {
		took = p.Worst
	}
	return max(0, took-budget.D())
}
