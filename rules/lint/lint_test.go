package lint_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/lint"
)

const head = "groups:\n- name: g\n  rules:\n"

func roles() map[string][]string {
	return map[string][]string{"host": {"host", "instance"}, "deploy": {"version"}}
}

func run(t *testing.T, text string, o lint.Options) []lint.Finding {
	t.Helper()
	f, err := rules.Parse("r.yml", []byte(text))
	require.NoError(t, err)
	o.Texts = map[string][]byte{"r.yml": []byte(text)}
	o.Roles = roles()
	return lint.Run([]lint.Source{{Path: "r.yml", Groups: f.Groups}}, o)
}

// example is a rule with what one check says of it.
type example struct {
	check, want string // want: the severities, "" for silence
	expr        string
	more        string // fields of the rule
	rules       string // in the place of the whole rule
}

// Each check fires where it should, and is silent on a near miss.
func examples() []example {
	return []example{
		{check: "comparison", want: "error", expr: `count(up) == 0`},
		{check: "comparison", want: "", expr: `count(up) == 1`},
		{check: "comparison", want: "", expr: `(count(up) or vector(0)) == 0`},
		{check: "comparison", want: "error", expr: `(count(up) or vector(1)) == 0`},
		{check: "comparison", want: "error", expr: `sum(count by (job) (up)) < 1`},
		{check: "comparison", want: "error", expr: `absent(up) == 0`},
		{check: "comparison", want: "", expr: `absent(up) == 1`},
		{check: "comparison", want: "error", expr: `changes(x[5m]) < 0`},
		{check: "comparison", want: "warning", expr: `changes(x[5m]) >= 0`},
		{check: "comparison", want: "", expr: `changes(x[5m]) > 0`},
		{check: "comparison", want: "error", expr: `x > 5 < 3`},
		{check: "comparison", want: "", expr: `x > 3 < 5`},
		{check: "comparison", want: "error", expr: `5 < x < 3`},
		{check: "comparison", want: "error", expr: `x == NaN`},
		{check: "comparison", want: "", expr: `x > -Inf`},
		{check: "comparison", want: "error", expr: `x > 1 and on() hour() > 23`},
		{check: "comparison", want: "", expr: `x > 1 and on() hour() > 22`},
		{check: "comparison", want: "error", expr: `(count(up) - 1) * 100 < 0`},
		{check: "comparison", want: "", expr: `(count(up) - 2) * 100 < 0`},
		{check: "comparison", want: "error", expr: `-abs(x) > 0`},

		{check: "template", want: "error", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ $labels.job }}'}`},
		{check: "template", want: "", expr: `x > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "error", expr: `x{pod=""} > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "error", expr: `sum without (pod) (x) > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "", expr: `sum without (pod) (x) > 1`, more: `annotations: {summary: '{{ $labels.node }}'}`},
		{check: "template", want: "", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ if $labels.pod }}{{ $labels.pod }}{{ end }}'}`},
		{check: "template", want: "error", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ if $labels.job }}{{ $labels.pod }}{{ end }}'}`},
		{check: "template", want: "", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ with query "up" }}{{ . | first | label "pod" }}{{ range . }}{{ .Labels.pod }}{{ end }}{{ end }}'}`},
		{check: "template", want: "error", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ .Labels.pod }}'}`},
		{check: "template", want: "error", expr: `sum by (job) (x) > 1`, more: `annotations: {summary: '{{ index $labels "pod" }}'}`},
		{check: "template", want: "error", expr: `absent(up{job="a"})`, more: `annotations: {summary: '{{ $labels.instance }}'}`},
		{check: "template", want: "", expr: `absent(up{job="a"})`, more: `annotations: {summary: '{{ $labels.job }}'}`},
		{check: "template", want: "error", expr: `absent(up{job=~"a"})`, more: `annotations: {summary: '{{ $labels.job }}'}`},
		{check: "template", want: "", expr: `up == 0 or absent(up{job="a"})`, more: `annotations: {summary: '{{ $labels.instance }}'}`},
		{check: "template", want: "error", expr: `x / on(job) y > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "", expr: `x * on(job) group_left(pod) y > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "error", expr: `sum by (job) (x) * on(job) group_left(node) y > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "", expr: `label_replace(sum by (job) (x), "pod", "$1", "job", "(.*)") > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "", expr: `count_values("pod", x) > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "", expr: `topk(3, x) > 1`, more: `annotations: {summary: '{{ $labels.pod }}'}`},
		{check: "template", want: "error", expr: `sum by (job) (x) > 1`, more: `labels: {severity: '{{ if eq $value 1.0 }}{{ $labels.pod }}{{ end }}'}`},

		{check: "matching", want: "error", expr: `x{env="a"} > 1 and sum by (job) (y)`},
		{check: "matching", want: "warning", expr: `x > 1 and hour() > 8`},
		{check: "matching", want: "", expr: `x > 1 and on() hour() > 8`},
		{check: "matching", want: "warning", expr: `sum by (a) (x) / sum by (b) (y) > 1`},
		{check: "matching", want: "", expr: `sum by (a, b) (x) / sum by (b, a) (y) > 1`},
		{check: "matching", want: "warning", expr: `sum by (a, b) (x) / on(a, b) sum by (b) (y) > 1`},
		{check: "matching", want: "error", expr: `sum by (a, b) (x{a="1"}) / on(a, b) sum by (b) (y) > 1`},
		{check: "matching", want: "", expr: `sum by (a, b) (x) / on(b) group_left() sum by (b) (y) > 1`},
		{check: "matching", want: "warning", expr: `x * on(b) group_left(c) sum by (b) (y) > 1`},
		{check: "matching", want: "", expr: `x * on(b) group_left(c) sum by (b, c) (y) > 1`},
		{check: "matching", want: "", expr: `job:x:rate / sum by (job) (y) > 1`},
		{check: "matching", want: "warning", expr: `x / sum by (job) (y) > 1`},
		{check: "matching", want: "", expr: `x / ignoring(code) y > 1`},
		{check: "matching", want: "", expr: `sum by (a) (x) > 1 or sum by (b) (y) > 1`},

		{check: "selector", want: "error", expr: `x{a="1", a="2"} > 1`},
		{check: "selector", want: "error", expr: `x{a="1", a!~"1|2"} > 1`},
		{check: "selector", want: "", expr: `x{a="1", a!="2"} > 1`},
		{check: "selector", want: "warning", expr: `x{a!~".*"} > 1`},
		{check: "selector", want: "", expr: `x{a!~".+"} > 1`},

		{check: "rate", want: "error", expr: `rate(x{job="a"}[10s]) > 1`},
		{check: "rate", want: "warning", expr: `rate(x[10s]) > 1`},
		{check: "rate", want: "warning", expr: `rate(x[19s]) > 1`},
		{check: "rate", want: "info", expr: `rate(x[39s]) > 1`},
		{check: "rate", want: "", expr: `rate(x[40s]) > 1`},
		{check: "rate", want: "", expr: `max_over_time(x[10s]) > 1`},
		{check: "rate", want: "warning", expr: `rate(sum(x)[5m:1m]) > 1`},
		{check: "rate", want: "", expr: `max_over_time(sum(rate(x[5m]))[5m:1m]) > 1`},

		{check: "histogram", want: "error", expr: `histogram_quantile(0.9, sum by (job) (rate(x_bucket[5m]))) > 1`},
		{check: "histogram", want: "", expr: `histogram_quantile(0.9, sum by (job, le) (rate(x_bucket[5m]))) > 1`},
		{check: "histogram", want: "", expr: `histogram_quantile(0.9, sum by (job) (rate(x[5m]))) > 1`},

		{check: "filter", want: "warning", expr: `x`},
		{check: "filter", want: "error", expr: `x > bool 1`},
		{check: "filter", want: "", expr: `(x > bool 1) == 1`},
		{check: "filter", want: "warning", expr: `x > 1 or y`},
		{check: "filter", want: "", expr: `x unless y`},
		{check: "filter", want: "", expr: `vector(1)`},

		{check: "fragile", want: "warning", expr: `topk(3, x) > 1`},
		{check: "fragile", want: "", expr: `sum(topk(3, x)) > 1`},
		{check: "fragile", want: "", expr: `x * on(a) group_left() topk by (a) (1, y) > 1`},
		{check: "fragile", want: "warning", expr: `absent(up)`, more: `for: 0s`},
		{check: "fragile", want: "", expr: `absent(up)`, more: `for: 1m`},
		{check: "fragile", want: "warning", expr: `rate(x[5m]) == 0.5`},
		{check: "fragile", want: "", expr: `rate(x[5m]) == 0`},

		{check: "regexp", want: "info", expr: `up{job=~"a"} == 0`},
		{check: "regexp", want: "info", expr: `up{job=~".*"} == 0`},
		{check: "regexp", want: "", expr: `up{job=~"a|b"} == 0`},

		{check: "duplicate", want: "warning", rules: "  - {alert: A, expr: 'up==0'}\n  - {alert: A, expr: 'up == 0'}\n"},
		{check: "duplicate", want: "", rules: "  - {alert: A, expr: 'up==0'}\n  - {alert: A, expr: 'up == 0', labels: {a: b}}\n"},

		{check: "severity", want: "warning", rules: "  - {alert: A, expr: 'up==0'}\n"},
		{check: "severity", want: "", rules: "  - {alert: A, expr: 'up==0', labels: {severity: info}}\n"},
		{check: "severity", want: "", rules: "  - {record: A, expr: 'up==0'}\n"},
		{check: "summary", want: "warning", rules: "  - {alert: A, expr: 'up==0', annotations: {summary: ' '}}\n"},
		{check: "summary", want: "", rules: "  - {alert: A, expr: 'up==0', annotations: {description: it is}}\n"},
		{check: "runbook", want: "info", rules: "  - {alert: A, expr: 'up==0', labels: {severity: critical}}\n"},
		{check: "runbook", want: "", rules: "  - {alert: A, expr: 'up==0', labels: {severity: critical}, annotations: {runbook_url: 'https://x'}}\n"},
		{check: "runbook", want: "", rules: "  - {alert: A, expr: 'up==0', labels: {severity: info}}\n"},

		{check: "trait", want: "info", expr: `stddev(x) > 1`},
		{check: "trait", want: "", expr: `x / y > 2`},
		{check: "trait", want: "info", rules: "  - {record: 'a:x', expr: 'sum by (app) (x)', labels: {v: r}}\n  - {record: 'a:x', expr: 'sum by (app) (y)', labels: {v: w}}\n  - {alert: A, expr: 'a:x > 1'}\n"},
		{check: "trait", want: "", rules: "  - {record: 'a:x', expr: 'sum by (app) (x)'}\n  - {alert: A, expr: 'a:x > 1'}\n"},

		{check: "remediate", want: "warning", expr: `up == 0`, more: `labels: {remediate: restart}`},
		{check: "remediate", want: "", expr: `up == 0`, more: `labels: {remediate: restart}, for: 1m`},
		{check: "remediate", want: "warning", expr: `sum by (app) (x) > 1`, more: `labels: {remediate: restart}, for: 1m`},
		{check: "remediate", want: "", expr: `sum by (version) (x) > 1`, more: `labels: {remediate: restart}, for: 1m`},
		{check: "remediate", want: "warning", expr: `absent(up{instance="a"})`, more: `labels: {remediate: restart}, for: 1m`},
		{check: "remediate", want: "warning", expr: `count by (instance) (x) > 1`, more: `labels: {remediate: restart}, for: 1m`},
		{check: "remediate", want: "warning", expr: `sum by (app) (x) > 1`, more: `labels: {by: policy}, for: 1m`},
		{check: "remediate", want: "", expr: `sum by (app) (x) > 1`, more: `labels: {by: people}, for: 1m`},

		{check: "disable", want: "warning", rules: "  # tocsin: disable severity\n  - {alert: A, expr: 'up==0'}\n"},
		{check: "disable", want: "warning", rules: "  # tocsin: disable severty: why not\n  - {alert: A, expr: 'up==0'}\n"},
		{check: "disable", want: "warning", rules: "  # tocsin: disable rate: slow\n  - {alert: A, expr: 'up==0'}\n"},
		{check: "disable", want: "", rules: "  # tocsin: disable severity: why not\n  - {alert: A, expr: 'up==0'}\n"},
	}
}

func options() lint.Options {
	return lint.Options{
		Scrape: func(parser.Expr) time.Duration { return 10 * time.Second },
		Remedies: []lint.Remedy{{Policy: "restart", Label: "instance", Matches: func(set map[string]string) bool {
			return set["by"] == "policy"
		}}},
	}
}

// elsewhere are checks with tests of their own: TestSyntax, TestServer, and what
// needs the config of servers ( testdata/script/rules_lint.txtar).
func elsewhere() map[string]bool {
	return map[string]bool{"syntax": true, lint.CheckLatency: true, lint.CheckSeries: true, lint.CheckCost: true, lint.CheckFires: true}
}

func TestChecks(t *testing.T) {
	fires, silent := elsewhere(), elsewhere()
	for _, c := range examples() {
		text := head + c.rules
		if c.rules == "" {
			text += "  - {alert: A, expr: '" + strings.ReplaceAll(c.expr, "'", "''") + "'"
			if c.more != "" {
				text += ", " + c.more
			}
			text += "}\n"
		}
		var got []string
		for _, f := range run(t, text, options()) {
			require.NotEmpty(t, f.Fix)
			require.NotZero(t, f.Line)
			if f.Check == c.check {
				got = append(got, string(f.Severity))
			}
		}
		require.Equal(t, c.want, strings.Join(slices.Compact(got), ","), "%s: %s", c.check, text)
		fires[c.check] = fires[c.check] || c.want != ""
		silent[c.check] = silent[c.check] || c.want == ""
	}
	for _, c := range lint.Checks() {
		require.True(t, fires[c.Name], "no example where %s fires", c.Name)
		require.True(t, silent[c.Name], "no near miss of %s", c.Name)
	}
}

// The gravest severity that a check has is the one of the list.
func TestSeverities(t *testing.T) {
	gravest := map[string]lint.Severity{}
	for _, c := range examples() {
		for s := range strings.SplitSeq(c.want, ",") {
			if s != "" && lint.Severity(s).Reaches(gravest[c.check]) {
				gravest[c.check] = lint.Severity(s)
			}
		}
	}
	for _, c := range lint.Checks() {
		if !elsewhere()[c.Name] {
			require.Equal(t, c.Severity, gravest[c.Name], c.Name)
		}
	}
}

// Without the scrape interval a short window is told for information.
func TestRateWithoutScrape(t *testing.T) {
	found := run(t, head+"  - {record: a, expr: 'rate(x[1m])'}\n  - {record: b, expr: 'rate(x[2m])'}\n", lint.Options{})
	require.Len(t, found, 1)
	require.Equal(t, lint.Info, found[0].Severity)
	require.Equal(t, "rate over 1m needs a scrape each 15s or more often", found[0].Message)
}

// A finding names the line: of the annotation, and within a block.
func TestLines(t *testing.T) {
	found := run(t, head+`  - alert: A
    expr: | # of two lines
      sum by (job) (x) > 1
        and on(job) count by (job) (y) == 0
    labels: {severity: info}
    annotations:
      summary: all well
      description: |
        on {{ $labels.pod }}
  - alert: B
    expr: count(x)
      == 0
    labels: {severity: info}
    annotations: {summary: all well}
`, lint.Options{})
	var got []string
	lines := map[string]int{}
	for _, f := range found {
		got = append(got, f.Rule+" "+f.Check)
		lines[f.Rule+" "+f.Check] = f.Line
	}
	require.Equal(t, []string{"A comparison", "A template", "B comparison"}, got)
	require.Equal(t, map[string]int{"A comparison": 7, "A template": 11, "B comparison": 14}, lines)
}

func TestDisable(t *testing.T) {
	const rule = "  - alert: A\n    expr: up == 0\n    labels: {severity: info}\n"
	for _, c := range []struct{ text, want string }{
		{head + rule, "4 summary"},
		{head + "  # tocsin: disable summary: the name says it\n  # and more\n" + rule, ""},
		{head + strings.Replace(rule, "up == 0\n", "up == 0 # tocsin: disable summary: the name says it\n", 1), ""},
		{head + "  # tocsin: disable summary: the name says it\n" + rule + strings.Replace(rule, "A", "B", 1), "8 summary"},
		{head + rule + "  # tocsin: disable summary: the name says it\n" + strings.Replace(rule, "A", "B", 1), "4 summary"},
		{"# tocsin: disable-file summary: names say it\n" + head + rule + strings.Replace(rule, "A", "B", 1), ""},
		{"# tocsin: disable-file rate: slow\n" + head + rule, "1 disable,5 summary"},
		{"# tocsin: disable-file summary\n" + head + rule, "1 disable,5 summary"},
		{"# tocsin: disable disable: all of it\n" + head + rule, "1 disable,5 summary"},
	} {
		var got []string
		for _, f := range run(t, c.text, lint.Options{}) {
			got = append(got, strconv.Itoa(f.Line)+" "+f.Check)
		}
		require.Equal(t, c.want, strings.Join(got, ","), c.text)
	}
}

func TestSyntax(t *testing.T) {
	_, err := rules.Parse("r.yml", []byte("groups:\n- name: g\n  rules: [{alert: A, expr: 'up =='}]\n"))
	require.Error(t, err)
	found := lint.Run([]lint.Source{{Path: "r.yml", Broken: mistakes(err)}}, lint.Options{})
	require.Len(t, found, 1)
	require.Equal(t, "syntax", found[0].Check)
	require.Equal(t, 3, found[0].Line)
	require.Contains(t, found[0].Message, "unexpected end of input")
}

// The same rule in another file is told for information: another server may read it.
func TestDuplicateOfAnotherFile(t *testing.T) {
	f, err := rules.Parse("r.yml", []byte(head+"  - {record: a, expr: x}\n"))
	require.NoError(t, err)
	found := lint.Run([]lint.Source{{Path: "a.yml", Groups: f.Groups}, {Path: "b.yml", Groups: f.Groups}}, lint.Options{})
	require.Len(t, found, 1)
	require.Equal(t, lint.Info, found[0].Severity)
	require.Equal(t, "the same rule stands in a.yml:4", found[0].Message)
}

// The house's own alerts have nothing to mend.
func TestOwnAlerts(t *testing.T) {
	require.Empty(t, folder(t, "../../deploy/alerts", lint.Warning))
}

// trueErrors are those of public rule sets, each read by hand: a text names a
// label that the aggregation drops, or a quantile has lost le.
func trueErrors() []string {
	return []string{
		"apa-kafka-exporter.yml template KafkaConsumerGroupLag",
		"apa-kafka-exporter.yml template KafkaTopicsReplicas",
		"apa-redis-exporter.yml template RedisDisconnectedSlaves",
		"apa-redis-exporter.yml template RedisMissingMaster",
		"apa-redis-exporter.yml template RedisTooManyMasters",
		"kp-alertmanager-prometheusRule.yaml template AlertmanagerClusterCrashlooping",
		"kp-alertmanager-prometheusRule.yaml template AlertmanagerClusterDown",
		"kp-alertmanager-prometheusRule.yaml template AlertmanagerClusterFailedToSendAlerts",
		"kp-alertmanager-prometheusRule.yaml template AlertmanagerConfigInconsistent",
		"thanos-alerts.yaml histogram ThanosBucketReplicateRunLatency",
	}
}

// Public rule sets have no false error. The folder is given by RULES_DATA.
func TestPublicRuleSets(t *testing.T) {
	root := os.Getenv("RULES_DATA")
	if root == "" {
		t.Log("RULES_DATA names no folder of rule sets")
		return
	}
	require.Equal(t, trueErrors(), folder(t, root, lint.Error))
}

func folder(t *testing.T, root string, least lint.Severity) []string {
	t.Helper()
	var sources []lint.Source
	texts := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yml" && filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if strings.Contains(string(data), "rule_files:") || strings.Contains(string(data), "services:\n") {
			return nil // promtool's tests, and a catalogue rules are made from
		}
		f, err := rules.Parse(path, data)
		require.NoError(t, err)
		texts[path] = data
		sources = append(sources, lint.Source{Path: path, Groups: f.Groups})
		return nil
	}))
	require.NotEmpty(t, sources)
	var out []string
	for _, f := range lint.Run(sources, lint.Options{Texts: texts, Roles: roles()}) {
		if f.Severity.Reaches(least) {
			out = append(out, filepath.Base(f.File)+" "+f.Check+" "+f.Rule)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The guide has a section for each check, in the order of the list.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/lint.md")
	require.NoError(t, err)
	var said, listed []string
	for line := range strings.SplitSeq(string(guide), "\n") {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			said = append(said, name)
		}
	}
	for _, c := range lint.Checks() {
		listed = append(listed, c.Name)
	}
	require.Equal(t, listed, said)
}

// Of rules that did not change nothing is said, and comments there still count.
func TestChanged(t *testing.T) {
	text := head + "  - {alert: A, expr: up == 0}\n  # tocsin: disable severity: none\n  - {alert: B, expr: up == 1}\n  # tocsin: disable rate: none\n  - {alert: C, expr: up == 2}\n"
	o := lint.Options{Changed: func(_ *lint.Source, _ *rules.Group, r *rules.Rule) bool { return r.Alert != "A" }}
	var got []string
	for _, f := range run(t, text, o) {
		got = append(got, f.Rule+" "+f.Check)
	}
	require.Equal(t, []string{"B summary", " disable", "C severity", "C summary"}, got)
	o.Same = map[string]bool{"r.yml": true}
	require.Len(t, run(t, text, o), 3)
}
