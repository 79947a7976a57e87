package unittest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	prom "github.com/prometheus/prometheus/rules"
)

// load is the input series in the words of promqltest.
func (t *test) load() string {
	var b strings.Builder
	gap := t.Interval.String()
	if short, ok := strings.CutSuffix(gap, "m0s"); ok {
		gap = short + "m"
	}
	if short, ok := strings.CutSuffix(gap, "h0m"); ok {
		gap = short + "h"
	}
	fmt.Fprintf(&b, "load %v\n", gap)
	for _, s := range t.InputSeries {
		fmt.Fprintf(&b, "  %v %v\n", s.Series, s.Values)
	}
	return b.String()
}

// alerted is one alert, expected or firing.
type alerted struct{ labels, annotations labels.Labels }

func (a alerted) compare(b alerted) int {
	if d := labels.Compare(a.labels, b.labels); d != 0 {
		return d
	}
	return labels.Compare(a.annotations, b.annotations)
}

func (a alerted) equal(b alerted) bool {
	return labels.Equal(a.labels, b.labels) && labels.Equal(a.annotations, b.annotations)
}

func (a alerted) String() string {
	if a.annotations.IsEmpty() {
		return a.labels.String()
	}
	return a.labels.String() + " annotations " + a.annotations.String()
}

// judgeAlerts judges the alert tests of the times from elapsed to the next evaluation.
func (r *runner) judgeAlerts(elapsed, every time.Duration) {
	for i, t := range r.test.Alerts {
		at := time.Duration(t.EvalTime)
		if at < elapsed || at >= elapsed+every {
			continue
		}
		var want, got []alerted
		for rule := range r.called(t.Alertname) {
			fires := 0
			for _, a := range rule.ActiveAlerts() {
				if a.State == prom.StateFiring {
					got = append(got, alerted{a.Labels.Copy(), a.Annotations.Copy()})
					fires++
				}
			}
			r.coverage.saw(r.tracked[rule].key, fires > 0)
		}
		for _, e := range t.Expected {
			with := map[string]string{}
			maps.Copy(with, e.Labels)
			with[labels.AlertName] = t.Alertname // Prometheus adds it, so nobody writes it
			want = append(want, alerted{labels.FromMap(with), labels.FromMap(e.Annotations)})
		}
		slices.SortFunc(want, alerted.compare)
		slices.SortFunc(got, alerted.compare)
		if slices.EqualFunc(want, got, alerted.equal) {
			continue
		}
		f := Failure{Line: r.line("alert_rule_test", i), What: fmt.Sprintf("alertname: %s, time: %s", t.Alertname, t.EvalTime)}
		f.Expected, f.Got = differ(want, got)
		r.failures = append(r.failures, f)
	}
}

// differ leaves out what is on both sides.
func differ(want, got []alerted) (expected, other []string) {
	rest := slices.Clone(got)
	for _, w := range want {
		if i := slices.IndexFunc(rest, w.equal); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		expected = append(expected, w.String())
	}
	for _, g := range rest {
		other = append(other, g.String())
	}
	return expected, other
}

// sample is one of an expression's answer.
type sample struct {
	labels    labels.Labels
	value     float64
	histogram string // as promqltest writes it; "": the value counts
}

func (s sample) String() string {
	if s.histogram != "" {
		return s.labels.String() + " " + s.histogram
	}
	return s.labels.String() + " " + strconv.FormatFloat(s.value, 'G', -1, 64)
}

// judgeExpr judges one expression.
func (r *runner) judgeExpr(i int) {
	t := &r.test.Exprs[i]
	f := Failure{Line: r.line("promql_expr_test", i), What: fmt.Sprintf("expr: %q, time: %s", t.Expr, t.EvalTime)}
	at := r.begin.Add(time.Duration(t.EvalTime))
	got, err := r.query(t.Expr, at)
	if err != nil {
		r.fail(f.Line, f.What, err)
		return
	}
	want, err := r.expected(t)
	if err != nil {
		r.fail(f.Line, f.What, err)
		return
	}
	order := func(a, b sample) int { return labels.Compare(a.labels, b.labels) }
	slices.SortStableFunc(want, order)
	slices.SortStableFunc(got, order)
	same := func(a, b sample) bool {
		return labels.Equal(a.labels, b.labels) && a.histogram == b.histogram && r.file.doc.equal(a.value, b.value)
	}
	r.coverage.expression(r, t.Expr, at)
	if slices.EqualFunc(want, got, same) {
		return
	}
	for _, s := range want {
		if !slices.ContainsFunc(got, func(g sample) bool { return same(s, g) }) {
			f.Expected = append(f.Expected, s.String())
		}
	}
	for _, s := range got {
		if !slices.ContainsFunc(want, func(w sample) bool { return same(w, s) }) {
			f.Got = append(f.Got, s.String())
		}
	}
	if len(f.Expected)+len(f.Got) == 0 {
		f.Text = fmt.Sprintf("%d samples are expected, there are %d", len(want), len(got))
	}
	r.failures = append(r.failures, f)
}

// equal compares values; with fuzzy_compare they may be neighbours.
func (d *document) equal(a, b float64) bool {
	return a == b || d.FuzzyCompare && (math.Nextafter(a, math.Inf(-1)) == b || math.Nextafter(a, math.Inf(1)) == b)
}

func (r *runner) query(text string, at time.Time) ([]sample, error) {
	q, err := r.suite.QueryEngine().NewInstantQuery(r.suite.Context(), r.suite.Queryable(), nil, text, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(r.suite.Context())
	if res.Err != nil {
		return nil, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		out := make([]sample, 0, len(v))
		for _, s := range v {
			out = append(out, sample{s.Metric.Copy(), s.F, promqltest.HistogramTestExpression(s.H)})
		}
		return out, nil
	case promql.Scalar:
		return []sample{{labels.EmptyLabels(), v.V, ""}}, nil
	}
	return nil, errors.New("rule result is not a vector or scalar")
}

func (r *runner) expected(t *exprTest) ([]sample, error) {
	p := r.options.Features.parser()
	var out []sample
	for _, s := range t.Expected {
		l, err := p.ParseMetric(s.Labels)
		var h *histogram.FloatHistogram
		if err == nil && s.Histogram != "" {
			_, values, bad := p.ParseSeriesDesc("{} " + s.Histogram)
			switch {
			case bad != nil:
				err = bad
			case len(values) != 1:
				err = fmt.Errorf("expected 1 value, got %d", len(values))
			case values[0].Histogram == nil:
				err = fmt.Errorf("expected histogram, got %v", values[0])
			default:
				h = values[0].Histogram
			}
		}
		if err != nil {
			return nil, fmt.Errorf("labels %q: %w", s.Labels, err)
		}
		out = append(out, sample{l, s.Value, promqltest.HistogramTestExpression(h)})
	}
	return out, nil
}
