package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/doctor"
	"github.com/tocsin/tocsin/rules/latency"
)

const server = `global:
  scrape_interval: 30s
  evaluation_interval: 30s
  external_labels: {cluster: dc1, replica: a}
rule_files: [rules/*.yml, /etc/more.yml]
alerting:
  alert_relabel_configs:
    - {action: labeldrop, regex: replica}
scrape_configs:
  - job_name: api
    scrape_interval: 10s
  - job_name: batch
    scrape_interval: 2m
  - job_name: node
`

const tree = `route:
  receiver: tickets
  group_by: [alertname]
  group_interval: 1m
  routes:
    - matchers: [severity="critical"]
      receiver: pages
      group_wait: 10s
      routes:
        - matchers: [team="slow"]
          receiver: slow
          group_wait: 2m
        - matchers: [alertname="Alone"]
          receiver: alone
          group_by: ['...']
          continue: true
    - matchers: [cluster="dc2"]
      receiver: elsewhere
receivers: [{name: tickets}, {name: pages}, {name: slow}, {name: alone}, {name: elsewhere}]
`

func patient(t *testing.T, groups string) doctor.Patient {
	t.Helper()
	p, err := doctor.ReadPrometheus("prometheus.yml", []byte(server))
	require.NoError(t, err)
	a, err := doctor.ReadAlertmanager("alertmanager.yml", []byte(tree))
	require.NoError(t, err)
	f, err := rules.Parse("rules.yml", []byte(groups))
	require.NoError(t, err)
	return doctor.Patient{Files: []rules.File{f}, Prometheus: p, Routes: a, Level: 1}
}

func only(t *testing.T, p doctor.Patient) doctor.Prediction {
	t.Helper()
	got, err := p.Predict()
	require.NoError(t, err)
	require.Len(t, got, 1)
	return got[0]
}

func span(best, mean, worst time.Duration) latency.Span {
	return latency.Span{Best: best, Mean: mean, Worst: worst}
}

const ratio = `groups:
- name: api
  rules:
  - alert: ApiFails
    expr: sum(rate(errors_total{job="api"}[5m])) / sum(rate(requests_total{job="api"}[5m])) > 0.1
    for: 2m
    labels: {severity: critical}
`

func TestPredict(t *testing.T) {
	got := only(t, patient(t, ratio))
	// c 29 s, s 10 s, e 30 s, for 120 s, group_wait 10 s
	require.Equal(t, span(159*time.Second, 179*time.Second, 199*time.Second), got.Span)
	require.Equal(t, span(149*time.Second, 199*time.Second, 249*time.Second), got.Joining, "group_interval 1m of the root")
	require.True(t, got.Derived)
	require.Equal(t, "critical", got.Severity)
	require.Equal(t, 4, got.Line)
	require.Equal(t, "pages", got.Routes[0].Receiver)
	require.Equal(t, []string{`where team="slow": receiver slow after 4m49s`}, got.Notes)

	var lines []string
	for _, l := range got.Levers {
		lines = append(lines, l.String())
	}
	require.Equal(t, []string{
		"rules.yml:6 for: 2m → 0s: −2m0s",
		"rules.yml:5 expr: [5m] → [1m]: −24s",
		"prometheus.yml:3 evaluation_interval: 30s → 5s: −12.5s",
		"alertmanager.yml:8 group_wait: 10s → 0s: −10s",
	}, lines)
}

func TestPredictKnobs(t *testing.T) {
	p := patient(t, ratio)
	p.Arrives, p.FailedSends, p.DeadPeers, p.Level = 5*time.Second, 1, 1, 0.2
	p.Gateway = func(string) latency.Span { return span(0, time.Second, 5*time.Second) }
	p.EvalTakes = func(group, rule string) time.Duration {
		require.Equal(t, "api ApiFails", group+" "+rule)
		return 2 * time.Second
	}
	require.NoError(t, p.Routes.Flags("am.service", doctor.ReadFlags("--cluster.peer-timeout=20s")))
	p.Receivers = []string{"pages"}
	// c 145, lag 5, d_e 2, R* 90, w 10, P 20: 155+120+5+2+90+20 = 392
	require.Equal(t, span(392*time.Second, 413*time.Second, 437*time.Second), only(t, p).Span)
	p.Receivers = []string{"others"}
	require.Equal(t, span(392*time.Second, 412*time.Second, 432*time.Second), only(t, p).Span, "it goes past the gateway")
	p.Receivers = nil

	p.Level = 0.05
	require.True(t, only(t, p).Never)
	require.Empty(t, only(t, p).Levers)
	require.Zero(t, doctor.Budgets{"critical": config.Duration(time.Second)}.Over(only(t, p), true), "what never fires is not late")
}

