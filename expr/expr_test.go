package expr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
)

func TestParse(t *testing.T) {
	alert := map[string]string{"alertname": "A", "severity": "page", "service": "checkout", "cluster": "dc1"}
	for _, c := range []struct {
		name, text string
		want       expr.Alert // exported fields
		ask        expr.Ask
	}{
		{
			name: "error ratio with a traffic floor",
			text: `sum by (service) (rate(req_total{code=~"5.."}[1m])) / sum by (service) (rate(req_total[1m])) > 0.05 and sum by (service) (rate(req_total[1m])) > 1`,
			want: expr.Alert{Shape: expr.Ratio, Op: expr.Above, Threshold: .05, Share: .05, Dropped: []string{"and sum by (service) (rate(req_total[1m])) > 1"}},
			ask: expr.Ask{
				Bad:   `sum without (code) (rate(req_total{cluster=~"dc1|",code=~"5..",service="checkout"}[1m]))`,
				All:   `sum without (code) (rate(req_total{cluster=~"dc1|",service="checkout"}[1m]))`,
				Scale: 60, Narrowed: true, SameMetric: true,
				Member: `sum without (code) (rate(req_total{cluster=~"dc1|",code=~"5..",service="checkout"}[1m])) / sum without (code) (rate(req_total{cluster=~"dc1|",service="checkout"}[1m]))`,
			},
		},
		{
			name: "threshold on the left, per cent, selectors fix the service",
			text: `5 < 100 * (sum(increase(err_total{service="checkout"}[5m])) / sum(increase(req_total{service="checkout"}[5m])))`,
			want: expr.Alert{Shape: expr.Ratio, Op: expr.Above, Threshold: .05, Share: .05},
			ask: expr.Ask{
				Bad:   `increase(err_total{cluster=~"dc1|",service="checkout"}[5m])`,
				All:   `increase(req_total{cluster=~"dc1|",service="checkout"}[5m])`,
				Scale: 1, Narrowed: true,
				Member: `increase(err_total{cluster=~"dc1|",service="checkout"}[5m]) / increase(req_total{cluster=~"dc1|",service="checkout"}[5m])`,
			},
		},
		{
			name: "good over all falls",
			text: `1 - sum(irate(req_total{code!~"5.."}[2m])) / sum(irate(req_total[2m])) > 0.25`,
			want: expr.Alert{Shape: expr.Ratio, Op: expr.Below, Threshold: .75, Share: .25},
			ask: expr.Ask{
				Bad:        `sum without (code) (rate(req_total{cluster=~"dc1|",code!~"5..",service=~"checkout|"}[2m]))`,
				All:        `sum without (code) (rate(req_total{cluster=~"dc1|",service=~"checkout|"}[2m]))`,
				Complement: true, Scale: 120, Narrowed: true, SameMetric: true,
				Member: `sum without (code) (rate(req_total{cluster=~"dc1|",code!~"5..",service=~"checkout|"}[2m])) / sum without (code) (rate(req_total{cluster=~"dc1|",service=~"checkout|"}[2m]))`,
			},
		},
		{
			name: "errors above a part of all",
			text: `sum by (service) (rate(err_total[1m])) > 0.1 * sum by (service) (rate(req_total[1m]))`,
			want: expr.Alert{Shape: expr.Ratio, Op: expr.Above, Threshold: .1, Share: .1},
			ask: expr.Ask{
				Bad:   `rate(err_total{cluster=~"dc1|",service="checkout"}[1m])`,
				All:   `rate(req_total{cluster=~"dc1|",service="checkout"}[1m])`,
				Scale: 60, Narrowed: true,
				Member: `rate(err_total{cluster=~"dc1|",service="checkout"}[1m]) / rate(req_total{cluster=~"dc1|",service="checkout"}[1m])`,
			},
		},
		{
			name: "quantile",
			text: `histogram_quantile(0.75, sum by (le, service) (rate(lat_bucket[1m]))) > 0.5`,
			want: expr.Alert{Shape: expr.Histogram, Op: expr.Above, Threshold: .5, Share: .25, Edge: .5},
			ask: expr.Ask{
				Bad:        `sum without (le) (rate(lat_bucket{cluster=~"dc1|",le=~"0\\.5",service="checkout"}[1m]))`,
				All:        `sum without (le) (rate(lat_bucket{cluster=~"dc1|",le="+Inf",service="checkout"}[1m]))`,
				Edges:      `group by (le) (rate(lat_bucket{cluster=~"dc1|",service="checkout"}[1m]))`,
				Member:     `histogram_quantile(0.75, rate(lat_bucket{cluster=~"dc1|",service="checkout"}[1m]))`,
				Complement: true, Scale: 60, Narrowed: true, SameMetric: true,
			},
		},
		{
			name: "down: its own labels narrow nothing",
			text: `up{job="api"} == 0`,
			want: expr.Alert{Shape: expr.State, Op: expr.Equal},
			ask:  expr.Ask{Member: `up{job="api"}`, Scale: 1},
		},
		{
			name: "how many are down",
			text: `count by (service) (up == 0) / count by (service) (up) > 0.5`,
			want: expr.Alert{Shape: expr.State, Op: expr.Equal},
			ask:  expr.Ask{Member: `up{cluster=~"dc1|",service="checkout"}`, Scale: 1, Narrowed: true},
		},
		{
			name: "too few are up",
			text: `sum by (service) (up == bool 1) < 3`,
			want: expr.Alert{Shape: expr.State, Op: expr.Differs, Threshold: 1},
			ask:  expr.Ask{Member: `up{cluster=~"dc1|",service="checkout"}`, Scale: 1, Narrowed: true},
		},
		{
			name: "sum of a rate",
			text: `sum by (service) (rate(err_total[1m])) > 5`,
			want: expr.Alert{Shape: expr.Value, Op: expr.Above, Threshold: 5, Additive: true},
			ask:  expr.Ask{Member: `rate(err_total{cluster=~"dc1|",service="checkout"}[1m])`, Scale: 60 - 59, Narrowed: true},
		},
		{
			name: "gauges over gauges are no events",
			text: `node_avail_bytes / node_size_bytes < 0.1`,
			want: expr.Alert{Shape: expr.Value, Op: expr.Below, Threshold: .1},
			ask:  expr.Ask{Member: `node_avail_bytes / node_size_bytes`, Scale: 1},
		},
		{
			name: "mean latency is no ratio of events: each member has its part in the excess",
			text: `sum by (service) (rate(lat_sum[1m])) / sum by (service) (rate(lat_count[1m])) > 0.5`,
			want: expr.Alert{Shape: expr.Value, Op: expr.Above, Additive: true},
			ask: expr.Ask{
				Member: `sum without (tocsin_part) (label_replace(rate(lat_sum{cluster=~"dc1|",service="checkout"}[1m]), "tocsin_part", "0", "", "") or label_replace(-0.5 * rate(lat_count{cluster=~"dc1|",service="checkout"}[1m]), "tocsin_part", "1", "", ""))`,
				Groups: `sum by (service) (rate(lat_sum{cluster=~"dc1|",service="checkout"}[1m])) - 0.5 * sum by (service) (rate(lat_count{cluster=~"dc1|",service="checkout"}[1m]))`,
				Scale:  1, Narrowed: true,
			},
		},
		{
			name: "arithmetic inside an aggregation keeps its brackets",
			text: `avg by (service) (used - cached) > 10`,
			want: expr.Alert{Shape: expr.Value, Op: expr.Above, Threshold: 10},
			ask:  expr.Ask{Member: `(used{cluster=~"dc1|",service=~"checkout|"} - cached{cluster=~"dc1|",service=~"checkout|"})`, Scale: 1, Narrowed: true},
		},
		{
			name: "bool that is asked for truth",
			text: `(queue_length > bool 100) == 1`,
			want: expr.Alert{Shape: expr.Value, Op: expr.Above, Threshold: 100},
			ask:  expr.Ask{Member: `queue_length`, Scale: 1},
		},
		{
			name: "age",
			text: `time() - last_success_timestamp > 3600`,
			want: expr.Alert{Shape: expr.Value, Op: expr.Above, Threshold: 3600},
			ask:  expr.Ask{Member: `time() - last_success_timestamp`, Scale: 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := expr.Parse(c.text)
			require.NoError(t, err)
			got := expr.Alert{Shape: a.Shape, Op: a.Op, Threshold: a.Threshold, Share: a.Share, Edge: a.Edge, Additive: a.Additive, Dropped: a.Dropped}
			require.InDelta(t, c.want.Threshold, got.Threshold, 1e-12)
			require.InDelta(t, c.want.Share, got.Share, 1e-12)
			got.Threshold, got.Share = c.want.Threshold, c.want.Share
			require.Equal(t, c.want, got)
			require.Equal(t, c.ask, a.Ask(expr.Population{Alert: alert}))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]error{
		`vector(1)`:            expr.ErrNoPopulation,
		`up`:                   expr.ErrNoPopulation,
		`1 > bool 2`:           expr.ErrNoPopulation,
		`time() > bool 5`:      expr.ErrNoPopulation,
		`count(up) > 3`:        expr.ErrNoPopulation,
		`up or vector(1)`:      expr.ErrNoPopulation,
		`up unless 5 * sum(x)`: nil,
		`count by (a) (x) unless count by (a) (y)`: nil,
		`count(x) == 0`:                               nil,
		`stddev(x) > 3`:                               expr.ErrShape,
		`sum(x) > scalar(y)`:                          expr.ErrShape,
		`x > -1 * y`:                                  nil,
		`x > scalar(y)`:                               nil,
		string(make([]byte, expr.MaxBytes+1)):         expr.ErrShape,
		deep("(", "x", ")", 200) + " > 1":             expr.ErrShape,
		deep("-", "x", "", 200) + " > 1":              expr.ErrShape,
		"x" + deep("", "", "+x", 200) + " > 1":        expr.ErrShape,
		`(a > bool 3) > 5`:                            expr.ErrShape,
		`group by (job) (up) > 0`:                     expr.ErrNoPopulation,
		`sum(rate(a[1m])) > 5 or absent(b)`:           nil,
		`topk(5, sum by (u) (rate(a[1m]))) > 9`:       nil,
		`max_over_time(sum(rate(a[1m]))[5m:30s]) > 9`: nil,
	} {
		_, err := expr.Parse(text)
		require.ErrorIs(t, err, want, "%.60s", text)
	}
	_, err := expr.Parse(`sum by (`)
	require.ErrorContains(t, err, "parse expression")
}

func deep(open, core, shut string, n int) string {
	s := core
	for range n {
		s = open + s + shut
	}
	return s
}

func TestShow(t *testing.T) {
	a, err := expr.Parse(`sum by (service) (rate(req_total{code="500"}[1m])) / sum by (service) (rate(req_total[1m])) > 0.05`)
	require.NoError(t, err)
	got := a.Show(expr.Population{Alert: map[string]string{"service": "checkout"}}, map[string]string{"deploy": "v42"})
	require.Equal(t, `sum without (code) (rate(req_total{code="500",deploy="v42",service="checkout"}[1m])) / sum without (code) (rate(req_total{deploy="v42",service="checkout"}[1m]))`, got)
}

func TestKeeps(t *testing.T) {
	a, err := expr.Parse(`sum by (host) (label_replace(rate(x[1m]), "host", "$1", "instance", "(.*):.*")) > 5`)
	require.NoError(t, err)
	p := expr.Population{Alert: map[string]string{"host": "h3"}}
	require.Equal(t, `label_replace(rate(x[1m]), "host", "$1", "instance", "(.*):.*")`, a.Ask(p).Member, "the label is made by the expression: no selector has it")
	require.True(t, a.Keeps(p, func(string) string { return "h3" }))
	require.False(t, a.Keeps(p, func(string) string { return "h4" }))
}

func TestFromGeneratorURL(t *testing.T) {
	for raw, want := range map[string]string{
		"http://prom:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1":         "up == 0",
		"https://thanos/graph?g0.expr=a%3E1&g0.expr=b&g0.max_source=": "a>1",
		"/graph?g0.expr=up": "up",
	} {
		got, err := expr.FromGeneratorURL(raw)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, raw := range []string{"", "http://grafana/alerting/1/edit", "http://p/graph?g0.expr=", "http://p/graph?g0.expr=%zz", ":%", "http://p/?g0.expr=" + string(make([]byte, expr.MaxURL))} {
		_, err := expr.FromGeneratorURL(raw)
		require.ErrorIs(t, err, expr.ErrNoExpression, "%.40q", raw)
	}
}

func TestRedact(t *testing.T) {
	hidden := func(label string) bool { return label == "user" }
	for query, want := range map[string]string{
		`sum(rate(x{user=~"a|b",dc="d"}[1m])) / y{user!="c"}`: `sum(rate(x{dc="d",user="<redacted>"}[1m])) / y{user="<redacted>"}`,
		`up{dc="user"}`: `up{dc="user"}`,
		`up{user="u7"`:  ``,
	} {
		got, cut := expr.Redact(query, hidden)
		require.Equal(t, want, got)
		require.Equal(t, want != query, cut)
	}
}
