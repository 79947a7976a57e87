// Package replay answers what would have been: it evaluates alerting rules over
// the history that a Prometheus or Thanos holds, with Prometheus' own code for
// `for`, `keep_firing_for` and templates, walks what fires through an
// Alertmanager's route tree, and tells the pages that would have left. Nobody
// is told of them.
package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	prom "github.com/prometheus/prometheus/rules"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules"
)

// Rule is an alerting rule as its group evaluates it.
type Rule struct {
	Group         string
	Alert         string
	Expr          string
	Every         time.Duration // between evaluations
	Phase         time.Duration // of the evaluations: their times are k × Every + Phase since 1970
	Offset        time.Duration // query_offset
	For           time.Duration
	KeepFiringFor time.Duration
	Limit         int // alerts, 0 for none
	Labels        page.Labels
	Annotations   page.Labels
	External      page.Labels // labels that the server adds to what it sends
	File          string
	Line          int
}

// Window is the history that is looked at.
type Window struct{ From, To time.Time }

// Firing is one alert from the evaluation that fired it to the one that ended it.
type Firing struct {
	Alert    string      `json:"alert"`
	Labels   page.Labels `json:"labels"` // with alertname and without external ones
	Summary  string      `json:"summary,omitempty"`
	Active   time.Time   `json:"active"`            // since when the expression held
	Fired    time.Time   `json:"fired"`             // evaluation at which it fired
	Resolved time.Time   `json:"resolved,omitzero"` // evaluation at which it ended; zero: it fires at the window's end

	Annotations page.Labels `json:"-"` // all of them, as they were when it fired
}

// At says whether the alert was firing after the evaluation at a time.
func (f Firing) At(t time.Time) bool {
	return !t.Before(f.Fired) && (f.Resolved.IsZero() || t.Before(f.Resolved))
}

// Outcome is what came of one rule.
type Outcome struct {
	Rule        Rule
	Firings     []Firing // in the order in which they fired, then of their labels
	Evaluations int
	Failed      []string // evaluations that would have failed, the first of each kind
}

// maxWarm bounds how long before the window a rule is followed so that what
// was pending or firing at its beginning is known.
const maxWarm = 24 * time.Hour

// warm is how long before the window the evaluation begins.
func (r Rule) warm() time.Duration {
	return min(maxWarm, r.For+r.KeepFiringFor+2*r.Every)
}

// first is the first evaluation at or after t.
func (r Rule) first(t time.Time) time.Time {
	since := t.UnixNano() - int64(r.Phase)
	k := since / int64(r.Every)
	if since%int64(r.Every) > 0 {
		k++
	}
	return time.Unix(0, k*int64(r.Every)+int64(r.Phase)).UTC()
}

// Check says what keeps a rule from being replayed.
func (r Rule) Check() error {
	switch {
	case r.Alert == "":
		return errors.New("the rule has no name")
	case r.Every < time.Millisecond:
		return fmt.Errorf("%s: it is evaluated every %s: that is no interval", r.Alert, r.Every)
	case r.Phase < 0 || r.Phase >= r.Every:
		return fmt.Errorf("%s: a phase of %s does not lie within %s", r.Alert, r.Phase, r.Every)
	}
	return nil
}

// Evaluate replays one rule over a window. The answers come from h, in chunks;
// progress is called with the evaluations done after each of them. An error of
// the history ends the replay; an evaluation that fails by itself (two alerts
// with the same labels, more than the limit) is told in the outcome and leaves
// the alerts as Prometheus would.
func Evaluate(ctx context.Context, h *History, r Rule, w Window, progress func(done int)) (Outcome, error) {
	out := Outcome{Rule: r}
	if err := r.Check(); err != nil {
		return out, err
	}
	expr, err := rules.ParseExpr(r.Expr)
	if err != nil {
		return out, fmt.Errorf("%s: %w", r.Alert, err)
	}
	e := newEvaluator(h, r, expr, &out)
	begin, end := r.first(w.From.Add(-r.warm())), r.first(w.To)
	for at := begin; at.Before(end); {
		chunk, err := h.chunk(ctx, r.Expr, at.Add(-r.Offset), end.Add(-r.Offset-time.Nanosecond), r.Every)
		if err != nil {
			return out, fmt.Errorf("%s: %w", r.Alert, err)
		}
		if err := e.walk(ctx, at, chunk, w); err != nil {
			return out, fmt.Errorf("%s: %w", r.Alert, err)
		}
		at = at.Add(time.Duration(chunk.steps) * r.Every)
		if progress != nil {
			progress(chunk.steps)
		}
	}
	e.finish(w)
	return out, nil
}

// Steps is how many evaluations a replay of the rule takes.
func Steps(r Rule, w Window) int {
	begin, end := r.first(w.From.Add(-r.warm())), r.first(w.To)
	return int(max(0, end.Sub(begin)/r.Every))
}

// evaluator drives Prometheus' rule through the answers.
type evaluator struct {
	h        *History
	rule     Rule
	expr     parser.Expr
	text     string // of the expression, as the rule asks for it
	alerting *prom.AlertingRule
	dressed  bool // the answers carry the rule's labels, and it has none to add
	out      *Outcome
	now      promql.Vector // the answer at the evaluation's time
	live     bool          // some alert is pending, firing, or kept after its end
	open     map[uint64]*Firing
	failed   map[string]bool
	asking   error // of a template's question
}

