package expr_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
)

func seeds() []string {
	return []string{
		`sum by (service) (rate(req_total{code=~"5.."}[1m])) / sum by (service) (rate(req_total[1m])) > 0.05`,
		`(sum(rate(e[1m])) or vector(0)) / sum(rate(a[1m])) > 0.1 unless on () b`,
		`histogram_quantile(0.99, sum by (le) (rate(x_bucket{job="a"}[5m]))) > 1`,
		`up == 0`, `1 - avg by (instance) (rate(cpu{mode="idle"}[5m])) > 0.9`,
		`max_over_time(sum by (a) (rate(x[1m]))[5m:30s] offset 1m) > 3`,
		`sum by (version) (rate(x[5m]) * on (instance) group_left (version) build_info) > 5`,
		`{"my.metric", "a b"="c"} > 5`, `count(up == 0) > 2`, `a / ignoring (x) group_left b > .5`,
		`-(-x) ^ 2 > 1`, `x @ start() offset -5m > 1`, `topk(3, x) > 1`, `absent(x)`, `sum(x > bool 1) < 3`,
		`absent(up{job="a"} == 1)`, `absent_over_time(x[5m:1m])`, `count(x) < 3`, `a unless on (b) c`, `x > 0 unless on (i) m == 1`,
		`(sum(rate(a[1m])) + sum(rate(b[1m]))) / clamp_min(sum(rate(c[1m])), 1) > .1 or absent(a)`,
		`histogram_quantile(0.99, sum by (s) (rate(lat[5m]))) > 1`, `histogram_fraction(0, 0.2, sum(rate(lat[5m]))) < 0.95`,
		`avg_over_time((sum(rate(a[1m])) / sum(rate(b[1m])))[10m:30s]) > 0.1`, `sum by (i) (x) / on (i) limit > 0.8`,
		`max by (a) (sum by (a, b) (rate(x[5m]))) > 5`, `3 <= x < 20`, `x > scalar(max(y)) * 2`, `rate(x[5m]) / count by (i) (y) > 1`,
		`label_replace(x, "host", "$1", "instance", "(.*)") > 0`, `a > 0.5 * b`, `scalar(sum(x)) * y > 1`,
	}
}

// FuzzParse holds what is promised of every expression that is taken apart:
// each question parses again, reads the same metrics, and whatever the alert's
// labels say stands in a matcher's string or nowhere.
func FuzzParse(f *testing.F) {
	hostile := []string{`"} or vector(1) #`, "a\nb\x00", "\u202e\u2066", "\xff\xfe", `\`, "`", `.*|"`, ""}
	for i, s := range seeds() {
		f.Add(s, "service", hostile[i%len(hostile)])
		f.Add(s, `we"ird`+hostile[i%len(hostile)], "v")
	}
	f.Fuzz(func(t *testing.T, text, name, value string) {
		a, err := expr.Parse(text)
		if err != nil {
			return
		}
		require.Contains(t, []expr.Shape{expr.Ratio, expr.Histogram, expr.State, expr.Value, expr.Absence}, a.Shape)
		if a.Shape == expr.Ratio || a.Shape == expr.Histogram {
			require.True(t, a.Share > 0 && a.Share < 1, "share %v", a.Share)
		}
		require.False(t, math.IsNaN(a.Share))
		p := expr.Population{
			Alert: map[string]string{name: value, "service": value},
			Group: map[string]string{name: value, "cluster": value}, Drop: []string{"noise"},
		}
		for _, arm := range append(a.Or, a) {
			ask := arm.Ask(p)
			for _, q := range []string{ask.Member, ask.Groups, ask.Bad, ask.All, ask.Edges, arm.Show(p, map[string]string{"host": value})} {
				wellFormed(t, text, q, value)
			}
			wellFormed(t, text, arm.Size(p), value)
			wellFormed(t, text, arm.Top(p, "user", 9), value)
			if by, ok := arm.ShownBy(p, []string{"dc"}); ok {
				wellFormed(t, text, by, value)
			}
			inside, ok := arm.ShownInside(p, `x and on (pod) info{dc="a"}`, map[string]string{"dc": "a", "host": value})
			if ok {
				_, err = parser.NewParser(parser.Options{}).ParseExpr(inside)
				require.NoError(t, err, inside)
			}
			wellFormed(t, text, arm.Extreme(arm.Shown(), 5), value)
			wellFormed(t, text, arm.Present(p), value)
			_, _ = arm.Unit()
			coarse := p
			coarse.By, coarse.Only = []string{"dc", "user"}, expr.Only{Label: "user", Values: []string{value}}
			ask = arm.Ask(coarse)
			for _, q := range []string{ask.Member, ask.Bad, ask.All} {
				wellFormed(t, text, q, value)
			}
		}
		_, err = parser.NewParser(parser.Options{}).ParseExpr(expr.Info([]string{"a|b", text}, []expr.Only{{Label: "pod", Values: []string{value}}}))
		require.NoError(t, err)
		resolved := expr.Resolve(text, func(string) []expr.Recording { return []expr.Recording{{Expr: "sum by (job) (rate(x[5m]))"}} })
		_, err = parser.NewParser(parser.Options{}).ParseExpr(resolved)
		require.NoError(t, err, resolved)
	})
}

func wellFormed(t *testing.T, text, query, value string) {
	t.Helper()
	if query == "" {
		return
	}
	ps := parser.NewParser(parser.Options{})
	from, err := ps.ParseExpr(text)
	require.NoError(t, err)
	got, err := ps.ParseExpr(query)
	require.NoError(t, err, "%s\nmade of %s", query, text)
	require.Equal(t, parser.ValueTypeVector, got.Type())
	metrics, written := vocabulary(from)
	for _, s := range vectors(got) {
		name := s.Name
		require.Contains(t, metrics, name, query)
		for _, m := range s.LabelMatchers {
			known := slices.Contains(written, m.String())
			ours := m.Value == value || m.Value == fmt.Sprintf("%q", []string{value}) || m.Type == labels.MatchRegexp || m.Name == labels.BucketLabel || m.Name == model.MetricNameLabel
			require.True(t, known || ours, "matcher %s of %s", m, query)
		}
	}
	require.LessOrEqual(t, len(vectors(got)), 3*len(vectors(from)), "the worst by a native histogram name it three times: no selector is added")
}

func vectors(e parser.Expr) []*parser.VectorSelector {
	var out []*parser.VectorSelector
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out = append(out, s)
		}
		return nil
	})
	return out
}

func vocabulary(e parser.Expr) (metrics, matchers []string) {
	for _, s := range vectors(e) {
		metrics = append(metrics, s.Name)
		for _, m := range s.LabelMatchers {
			matchers = append(matchers, m.String())
		}
	}
	return metrics, matchers
}

func FuzzFromGeneratorURL(f *testing.F) {
	for _, s := range []string{"http://p/graph?g0.expr=up", "?g0.expr=%00", "http://[::1", "http://p/#g0.expr=up", "g0.expr=1&g0.expr=2", "http://p/?g0.expr=a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		text, err := expr.FromGeneratorURL(raw)
		if err != nil {
			require.ErrorIs(t, err, expr.ErrNoExpression)
			require.Empty(t, text)
			return
		}
		require.NotEmpty(t, text)
		require.LessOrEqual(t, len(text), expr.MaxBytes)
		_ = utf8.ValidString(text)
	})
}
