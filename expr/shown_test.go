package expr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
)

func TestShown(t *testing.T) {
	who := expr.Population{Alert: map[string]string{"service": "a"}}
	for _, c := range []struct{ name, text, shown, by, unit string }{
		{
			"ratio", `sum by (service) (rate(e_total[1m])) / sum by (service) (rate(r_total[1m])) > 0.02`,
			`sum by (service) (rate(e_total[1m])) / sum by (service) (rate(r_total[1m]))`,
			`(sum by (v) (rate(e_total{service="a"}[1m])) or sum by (v) (rate(r_total{service="a"}[1m])) * 0) / sum by (v) (rate(r_total{service="a"}[1m]))`, "%",
		},
		{
			"complement", `1 - sum(rate(g_total[1m])) / sum(rate(r_total[1m])) > 0.02`, `sum(rate(g_total[1m])) / sum(rate(r_total[1m]))`,
			`(sum by (v) (rate(g_total{service=~"a|"}[1m])) or sum by (v) (rate(r_total{service=~"a|"}[1m])) * 0) / sum by (v) (rate(r_total{service=~"a|"}[1m]))`, "%",
		},
		{
			"quantile", `histogram_quantile(0.99, sum by (le, service) (rate(d_seconds_bucket[1m]))) > 0.5`,
			`histogram_quantile(0.99, sum by (le, service) (rate(d_seconds_bucket[1m])))`,
			`histogram_quantile(0.99, sum by (v, le) (rate(d_seconds_bucket{service="a"}[1m])))`, "s",
		},
		{
			"native", `histogram_quantile(0.99, sum by (service) (rate(rpc_seconds[1m]))) > 0.5`,
			`histogram_quantile(0.99, sum by (service) (rate(rpc_seconds[1m])))`,
			`histogram_quantile(0.99, sum by (v) (rate(rpc_seconds{service="a"}[1m])))`, "s",
		},
		{"member", `queue_bytes > 5`, `queue_bytes`, `max by (v) (queue_bytes)`, "B"},
		{"falling", `queue_bytes < 5`, `queue_bytes`, `min by (v) (queue_bytes)`, "B"},
		{"state", `up == 0`, `up`, `avg by (v) (up)`, ""},
		{"chosen", `topk(3, d_seconds) > 2`, `topk(3, d_seconds)`, `max by (v) (d_seconds)`, "s"},
		{"rate", `sum by (service) (rate(x_total[1m])) > 5`, `sum by (service) (rate(x_total[1m]))`, `sum by (v) (rate(x_total{service="a"}[1m]))`, "/s"},
		{"share", `avail_bytes / size_bytes < 0.1`, `avail_bytes / size_bytes`, `min by (v) (avail_bytes / size_bytes)`, "%"},
		{"age", `time() - last_timestamp_seconds > 600`, `time() - last_timestamp_seconds`, `max by (v) (time() - last_timestamp_seconds)`, "s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := expr.Parse(c.text)
			require.NoError(t, err)
			require.Equal(t, c.shown, a.Shown())
			by, ok := a.ShownBy(who, []string{"v"})
			require.True(t, ok)
			require.Equal(t, c.by, by)
			unit, factor := a.Unit()
			require.Equal(t, c.unit, unit)
			require.Equal(t, unit == "%", factor == 100)
		})
	}
}

func TestShownInside(t *testing.T) {
	a, err := expr.Parse(`sum by (service) (x) > 5`)
	require.NoError(t, err)
	joined := `x and on (job, instance) build_info{version="v42"}`
	got, ok := a.ShownInside(expr.Population{}, joined, map[string]string{"version": "v42"})
	require.True(t, ok)
	require.Equal(t, `label_replace(sum(x and on (job, instance) build_info{version="v42"}), "tocsin_part", "inside", "", "") or `+
		`label_replace(sum(x unless on (job, instance) build_info{version="v42"}), "tocsin_part", "outside", "", "")`, got)
	for _, text := range []string{`x`, `x and y`, `x{`, `x and on (a) build_info{other="v42"}`} {
		_, ok := a.ShownInside(expr.Population{}, text, map[string]string{"version": "v42"})
		require.False(t, ok, text)
	}
}

func TestQuestionsAboutQuestions(t *testing.T) {
	require.Equal(t, `count(a / b)`, expr.Aggregated(`a / b`, -1))
	require.Equal(t, `quantile(0.1, a / b)`, expr.Aggregated(`a / b`, .1))
	require.Equal(t, `a{h=~"x|y\\.z"} / b{h=~"x|y\\.z"}`, expr.Among(`a / b`, expr.Only{Label: "h", Values: []string{"x", "y.z"}}))
	for _, text := range []string{"", "a{", "\xff"} {
		require.Empty(t, expr.Aggregated(text, 0))
		require.Empty(t, expr.Among(text))
	}
	low, err := expr.Parse(`x < 1`)
	require.NoError(t, err)
	require.Equal(t, `bottomk(5, x)`, low.Extreme("x", 5))
	require.Empty(t, low.Extreme("x{", 5))
	require.Empty(t, low.Present(expr.Population{}))
	gone, err := expr.Parse(`absent(x{job="a"})`)
	require.NoError(t, err)
	require.Equal(t, `count(x{job="a"}) or vector(0)`, gone.Present(expr.Population{}))
	_, ok := gone.ShownBy(expr.Population{}, nil)
	require.False(t, ok)
}