func TestWhichJobIsScraped(t *testing.T) {
	for expr, want := range map[string]struct {
		scrape time.Duration
		note   string
	}{
		`up{job="api"} == 0`:        {10 * time.Second, ""},
		`up{job="node"} == 0`:       {30 * time.Second, ""},
		`up{job=~"api|batch"} == 0`: {2 * time.Minute, ""},
		`up == 0`:                   {2 * time.Minute, "no job matcher: the slowest job's interval is taken (batch, 2m0s)"},
		`up{job="kubelet"} == 0`:    {2 * time.Minute, `no job_name is like job="kubelet": the slowest job's interval is taken (batch, 2m0s)`},
		`vector(1)`:                 {0, ""},
	} {
		got := only(t, patient(t, "groups: [{name: g, rules: [{alert: A, expr: '"+expr+"'}]}]"))
		require.Equal(t, want.scrape, got.Stages[0].Worst, expr)
		if want.note == "" {
			require.NotContains(t, strings.Join(got.Notes, "; "), "job", expr)
		} else {
			require.Contains(t, got.Notes, want.note)
		}
	}
}

func TestRecordingRulesAreWaitedFor(t *testing.T) {
	const alert = `
- name: alerts
  interval: 10s
  rules:
  - alert: A
    expr: api:errors:ratio > 0.1
    labels: {severity: critical}
`
	ahead := `groups:
- name: slow
  interval: 1m
  query_offset: 5s
  rules:
  - record: api:errors:ratio
    expr: api:errors:rate / api:requests:rate
  - record: api:errors:rate
    expr: sum(rate(errors_total{job="api"}[5m]))
- name: fast
  rules:
  - record: api:requests:rate
    expr: sum(rate(requests_total{job="api"}[5m]))` + alert
	got := only(t, patient(t, ahead))
	require.True(t, got.Derived, "through the recording rules: %s", got.Condition)
	// c 29, s 10, e 10, w 10; slow: U(0,60)+5, and behind it in its own group: 60
	require.Equal(t, span(104*time.Second, 144*time.Second, 184*time.Second), got.Span)
	require.Equal(t, "rules.yml:6 record api:errors:ratio: 1m → group \"alerts\", ahead of the alert: −35s", got.Levers[1].String())
}

func TestRecordingRulesThatReadThemselves(t *testing.T) {
	_, err := patient(t, `groups:
- name: g
  rules:
  - record: a
    expr: b + 1
  - record: b
    expr: a * 2
  - alert: A
    expr: a > 1
`).Predict()
	require.EqualError(t, err, "rules.yml:4: a reads itself: a reads b reads a")
	var m *config.Mistake
	require.ErrorAs(t, err, &m)
}

// Forty levels that each read the one below twice are looked at forty times.
func TestRecordingRulesThatFanOut(t *testing.T) {
	var b strings.Builder
	b.WriteString("groups:\n- name: g\n  rules:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  - {record: a%d, expr: a%d + b%d}\n  - {record: b%d, expr: a%d - b%d}\n", i, i+1, i+1, i, i+1, i+1)
	}
	b.WriteString("- name: alerts\n  rules: [{alert: A, expr: a0 > 1}]\n")
	require.Len(t, only(t, patient(t, b.String())).Levers, 43, "one for each level, and three")
}

func TestRoutes(t *testing.T) {
	alert := func(name, extra string) string {
		return "groups: [{name: g, labels: {severity: critical}, rules: [{alert: " + name + ", expr: up == 0" + extra + "}]}]"
	}
	got := only(t, patient(t, alert("Alone", "")))
	require.Equal(t, "alone", got.Routes[0].Receiver)
	require.True(t, got.Routes[0].Alone)
	require.Zero(t, got.Joining, "every alert is its own group")

	got = only(t, patient(t, alert("A", ", labels: {severity: warning}")))
	require.Equal(t, "tickets", got.Routes[0].Receiver, "the rule's own label wins")
	require.Equal(t, 30*time.Second, got.Stages[4].Best, "Alertmanager's default")

	got = only(t, patient(t, alert("A", ", labels: {team: slow}")))
	require.Equal(t, "slow", got.Routes[0].Receiver)
	got = only(t, patient(t, alert("A", ", labels: {team: \"{{ $labels.team }}\"}")))
	require.Equal(t, "pages", got.Routes[0].Receiver, "what a template makes is not known")
	require.Len(t, got.Routes, 2)

	p := patient(t, alert("A", ""))
	p.Prometheus.External["cluster"] = "dc2"
	require.Equal(t, "pages", only(t, p).Routes[0].Receiver, "the first route that matches")
}

func TestOfSeveralReceiversTheGatewaysCounts(t *testing.T) {
	a, err := doctor.ReadAlertmanager("a.yml", []byte(`route:
  receiver: old
  routes:
    - {receiver: tocsin, group_wait: 20s, continue: true}
    - {receiver: old, group_wait: 0s}
receivers: [{name: old}, {name: tocsin}]
`))
	require.NoError(t, err)
	p := patient(t, ratio)
	p.Routes = a
	require.Zero(t, only(t, p).Stages[4].Best, "the faster")
	p.Receivers = []string{"tocsin"}
	require.Equal(t, 20*time.Second, only(t, p).Stages[4].Best)
}

