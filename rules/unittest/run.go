package unittest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	prom "github.com/prometheus/prometheus/rules"

	"github.com/tocsin/tocsin/rules/replay"
)

// Options of a run. The zero value judges as promtool does without flags.
type Options struct {
	Run                 *regexp.Regexp // of the tests only those with such names; nil: all
	IgnoreUnknownFields bool           // of rule files
	Features            Features

	// Pages tells what pages there are at a time of a test. It is asked where
	// a file expects pages, and may ask World.Prometheus meanwhile, not later.
	Pages func(ctx context.Context, f *File, w World) ([]Shown, error)
}

// Features are what promtool's --enable-feature switches on.
type Features struct {
	ExperimentalFunctions  bool // promql-experimental-functions
	DelayedNameRemoval     bool // promql-delayed-name-removal
	ExtendedRangeSelectors bool // promql-extended-range-selectors
	BinopFillModifiers     bool // promql-binop-fill-modifiers
}

// Enable switches a feature on by promtool's word for it; false: it knows no such word.
func (f *Features) Enable(word string) bool {
	switch word {
	case "promql-experimental-functions":
		f.ExperimentalFunctions = true
	case "promql-delayed-name-removal":
		f.DelayedNameRemoval = true
	case "promql-extended-range-selectors":
		f.ExtendedRangeSelectors = true
	case "promql-binop-fill-modifiers":
		f.BinopFillModifiers = true
	case "promql-duration-expr": // promtool has it on
	default:
		return false
	}
	return true
}

func (f Features) parser() parser.Parser {
	return parser.NewParser(parser.Options{
		ExperimentalDurationExpr: true, EnableExperimentalFunctions: f.ExperimentalFunctions,
		EnableExtendedRangeSelectors: f.ExtendedRangeSelectors, EnableBinopFillModifiers: f.BinopFillModifiers,
	})
}

// World is what a test holds at one of its times.
type World struct {
	Test       string
	Now        time.Time
	Outcomes   []replay.Outcome  // what fired until now, by rule; what Resolved is zero fires
	Prometheus http.RoundTripper // answers a Prometheus' API from the test's series, at any address
}

// Result is what came of one test.
type Result struct {
	Name     string    `json:"name"`
	Line     int       `json:"line"`
	Failures []Failure `json:"failures,omitempty"` // none: it passed
	Pages    int       `json:"pages,omitempty"`    // that were looked at
}

// Failure is one expectation that does not hold, or an error.
type Failure struct {
	Line     int      `json:"line"`
	What     string   `json:"what,omitempty"` // of which alert, expression or page, and when
	Text     string   `json:"text,omitempty"` // what is wrong, where no lists tell it
	Expected []string `json:"expected,omitempty"`
	Got      []string `json:"got,omitempty"`
}

// Run runs the tests of a file, one after the other, in its order, and notes in
// c which alerts they look at. Only ctx ends it early.
func (f *File) Run(ctx context.Context, o Options, c *Coverage) ([]Result, error) {
	var out []Result
	for i := range f.doc.Tests {
		t := &f.doc.Tests[i]
		if o.Run != nil && !o.Run.MatchString(t.Name) {
			continue
		}
		r := &runner{file: f, index: i, test: t, options: o, tracked: map[*prom.AlertingRule]*tracked{}, coverage: c}
		if err := r.run(ctx); err != nil {
			return out, err
		}
		out = append(out, Result{Name: t.name(i), Line: f.line("tests", i), Failures: r.failures, Pages: r.judged})
	}
	return out, nil
}

// runner is one test that runs.
type runner struct {
	file     *File
	index    int
	test     *test
	options  Options
	suite    *promqltest.LazyLoader
	groups   []*prom.Group
	begin    time.Time
	next     time.Time // evaluation
	tracked  map[*prom.AlertingRule]*tracked
	coverage *Coverage
	failures []Failure
	judged   int // pages
}

func (r *runner) fail(line int, what string, err error) {
	r.failures = append(r.failures, Failure{Line: line, What: what, Text: err.Error()})
}

// line is where something of this test stands.
func (r *runner) line(steps ...any) int {
	return r.file.line(append([]any{"tests", r.index}, steps...)...)
}

// run does what promtool's testGroup.test does, in its order. The error is
// ctx's; everything else is a failure of the test.
func (r *runner) run(ctx context.Context) (err error) {
	opts := promqltest.LazyLoaderOpts{
		EnableAtModifier: true, EnableNegativeOffset: true, EnableDelayedNameRemoval: r.options.Features.DelayedNameRemoval,
		StartTime: r.test.Start.Time,
	}
	if r.suite, err = promqltest.NewLazyLoader(r.test.load(), opts); err != nil {
		r.fail(r.line("input_series"), "input_series", err)
		return ctx.Err()
	}
	defer func() {
		if closed := r.suite.Close(); closed != nil {
			r.fail(r.line(), "close the series", closed)
		}
	}()
	r.suite.SubqueryInterval = time.Duration(r.file.doc.EvaluationInterval)
	if !r.loadRules() || !r.named() {
		return ctx.Err()
	}
	if r.begin = r.test.Start.Time; r.begin.IsZero() {
		r.begin = time.Unix(0, 0).UTC()
	}
	r.next = r.begin
	if !r.evaluate(ctx, r.begin.Add(r.test.last()), false) {
		return ctx.Err()
	}
	for i := range r.test.Exprs {
		r.judgeExpr(i)
	}
	r.evaluate(ctx, r.begin.Add(r.lastPage()), true)
	return ctx.Err()
}

