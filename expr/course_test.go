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
		got, err := a.Course(a.Ask(expr.Population{}), map[string]string{"deploy": "v42"})
		require.NoError(t, err)
		_, err = parser.NewParser(parser.Options{}).ParseExpr(got.Query)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}

func TestSeen(t *testing.T) {
	a, err := expr.Parse(`sum by (service) (rate(e_total{code=~"5.."}[5m] offset 1m)) / sum by (service) (rate(e_total[5m] offset 1m)) > 0.05`)
	require.NoError(t, err)
	got, err := a.Seen(a.Ask(expr.Population{}), "deploy", map[string]string{"service": `a"b`})
	require.NoError(t, err)
	require.Equal(t, `count by (deploy) (e_total{deploy!="",service="a\"b"})`, got)
}
