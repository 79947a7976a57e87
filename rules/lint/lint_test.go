package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/lint"
)

func checks(t *testing.T, rule string) []string {
	t.Helper()
	text := "groups:\n- name: g\n  rules:\n" + rule
	f, err := rules.Parse("r.yml", []byte(text))
	require.NoError(t, err)
	var out []string
	for _, p := range lint.Run(f, []byte(text), lint.Options{}) {
		require.NotEmpty(t, p.Fix)
		out = append(out, p.Severity+" "+p.Check)
	}
	return out
}

func TestChecks(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"  - {alert: A, expr: 'count(up) == 0'}\n", "error comparison"},
		{"  - {alert: A, expr: 'count(up) < 2'}\n", ""},
		{"  - {alert: A, expr: 'absent(up) == 0'}\n", "error comparison"},
		{"  - {alert: A, expr: 'absent(up)'}\n", ""},
		{"  - {alert: A, expr: 'up'}\n", "warning filter"},
		{"  - {alert: A, expr: 'rate(x_total[1m]) > 1'}\n", "warning rate"},
		{"  - {alert: A, expr: 'rate(x_total[5m]) > 1'}\n", ""},
		{"  - {alert: A, expr: 'up{job=~\"a\"} == 0'}\n", "warning regexp"},
		{"  - {alert: A, expr: 'up{job=~\"a|b\"} == 0'}\n", ""},
		{"  - {alert: A, expr: 'up == 0', labels: {remediate: restart}}\n", "warning remediate"},
		{"  - {alert: A, expr: 'up == 0', for: 1m, labels: {remediate: restart}}\n", ""},
		{"  - {alert: A, expr: 'sum by (job) (x) > 1', annotations: {summary: '{{ $labels.pod }}'}}\n", "error template"},
		{"  - {alert: A, expr: 'sum by (job) (x) > 1', annotations: {summary: '{{ $labels.job }}'}}\n", ""},
		{"  - {alert: A, expr: 'up == 0'}\n  - {alert: A, expr: 'up == 0'}\n", "warning duplicate"},
		{"  # tocsin:disable filter any value is a fault\n  - {alert: A, expr: 'up'}\n", ""},
		{"  # tocsin:disable filter\n  - {alert: A, expr: 'up'}\n", "warning filter,error disable"},
	} {
		require.Equal(t, c.want, strings.Join(checks(t, c.rule), ","), c.rule)
	}
}

// The house's own alerts have no error.
func TestOwnAlerts(t *testing.T) {
	paths, err := filepath.Glob("../../deploy/alerts/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := rules.Parse(path, data)
		require.NoError(t, err)
		for _, p := range lint.Run(f, data, lint.Options{}) {
			require.NotEqual(t, lint.Error, p.Severity, "%+v", p)
		}
	}
}

// Public rule sets have one error, read by hand: a text names the instance that
// its count() drops. The folder is given by RULES_DATA.
func TestPublicRuleSets(t *testing.T) {
	root := os.Getenv("RULES_DATA")
	if root == "" {
		t.Log("RULES_DATA names no folder of rule sets")
		return
	}
	paths, err := filepath.Glob(filepath.Join(root, "*.y*ml"))
	require.NoError(t, err)
	var found []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := rules.Parse(path, data)
		if err != nil {
			continue // promtool's tests, and a catalogue rules are made from
		}
		for _, p := range lint.Run(f, data, lint.Options{}) {
			if p.Severity == lint.Error {
				found = append(found, filepath.Base(p.File)+": "+p.Message)
			}
		}
	}
	require.Equal(t, []string{"apa-redis-exporter.yml: summary uses the label instance, which count() drops"}, found)
}