// loadRules reads the rule files as Prometheus' manager does.
func (r *runner) loadRules() bool {
	m := prom.NewManager(&prom.ManagerOptions{
		QueryFunc:  prom.EngineQueryFunc(r.suite.QueryEngine(), r.suite.Storage()),
		Appendable: r.suite.Storage(), Context: context.Background(), Logger: promslog.NewNopLogger(),
		NotifyFunc: func(context.Context, string, ...*prom.Alert) {},
		Parser:     r.options.Features.parser(),
	})
	groups, errs := m.LoadGroups(time.Duration(r.test.Interval), r.test.ExternalLabels, r.test.ExternalURL, nil,
		r.options.IgnoreUnknownFields, r.file.doc.RuleFiles...)
	if errs != nil {
		for _, err := range errs {
			r.fail(r.file.line("rule_files"), "rule_files", err)
		}
		return false
	}
	order := map[string]int{}
	for i, name := range r.file.doc.GroupEvalOrder {
		order[name] = i
	}
	r.groups = nil
	for _, key := range slices.Sorted(maps.Keys(groups)) { // promtool leaves those without an order to chance
		r.groups = append(r.groups, groups[key])
	}
	slices.SortStableFunc(r.groups, func(a, b *prom.Group) int { return order[a.Name()] - order[b.Name()] })
	for _, g := range r.groups {
		for _, rule := range alerting(g) {
			rule.SetRestored(true) // else it writes no ALERTS
			r.tracked[rule] = r.track(g, rule)
		}
	}
	return true
}

// named refuses an alert test without the alert's name.
func (r *runner) named() bool {
	for i, a := range r.test.Alerts {
		if a.Alertname == "" {
			r.fail(r.line("alert_rule_test", i), "alert_rule_test",
				fmt.Errorf("an item misses required attribute alertname at eval_time %v", a.EvalTime))
			return false
		}
	}
	return true
}

// evaluate evaluates the rules until a time, and judges what is expected on the
// way; extra: the time lies behind promtool's end. False: an evaluation failed.
func (r *runner) evaluate(ctx context.Context, until time.Time, extra bool) bool {
	every := time.Duration(r.file.doc.EvaluationInterval)
	for ; !r.next.After(until) && ctx.Err() == nil; r.next = r.next.Add(every) {
		ts, sound := r.next, true
		r.suite.WithSamplesTill(ts, func(err error) {
			if err != nil {
				r.fail(r.line("input_series"), "input_series", err)
				return
			}
			sound = r.step(ts)
		})
		if !sound {
			return false
		}
		if !extra {
			r.judgeAlerts(ts.Sub(r.begin), every)
		}
		r.judgePages(ctx, ts, every)
	}
	return ctx.Err() == nil
}

// step is one evaluation of all rules.
func (r *runner) step(ts time.Time) bool {
	sound := true
	for _, g := range r.groups {
		g.Eval(r.suite.Context(), ts)
		for _, rule := range g.Rules() {
			if err := rule.LastError(); err != nil {
				r.fail(r.line(), fmt.Sprintf("rule: %s, time: %s", rule.Name(), ts.Sub(time.Unix(0, 0).UTC())), err)
				sound = false
			}
		}
		for _, rule := range alerting(g) {
			r.tracked[rule].note(rule, ts)
		}
	}
	return sound
}

// judgePages judges the pages of the times from ts to the next evaluation.
func (r *runner) judgePages(ctx context.Context, ts time.Time, every time.Duration) {
	elapsed := ts.Sub(r.begin)
	seen := map[Elapsed][]Shown{}
	for i := range r.file.Pages.Pages {
		p := &r.file.Pages.Pages[i]
		at := time.Duration(p.EvalTime)
		if p.test != r.index || at < elapsed || at >= elapsed+every {
			continue
		}
		shown, known := seen[p.EvalTime]
		if !known {
			var err error
			if shown, err = r.pages(ctx, r.begin.Add(at)); err != nil {
				if ctx.Err() == nil {
					r.fail(p.Line, p.what(), err)
				}
				continue
			}
			seen[p.EvalTime] = shown
		}
		r.judged++
		for rule := range r.called(p.Alertname) {
			t := r.tracked[rule]
			r.coverage.saw(t.key, t.at(ts) > 0)
		}
		if f := p.judge(shown); f != nil {
			r.failures = append(r.failures, *f)
		}
	}
}

func (r *runner) pages(ctx context.Context, now time.Time) ([]Shown, error) {
	if r.options.Pages == nil {
		return nil, errors.New("nobody tells the pages")
	}
	server := newServer(r.suite.Storage(), r.groups, time.Duration(r.file.doc.EvaluationInterval), r.options.Features)
	defer server.close()
	return r.options.Pages(ctx, r.file, World{Test: r.test.name(r.index), Now: now, Outcomes: r.outcomes(), Prometheus: server})
}

// lastPage is when the last page of this test is expected.
func (r *runner) lastPage() time.Duration {
	last := time.Duration(-1) // before the first evaluation
	for _, p := range r.file.Pages.Pages {
		if p.test == r.index {
			last = max(last, time.Duration(p.EvalTime))
		}
	}
	return last
}

// last is when the last of what promtool judges is expected.
func (t *test) last() time.Duration {
	var last time.Duration
	for _, a := range t.Alerts {
		last = max(last, time.Duration(a.EvalTime))
	}
	for _, e := range t.Exprs {
		last = max(last, time.Duration(e.EvalTime))
	}
	return last
}
