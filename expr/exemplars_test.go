package expr_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
)

func TestExemplars(t *testing.T) {
	who := expr.Population{Alert: map[string]string{"service": "shop"}}
	inside := map[string]string{"dc": `d"1`}
	for _, c := range []struct {
		name, text string
		want       expr.Exemplars
	}{
		{
			"bad of all", `sum by (service) (rate(x_total{code=~"5.."}[2m] offset 1m)) / sum by (service) (rate(x_total[2m] offset 1m)) > 0.1`,
			expr.Exemplars{
				Failing: `x_total{code=~"5..",dc="d\"1",service="shop"}`, Healthy: `x_total{code!~"5..",service="shop"}`, Window: 2 * time.Minute,
			},
		},
		{
			"good of all", `sum by (service) (rate(x_total{code!~"5..",user!="probe"}[2m])) / sum by (service) (rate(x_total[2m])) < 0.9`,
			expr.Exemplars{
				Failing: `x_total{code=~"5..",dc="d\"1",service="shop"} or x_total{dc="d\"1",service="shop",user="probe"}`,
				Healthy: `x_total{code!~"5..",service="shop",user!="probe"}`, Window: 2 * time.Minute,
			},
		},
		{
			"two kinds of bad", `(sum(rate(x_total{code="500"}[1m])) + sum(rate(x_total{code="503"}[1m]))) / sum(rate(x_total[1m])) > 0.1`,
			expr.Exemplars{
				Failing: `x_total{code="500",dc="d\"1",service=~"shop|"} or x_total{code="503",dc="d\"1",service=~"shop|"}`,
				Healthy: `x_total{code!="500",code!="503",service=~"shop|"}`, Window: time.Minute,
			},
		},
		{
			"metrics of their own", `sum by (service) (rate(e_total[1m])) / sum by (service) (rate(x_total[1m])) > 0.1`,
			expr.Exemplars{Failing: `e_total{dc="d\"1",service="shop"}`, Healthy: `x_total{service="shop"}`, Window: time.Minute},
		},
		{
			"quantile", `histogram_quantile(0.9, sum by (le, service) (rate(l_bucket[5m]))) * 1000 > 500`,
			expr.Exemplars{Failing: `l_bucket{dc="d\"1",service="shop"}`, Healthy: `l_bucket{service="shop"}`, Over: .5, Window: 5 * time.Minute},
		},
		{
			"counter", `rate(e_total[1m]) > 5`, expr.Exemplars{Failing: `e_total{dc="d\"1"}`, Window: time.Minute},
		},
	} {
		a, err := expr.Parse(c.text)
		require.NoError(t, err, c.name)
		got, ok := a.Exemplars(who, inside)
		require.True(t, ok, c.name)
		require.Equal(t, c.want, got, c.name)
	}
	for _, text := range []string{
		`up == 0`, `queue_length > 5`, `absent(up{job="x"})`,
		`sum(rate(good_total[1m])) / sum(rate(x_total[1m])) < 0.9`,
	} {
		a, err := expr.Parse(text)
		require.NoError(t, err)
		_, ok := a.Exemplars(who, inside)
		require.False(t, ok, text)
	}
}
