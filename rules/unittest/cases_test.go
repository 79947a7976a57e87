package unittest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tested is a test file, the rules beside it, and promtool's verdict on it,
// which a test with the real one (make rules) holds it against.
type tested struct {
	name   string
	file   string // below rule_files
	passes bool
	says   string // in the failure, where there is one
}

const ruleFile = `
groups:
  - name: a
    rules:
      - {record: 'job:up:sum', expr: 'sum by (job) (up)'}
      - alert: Down
        expr: up == 0
        for: 1m
        labels: {severity: critical}
        annotations: {summary: '{{ $labels.job }} is down in {{ $externalLabels.dc }}, see {{ $externalURL }}'}
      - {alert: Same, expr: up == 0, labels: {from: a}}
  - name: b
    rules:
      - {alert: Same, expr: 'up{job="x"} == 0', labels: {from: b}}
      - {alert: Kept, expr: up == 0, keep_firing_for: 3m}
`

const down = `
evaluation_interval: 1m
tests:
  - name: down
    interval: 1m
    external_labels: {dc: dc1}
    external_url: http://prometheus
    input_series: [{series: 'up{job="x"}', values: '1 0x5 1x10'}]
`

func cases() []tested {
	return []tested{
		{"silence and fire", down + `
    alert_rule_test:
      - {eval_time: 1m, alertname: Down}
      - {eval_time: 2m30s, alertname: Down, exp_alerts: [{exp_labels: {job: x, severity: critical}, exp_annotations: {summary: 'x is down in dc1, see http://prometheus'}}]}
`, true, ""},
		{"an annotation differs", down + `
    alert_rule_test:
      - {eval_time: 3m, alertname: Down, exp_alerts: [{exp_labels: {job: x, severity: critical}, exp_annotations: {summary: 'other'}}]}
`, false, "alertname: Down, time: 3m"},
		{"an annotation is not expected", down + `
    alert_rule_test:
      - {eval_time: 3m, alertname: Down, exp_alerts: [{exp_labels: {job: x, severity: critical}}]}
`, false, "alertname: Down, time: 3m"},
		{"it fires and should not", down + "    alert_rule_test: [{eval_time: 3m, alertname: Down}]\n", false, "x is down"},
		{"no rule has the name", down + "    alert_rule_test: [{eval_time: 3m, alertname: Nobody, exp_alerts: [{}]}]\n", false, `{alertname="Nobody"}`},
		{"no rule has the name and none is expected", down + "    alert_rule_test: [{eval_time: 3m, alertname: Nobody}]\n", true, ""},
		{"two rules of one name", down + `
    alert_rule_test:
      - {eval_time: 3m, alertname: Same, exp_alerts: [{exp_labels: {job: x, from: b}}, {exp_labels: {job: x, from: a}}]}
`, true, ""},
		{"only one of two", down + `
    alert_rule_test: [{eval_time: 3m, alertname: Same, exp_alerts: [{exp_labels: {job: x, from: b}}]}]
`, false, `from="a"`},
		{"an alert twice", down + `
    alert_rule_test: [{eval_time: 3m, alertname: Kept, exp_alerts: [{exp_labels: {job: x}}, {exp_labels: {job: x}}]}]
`, false, "Kept"},
		{"it is kept", down + `
    alert_rule_test: [{eval_time: 8m, alertname: Kept, exp_alerts: [{exp_labels: {job: x}}]}, {eval_time: 12m, alertname: Kept}]
`, true, ""},
		{"no alertname", down + "    alert_rule_test: [{eval_time: 3m}]\n", false, "misses required attribute alertname"},
		{"samples", down + `
    promql_expr_test:
      - {expr: 'job:up:sum', eval_time: 2m, exp_samples: [{labels: 'job:up:sum{job="x"}', value: 0}]}
      - {expr: 'vector(1) + 1', eval_time: 2m, exp_samples: [{labels: '{}', value: 2}]}
      - {expr: '7', eval_time: 2m, exp_samples: [{value: 7}]}
      - {expr: 'ALERTS{alertname="Down"}', eval_time: 1m, exp_samples: [{labels: 'ALERTS{alertname="Down", alertstate="pending", job="x", severity="critical"}', value: 1}]}
`, true, ""},
		{"another value", down + "    promql_expr_test: [{expr: up, eval_time: 2m, exp_samples: [{labels: 'up{job=\"x\"}', value: 1}]}]\n", false, `{__name__="up", job="x"} 0`},
		{"a string is no answer", down + "    promql_expr_test: [{expr: '\"x\"', eval_time: 2m}]\n", false, "not a vector or scalar"},
		{"a bad expression", down + "    promql_expr_test: [{expr: 'sum(', eval_time: 2m}]\n", false, "unclosed left parenthesis"},
		{"bad labels", down + "    promql_expr_test: [{expr: up, eval_time: 2m, exp_samples: [{labels: 'up{', value: 1}]}]\n", false, `labels "up{"`},
		{"not a number is not itself", down + "    promql_expr_test: [{expr: 'vector(NaN)', eval_time: 2m, exp_samples: [{labels: '{}', value: .nan}]}]\n", false, "NaN"},
		{"neighbours differ", down + "    promql_expr_test: [{expr: 'vector(0.1 + 0.2)', eval_time: 2m, exp_samples: [{labels: '{}', value: 0.3}]}]\n", false, "0.3"},
		{"neighbours may be taken for one", "fuzzy_compare: true\n" + down + "    promql_expr_test: [{expr: 'vector(0.1 + 0.2)', eval_time: 2m, exp_samples: [{labels: '{}', value: 0.3}]}]\n", true, ""},
		{"histograms", `
tests:
  - interval: 1m
    input_series: [{series: h, values: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}x5'}]
    promql_expr_test:
      - {expr: h, eval_time: 2m, exp_samples: [{labels: h, histogram: '{{schema:0 sum:5 count:4 counter_reset_hint:not_reset buckets:[1 2 1]}}'}]}
`, true, ""},
		{"another histogram", `
tests:
  - interval: 1m
    input_series: [{series: h, values: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}x5'}]
    promql_expr_test:
      - {expr: h, eval_time: 2m, exp_samples: [{labels: h, histogram: '{{schema:0 sum:6 count:4 buckets:[1 2 1]}}'}]}
`, false, "sum:6"},
		{"a start", `
tests:
  - interval: 1m
    start_timestamp: 2026-01-02T03:00:00Z
    input_series: [{series: 'up{job="x"}', values: '1 0x9'}]
    promql_expr_test: [{expr: 'hour()', eval_time: 5m, exp_samples: [{labels: '{}', value: 3}]}]
    alert_rule_test: [{eval_time: 5m, alertname: Same, exp_alerts: [{exp_labels: {job: x, from: a}}, {exp_labels: {job: x, from: b}}]}]
`, true, ""},
		{"no start", "tests: [{start_timestamp: soon}]\n", false, "cannot parse"},
		{"an unknown key", down + "    alert_rule_tests: []\n", false, "alert_rule_tests"},
		{"a key twice", down + "    name: again\n", false, "already set"},
		{"no YAML", "tests: [\n", false, "did not find"},
		{"series that cannot be read", "tests: [{input_series: [{series: 'up{', values: '1'}]}]\n", false, "unexpected"},
		{"an order twice", "group_eval_order: [a, a]\n" + down, false, "repeated in evaluation order"},
		{"no tests", "tests: []\n", true, ""},
		{"ours behind it", down + "    alert_rule_test: [{eval_time: 1m, alertname: Down}]\n---\npages: [{eval_time: 1m, alertname: Down, no_page: true}]\n", true, ""},
	}
}

// write lays a case out and returns its path.
func (c tested) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(ruleFile), 0o600))
	path := filepath.Join(dir, "test.yml")
	require.NoError(t, os.WriteFile(path, []byte("rule_files: [rules.yml]\n"+c.file), 0o600))
	return path
}
