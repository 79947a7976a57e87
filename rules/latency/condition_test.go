package latency_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/latency"
)

func TestConditionOf(t *testing.T) {
	ratio := `sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))`
	long := `sum(rate(http_requests_total{code=~"5.."}[1h])) / sum(rate(http_requests_total[1h]))`
	slow := `histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))`
	for _, tt := range []struct {
		name  string
		expr  string
		level float64
		want  float64 // seconds, -1 never
	}{
		{"gauge", `up == 0`, 1, 0},
		{"gauge in brackets", `(node_load1 > 5)`, 1, 0},
		{"absent", `absent(up{job="api"})`, 1, 0},
		{"ratio at an outage", ratio + ` > 0.05`, 1, 15},
		{"ratio at 20 %", ratio + ` > 0.05`, 0.2, 75},
		{"ratio in percent", `100 * ` + ratio + ` > 5`, 1, 15},
		{"ratio that is never reached", ratio + ` > 0.05`, 0.04, -1},
		{"availability", `1 - ` + ratio + ` < 0.99`, 1, 3},
		{"burn rate", long + ` > 14.4 * 0.001`, 1, 51.84},
		{"burn rate at 10 %", long + ` > (14.4 * 0.001)`, 0.1, 518.4},
		{"two windows: the long one decides", long + ` > 0.0144 and ` + ratio + ` > 0.0144`, 1, 51.84},
		{"either: the short one decides", `(` + long + ` > 0.0144) or (` + ratio + ` > 0.0144)`, 1, 4.32},
		{"unless: the left side", ratio + ` > 0.05 unless on() maintenance == 1`, 1, 15},
		{"quantile", slow + ` > 0.5`, 1, 3},
		{"quantile at 8 %", slow + ` > 0.5`, 0.08, 37.5},
		{"quantile that is never reached", slow + ` > 0.5`, 0.05, -1},
		{"average of a state", `avg_over_time(up[5m]) < 0.9`, 1, 30},
		{"every sample", `max_over_time(up[5m]) == 0`, 1, 300},
		{"one sample", `max_over_time(temperature[5m]) > 80`, 1, 0},
		{"any increase", `increase(oom_kills_total[5m]) > 0`, 1, 0},
		{"any increase, with labels joined", `increase(oom_kills_total[5m]) * on (pod) group_left (app) pod_info > 0`, 1, 0},
		{"any increase, or new at all", `sum by (job) (increase(x_total[5m]) > 0 or (x_total unless x_total offset 5m))`, 1, 0},
		{"gone for a window", `absent_over_time(x[10m])`, 1, 600},
		{"offset", `up offset 1m == 0`, 1, 60},
		{"against an hour ago", `x / x offset 1h > 2`, 1, 0},
		{"either never: the other", ratio + ` > 0.5 or up == 0`, 0.1, 0},
		{"both, one never", ratio + ` > 0.5 and up == 1`, 0.1, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := rules.ParseExpr(tt.expr)
			require.NoError(t, err)
			c := latency.ConditionOf(e, tt.level, 0)
			require.True(t, c.Known, c.Why)
			require.NotEmpty(t, c.Why)
			require.Equal(t, tt.want < 0, c.Never, c.Why)
			if !c.Never {
				require.InDelta(t, tt.want, c.Mean.Seconds(), 0.01, c.Why)
				require.Equal(t, latency.Constant(c.Mean), c.Span)
			}
		})
	}
}

// A ratio of rates is one of the samples in its window: twelve of them, 5 s
// apart, span 55 s of a minute.
func TestARateIsTakenFromItsSamples(t *testing.T) {
	e, err := rules.ParseExpr(`sum(rate(bad[1m])) / sum(rate(all[1m])) > 0.1`)
	require.NoError(t, err)
	require.Equal(t, 11*time.Second, latency.ConditionOf(e, 0.5, 5*time.Second).Mean)
	require.Zero(t, latency.ConditionOf(e, 0.5, 2*time.Minute).Mean)
}

func TestConditionNotDerived(t *testing.T) {
	for expr, window := range map[string]time.Duration{
		`rate(errors_total[5m]) > 3`:                                     5 * time.Minute,
		`predict_linear(node_filesystem_free_bytes[6h], 86400) < 0`:      6 * time.Hour,
		`max_over_time(rate(x_total[1m])[10m:1m]) < 2 and rate(y[1m])>4`: 11 * time.Minute,
	} {
		e, err := rules.ParseExpr(expr)
		require.NoError(t, err)
		c := latency.ConditionOf(e, 1, 0)
		if c.Known {
			require.Failf(t, "known", "%s: %s", expr, c.Why)
		}
		require.Equal(t, window, c.Worst, "%s: %s", expr, c.Why)
	}
}

func FuzzConditionOf(f *testing.F) {
	for _, s := range []string{`up == 0`, `a / b > 0.1`, `avg_over_time(up[5m]) < 0.9`, `absent_over_time(x[1h:1m] offset -1m)`, `x @ end() unless y`} {
		f.Add(s, 0.5)
	}
	f.Fuzz(func(t *testing.T, text string, level float64) {
		e, err := rules.ParseExpr(text)
		if err != nil || !(level > 0 && level <= 1) {
			return
		}
		c := latency.ConditionOf(e, level, time.Second)
		require.NotEmpty(t, c.Why)
		require.GreaterOrEqual(t, c.Best, time.Duration(0), text)
		require.LessOrEqual(t, c.Best, c.Mean, text)
		require.LessOrEqual(t, c.Mean, c.Worst, text)
	})
}
