package expr_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
)

func TestCourse(t *testing.T) {
	for text, want := range map[string]expr.Course{
		`sum(rate(e_total{code=~"5.."}[5m])) / sum(rate(e_total[5m])) > 0.05`: {
			Query: `(sum(sum without (code) (rate(e_total{code=~"5..",deploy="v42"}[5m]))) or vector(0)) / sum(sum without (code) (rate(e_total{deploy="v42"}[5m])))`, Window: 5 * time.Minute,
		},
		`sum(rate(e_total{code="200"}[1m])) / sum(rate(e_total[1m])) < 0.95`: {
			Query: `1 - (sum(sum without (code) (rate(e_total{code="200",deploy="v42"}[1m]))) or vector(0)) / sum(sum without (code) (rate(e_total{deploy="v42"}[1m])))`, Window: time.Minute,
		},
		`up == 0`:             {Query: `avg((up{deploy="v42"}) == bool 0)`},
		`free_bytes < 5`:      {Query: `avg(free_bytes{deploy="v42"})`, Falling: true},
		`delta(x[10m]) > 100`: {Query: `avg(delta(x{deploy="v42"}[10m]))`, Window: 10 * time.Minute},
	} {
		a, err := expr.Parse(text)
		require.NoError(t, err)
		got, err := a.Course(a.Ask(expr.Population{}), nil, map[string]string{"deploy": "v42"})
		require.NoError(t, err)
		_, err = parser.NewParser(parser.Options{}).ParseExpr(got.Query)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}

// A label that an info metric has narrows by a join, in each question.
func TestCourseOfAJoinedLabel(t *testing.T) {
	joined := []expr.Joined{{Metric: "api_build_info", Label: "version", On: []string{"job", "instance"}}}
	for text, want := range map[string]string{
		`sum(rate(e_total{code="5"}[1m])) / sum(rate(e_total[1m])) > 0.05`: `(sum(sum without (code) (rate(e_total{code="5",dc="a"}[1m])) and on (job, instance) {__name__="api_build_info",version="v42"}) or vector(0)) / sum(sum without (code) (rate(e_total{dc="a"}[1m])) and on (job, instance) {__name__="api_build_info",version="v42"})`,
		`up == 0`: `avg((up{dc="a"} and on (job, instance) {__name__="api_build_info",version="v42"}) == bool 0)`,
	} {
		a, err := expr.Parse(text)
		require.NoError(t, err)
		got, err := a.Course(a.Ask(expr.Population{}), joined, map[string]string{"version": "v42", "dc": "a"})
		require.NoError(t, err)
		require.Equal(t, want, got.Query)
	}
}

// Where its carriers are few they are followed by their own names.
func TestCourseOfCarriers(t *testing.T) {
	a, err := expr.Parse(`up == 0`)
	require.NoError(t, err)
	joined := []expr.Joined{{Metric: "api_build_info", Label: "version", On: []string{"job", "instance"}}}
	got, err := a.Course(a.Ask(expr.Population{}), joined, map[string]string{"version": "v42"}, expr.Only{Label: "instance", Values: []string{"a:1", "b.c:1"}})
	require.NoError(t, err)
	require.Equal(t, `avg((up{instance=~"a:1|b\\.c:1"}) == bool 0)`, got.Query)
}

func TestLastSeen(t *testing.T) {
	a, err := expr.Parse(`absent(up{job="x"} offset 1m)`)
	require.NoError(t, err)
	require.Equal(t, `max(max_over_time(timestamp(up{job="x"})[10m:30s]) unless up{job="x"})`, a.LastSeen(expr.Population{}, 10*time.Minute, 30*time.Second))
}

func TestInfoSeen(t *testing.T) {
	require.Equal(t, `count by (version) ({__name__="api_build_info",job=~"a\\.b|c",version!=""})`,
		expr.InfoSeen("api_build_info", "version", []expr.Only{{Label: "job", Values: []string{"a.b", "c"}}}))
}

func TestSeen(t *testing.T) {
	a, err := expr.Parse(`sum by (service) (rate(e_total{code=~"5.."}[5m] offset 1m)) / sum by (service) (rate(e_total[5m] offset 1m)) > 0.05`)
	require.NoError(t, err)
	got, err := a.Seen(a.Ask(expr.Population{}), "deploy", map[string]string{"service": `a"b`})
	require.NoError(t, err)
	require.Equal(t, `count by (deploy) (e_total{deploy!="",service="a\"b"})`, got)
}