// newEvaluator prepares the rule. Prometheus expands the templates of all
// labels and annotations of all alerts at each evaluation, which is most of its
// work: labels without a template are put on the answers once instead, and
// annotations, which are no part of what an alert is, are expanded when it fires.
func newEvaluator(h *History, r Rule, expr parser.Expr, out *Outcome) *evaluator {
	e := &evaluator{h: h, rule: r, expr: expr, text: expr.String(), out: out, open: map[uint64]*Firing{}, failed: map[string]bool{}, dressed: true}
	for _, value := range r.Labels {
		e.dressed = e.dressed && !strings.Contains(value, "{{")
	}
	given := labels.EmptyLabels()
	if !e.dressed {
		given = set(r.Labels)
	}
	e.alerting = e.alert(r.For, given, labels.EmptyLabels())
	return e
}

func (e *evaluator) alert(wait time.Duration, given, annotations labels.Labels) *prom.AlertingRule {
	return prom.NewAlertingRule(e.rule.Alert, e.expr, wait, e.rule.KeepFiringFor, given, annotations, set(e.rule.External), "", false, slog.New(slog.DiscardHandler))
}

// walk evaluates one chunk.
func (e *evaluator) walk(ctx context.Context, at time.Time, c *chunk, w Window) error {
	c.dress(set(e.rule.Labels))
	for k := range c.steps {
		ts := at.Add(time.Duration(k) * e.rule.Every)
		asked := timestamp.FromTime(ts.Add(-e.rule.Offset))
		e.now = c.vector(k, asked, e.dressed, e.now[:0])
		e.out.Evaluations++
		if len(e.now) == 0 && !e.live {
			continue // nothing is, nothing was: Prometheus would do nothing
		}
		if err := e.eval(ctx, ts); err != nil {
			return err
		}
		fresh := e.note(ts, w)
		if len(fresh) > 0 {
			e.now = c.vector(k, asked, false, e.now[:0])
			e.words(ctx, ts, fresh)
		}
		if e.asking != nil {
			return e.asking
		}
	}
	return nil
}

// words expands the annotations of what has just fired.
func (e *evaluator) words(ctx context.Context, ts time.Time, fresh map[uint64]*Firing) {
	full := e.alert(0, set(e.rule.Labels), set(e.rule.Annotations))
	if _, err := full.Eval(ctx, e.rule.Offset, ts, e.query, nil, 0); err != nil {
		return // the evaluation itself has said so
	}
	full.ForEachActiveAlert(func(a *prom.Alert) {
		if f := fresh[a.Labels.Hash()]; f != nil {
			f.Summary = cmp.Or(a.Annotations.Get("summary"), a.Annotations.Get("description"))
			f.Annotations = a.Annotations.Map()
		}
	})
}

func (e *evaluator) eval(ctx context.Context, ts time.Time) error {
	_, err := e.alerting.Eval(ctx, e.rule.Offset, ts, e.query, nil, e.rule.Limit)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	what := err.Error()
	if kind, _, found := strings.Cut(what, " with "); found { // the count differs each time
		what = kind
	}
	if !e.failed[what] {
		e.failed[what] = true
		e.out.Failed = append(e.out.Failed, fmt.Sprintf("at %s: %v", ts.UTC().Format(time.RFC3339), err))
	}
	return nil
}

// query answers Prometheus' rule: its own expression from the chunk, what its
// templates ask by a question of their own.
func (e *evaluator) query(ctx context.Context, text string, ts time.Time) (promql.Vector, error) {
	if text == e.text {
		return slices.Clone(e.now), nil
	}
	v, err := e.h.instant(ctx, text, ts)
	if err != nil && e.asking == nil && !errors.Is(err, errRefused) {
		e.asking = err
	}
	return v, err
}

// note compares the rule's alerts with what was open, and returns what is new.
func (e *evaluator) note(ts time.Time, w Window) (fresh map[uint64]*Firing) {
	e.live = false
	firing := map[uint64]bool{}
	e.alerting.ForEachActiveAlert(func(a *prom.Alert) {
		e.live = true
		if a.State != prom.StateFiring {
			return
		}
		id := a.Labels.Hash()
		firing[id] = true
		if e.open[id] == nil {
			e.open[id] = &Firing{Alert: e.rule.Alert, Labels: a.Labels.Map(), Active: a.ActiveAt.UTC(), Fired: a.FiredAt.UTC()}
			if fresh == nil {
				fresh = map[uint64]*Firing{}
			}
			fresh[id] = e.open[id]
		}
	})
	for id, f := range e.open {
		if !firing[id] {
			f.Resolved = ts.UTC()
			e.keep(f, w)
			delete(e.open, id)
		}
	}
	return fresh
}

// keep adds a firing that reaches into the window.
func (e *evaluator) keep(f *Firing, w Window) {
	if f.Resolved.IsZero() || f.Resolved.After(w.From) {
		e.out.Firings = append(e.out.Firings, *f)
	}
}

// finish closes the books.
func (e *evaluator) finish(w Window) {
	for _, f := range e.open {
		e.keep(f, w)
	}
	slices.SortFunc(e.out.Firings, func(a, b Firing) int {
		return cmp.Or(a.Fired.Compare(b.Fired), strings.Compare(a.Labels.ID(), b.Labels.ID()))
	})
}

func set(l page.Labels) labels.Labels { return labels.FromMap(l) }
