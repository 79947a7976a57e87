package expr_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
)

func TestResolve(t *testing.T) {
	rules := map[string][]expr.Recording{
		"job:err:rate5m":    {{Expr: `sum by (job) (rate(err_total[5m]))`}},
		"job:req:rate5m":    {{Expr: `sum by (job) (rate(req_total[5m]))`, Interval: 30 * time.Second}},
		"job:err:ratio5m":   {{Expr: `job:err:rate5m / job:req:rate5m`}},
		"slo:ratio":         {{Expr: `sum by (job) (rate(a[5m]))`, Labels: map[string]string{"slo": "a"}}, {Expr: `sum by (job) (rate(b[5m]))`, Labels: map[string]string{"slo": "b"}}},
		"cycle:a":           {{Expr: `cycle:b + 1`}},
		"cycle:b":           {{Expr: `sum(cycle:a)`}},
		"broken:x":          {{Expr: `sum by (`}},
		"joined:x":          {{Expr: `x * on (pod) group_left (node) kube_pod_info`}},
		"renamed:x":         {{Expr: `label_replace(x, "host", "$1", "instance", "(.*)")`}},
		"pinned:x":          {{Expr: `x @ 0`}},
		"number:x":          {{Expr: `5`}},
		"recorded_no_colon": {{Expr: `sum(x)`}},
	}
	for text, want := range map[string]string{
		`job:err:ratio5m > 0.05`:                           `((sum by (job) (rate(err_total[5m]))) / (sum by (job) (rate(req_total[5m])))) > 0.05`,
		`job:err:rate5m{job="a",x!~"b|c"} offset 1h > 1`:   `(sum by (job) (rate(err_total{job="a",x!~"b|c"}[5m] offset 1h))) > 1`,
		`avg_over_time(job:req:rate5m{job="a"}[10m]) > 1`:  `avg_over_time((sum by (job) (rate(req_total{job="a"}[5m])))[10m:30s]) > 1`,
		`max_over_time(job:err:rate5m[10m] offset 1m) > 1`: `max_over_time((sum by (job) (rate(err_total[5m])))[10m:] offset 1m) > 1`,
		`{__name__="job:err:rate5m"} > 1`:                  `(sum by (job) (rate(err_total[5m]))) > 1`,
		`slo:ratio{slo="b",job="x"} > 1`:                   `(sum by (job) (rate(b{job="x"}[5m]))) > 1`,
		`joined:x{pod="p",node="n"} > 1`:                   `(x{pod="p"} * on (pod) group_left (node) kube_pod_info{pod="p"}) > 1`,
		`renamed:x{host="h",dc="d"} > 1`:                   `(label_replace(x{dc="d"}, "host", "$1", "instance", "(.*)")) > 1`,
		`recorded_no_colon > 1`:                            `(sum(x)) > 1`,
		`slo:ratio > 1`:                                    `slo:ratio > 1`,
		`cycle:a > 1`:                                      `((sum(cycle:a)) + 1) > 1`,
		`broken:x > 1`:                                     `broken:x > 1`,
		`pinned:x offset 5m > 1`:                           `pinned:x offset 5m > 1`,
		`job:err:rate5m @ end() > 1`:                       `job:err:rate5m @ end() > 1`,
		`number:x > 1`:                                     `number:x > 1`,
		`sum(`:                                             `sum(`,
		`unknown:x > 1`:                                    `unknown:x > 1`,
	} {
		got := expr.Resolve(text, func(name string) []expr.Recording { return rules[name] })
		if p, err := parser.NewParser(parser.Options{}).ParseExpr(want); err == nil && want != text {
			want = p.String()
		}
		require.Equal(t, want, got, text)
	}
	require.Equal(t, []string{"a:b", "c:d", "e"}, expr.Metrics(`a:b{x="y"} / on (z) rate(c:d[5m]) + e`))
	require.Empty(t, expr.Metrics(`sum(`))
}

// A level that doubles what it reads ends at the limits, not in our memory.
func TestResolveBounds(t *testing.T) {
	rules := func(name string) []expr.Recording {
		next := name + "x"
		return []expr.Recording{{Expr: strings.Repeat(next+" + ", 15) + next}}
	}
	began := time.Now()
	require.Equal(t, "l:0 > 1", expr.Resolve("l:0 > 1", rules))
	require.Less(t, time.Since(began), 10*time.Second)
}