func TestReadPrometheus(t *testing.T) {
	p, err := doctor.ReadPrometheus("etc/prometheus.yml", []byte(server))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"cluster": "dc1"}, p.External, "what replicas differ by is dropped")
	require.Equal(t, []string{filepath.Join("etc", "rules/*.yml"), "/etc/more.yml"}, p.RuleFiles)
	require.False(t, p.Relabels)

	p, err = doctor.ReadPrometheus("p.yml", nil)
	require.NoError(t, err)
	require.Equal(t, time.Minute, p.Eval.Value)
	require.True(t, p.Eval.Default)

	_, err = doctor.ReadPrometheus("p.yml", []byte("global:\n  scrape_interval: often\n"))
	require.EqualError(t, err, `p.yml:2: scrape_interval "often" is not a duration: write it as 30s, 5m or 1h30m`)
	_, err = doctor.ReadPrometheus("p.yml", []byte("global: ["))
	require.ErrorContains(t, err, "p.yml:1: ")

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.yml"), []byte("scrape_configs: [{job_name: late, scrape_interval: 5m}]"), 0o600))
	p, err = doctor.ReadPrometheus(filepath.Join(dir, "p.yml"), []byte("scrape_config_files: [more.yml]"))
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, p.Jobs[0].Scrape.Value)
}

func TestReadAlertmanager(t *testing.T) {
	_, err := doctor.ReadAlertmanager("a.yml", []byte("route: {receiver: x}\nreceivers: [{name: y}]\n"))
	require.ErrorContains(t, err, `a.yml: undefined receiver "x" used in route`)
	_, err = doctor.ReadAlertmanager("a.yml", []byte("route: {receiver: x, group_wiat: 1s}\nreceivers: [{name: x}]\n"))
	require.ErrorContains(t, err, "a.yml:1: ")
}

func TestFlags(t *testing.T) {
	p := doctor.Defaults("")
	unit := `ExecStart=/usr/bin/thanos rule \
  --eval-interval=15s --rule-query-offset 10s \
  "--resend-delay=30s" --label 'region="eu"' \
  --label=replica="a" --alert.label-drop=replica --rule-file /etc/rules/*.yml
`
	require.NoError(t, p.Flags("thanos.service", doctor.ReadFlags(unit)))
	require.Equal(t, doctor.Setting{Key: "--eval-interval", Value: 15 * time.Second, File: "thanos.service", Line: 2}, p.Eval)
	require.Equal(t, 10*time.Second, p.Offset.Value)
	require.Equal(t, 30*time.Second, p.Resend.Value)
	require.Equal(t, map[string]string{"region": "eu"}, p.External)

	require.NoError(t, p.Flags("f", doctor.ReadFlags(`args: ["rule", "--eval-interval=20s", "--resend-delay=1m0s"]`)))
	require.Equal(t, 20*time.Second, p.Eval.Value)
	require.Equal(t, time.Minute, p.Resend.Value)
	require.EqualError(t, p.Flags("f", doctor.ReadFlags("--eval-interval=fast")),
		`f:1: --eval-interval "fast" is not a duration: write it as 30s, 5m or 1h30m`)
}

func FuzzReadServers(f *testing.F) {
	f.Add([]byte(server), "--eval-interval=1s")
	f.Add([]byte(tree), `--label 'a="b"'`)
	f.Add([]byte("route: &a {routes: [*a]}"), "--")
	f.Fuzz(func(t *testing.T, data []byte, flags string) {
		p, err := doctor.ReadPrometheus("p.yml", data)
		if err != nil {
			return
		}
		_ = p.Flags("f", doctor.ReadFlags(flags))
		a, err := doctor.ReadAlertmanager("a.yml", data)
		if err != nil {
			return
		}
		require.NotEmpty(t, a.Ways(map[string]string{"alertname": "A"}))
	})
}

// Public rule sets get a prediction for each alert; the folder is given by RULES_DATA.
func TestPublicRuleSets(t *testing.T) {
	root := os.Getenv("RULES_DATA")
	if root == "" {
		t.Log("RULES_DATA names no folder of rule sets")
		return
	}
	var files []rules.File
	for _, pattern := range []string{"kp-*.yaml", "apa-*exporter.yml", "thanos-alerts.yaml", "extra/*.y*ml"} {
		more, err := rules.ReadAll(filepath.Join(root, pattern))
		require.NoError(t, err)
		files = append(files, more...)
	}
	p := patient(t, ratio)
	p.Files = files
	got, err := p.Predict()
	require.NoError(t, err)
	derived, never := 0, 0
	for _, one := range got {
		require.LessOrEqual(t, one.Best, one.Mean)
		require.LessOrEqual(t, one.Mean, one.Worst)
		require.NotZero(t, one.Worst, one.Alert)
		if one.Derived {
			derived++
		}
		if one.Never {
			never++
		}
	}
	t.Logf("%d alerts, the condition derived for %d; %d never fire at an outage", len(got), derived, never)
}
