package layers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
)

// Parting the apps of an expression among rules changes nothing of what it
// says: all rules together give, sample by sample, what the expression gives
// that has no matchers. Prometheus' own engine is asked.
func TestRulesTogetherSayWhatTheExpressionSays(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	fake := enrichtest.New(t, fleet(at)...)
	told := 0
	for expr, wrong := range expressions() {
		if wrong != "" {
			continue
		}
		t.Run(expr, func(t *testing.T) {
			_, groups := compile(t, "-- apps.yaml --\napps: [{name: a}, {name: b}, {name: c}, {name: d}]\n"+
				"-- templates/x.yaml --\nshared: [info]\nrules:\n  - alert: A\n    expr: '"+strings.ReplaceAll(expr, "'", "''")+"'\n"+
				"-- layers/app/a.yaml --\ntemplates: {x: {rules: [{alert: A, for: 1m}]}}\n-- layers/app/b.yaml --\ntemplates: {x: {rules: [{alert: A, for: 1m}]}}\n"+
				"-- layers/app/c.yaml --\ntemplates: {x: {rules: [{alert: A, for: 2m}]}}\n")
			found := rulesOf(groups, "A")
			require.Len(t, found, 3)
			var got []string
			for _, r := range found {
				got = append(got, ask(t, fake.URL, r.Expr, at)...)
			}
			want := ask(t, fake.URL, expr, at)
			require.ElementsMatch(t, want, got)
			told += len(want)
		})
	}
	require.Greater(t, told, 50, "expressions that say nothing prove nothing")
}

// fleet are four apps and one that nobody knows, two pods each on nodes of their own.
func fleet(at time.Time) []enrichtest.Series {
	var out []enrichtest.Series
	add := func(n int, name ...string) {
		s := enrichtest.Series{Labels: labels.FromStrings(name...)}
		for i := range 80 {
			s.Samples = append(s.Samples, enrichtest.Sample{At: at.Add(time.Duration(i-79) * 15 * time.Second), Value: float64(n*i + 1)})
		}
		out = append(out, s)
	}
	for i, app := range []string{"a", "b", "c", "d", "stranger"} {
		for pod := range 2 {
			p, node := fmt.Sprint("p", pod), fmt.Sprint("n", i, pod)
			add(i+pod+1, "__name__", "x", "app", app, "pod", p, "node", node)
			add(2*i+1, "__name__", "y", "app", app, "pod", p, "node", node)
			add(0, "__name__", "info", "node", node, "v", "1")
			for k, le := range []string{"1", "5", "+Inf"} {
				add(k+1, "__name__", "x", "app", app, "pod", "h"+p, "node", node+"h"+le, "le", le)
			}
		}
		add(0, "__name__", "up", "app", app)
		add(i+1, "__name__", "single", "app", app)
	}
	return out
}

// ask evaluates at a time and returns samples as text.
func ask(t *testing.T, server, expr string, at time.Time) []string {
	t.Helper()
	form := url.Values{"query": {expr}, "time": {fmt.Sprint(at.Unix())}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/api/v1/query", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := (&http.Client{}).Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	require.Empty(t, answer.Error, expr)
	var out []string
	for _, s := range answer.Data.Result {
		out = append(out, fmt.Sprint(s.Metric, s.Value[1]))
	}
	return out
}
