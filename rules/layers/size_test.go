package layers_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/layers"
)

// large is a tree of six layers: every app and every value of each other layer
// has a file, and each file changes `touched` templates.
func large(apps, templates, touched int) fstest.MapFS {
	out := fstest.MapFS{}
	put := func(name, text string) { out[name] = &fstest.MapFile{Data: []byte(text)} }
	for i := range templates {
		put(fmt.Sprintf("templates/t%02d.yaml", i), strings.ReplaceAll(`
doc: The requests of a service.
interval: 15s
params:
  - {name: ratio, type: percent, default: 5%, min: 0%, max: 100%, doc: Share of requests that fail.}
  - {name: window, type: duration, default: 1m, doc: Over how long.}
  - {name: slow, type: number, default: 0.5, doc: Seconds that are slow.}
  - {name: codes, type: regex, default: "5..", doc: Status codes of failures.}
rules:
  - record: app:requestsN:rate
    expr: sum by (app) (rate(requestsN_total[${window}]))
  - alert: FailingN
    expr: sum by (app) (rate(requestsN_total{code=~"${codes}"}[${window}])) / app:requestsN:rate > ${ratio}
    for: 30s
    labels: {severity: warning}
    annotations: {summary: "{{ $labels.app }}: more than ${ratio} fail", runbook_url: https://runbooks.example.org/N}
  - alert: SlowN
    expr: histogram_quantile(0.99, sum by (app, le) (rate(durationN_bucket[${window}]))) > ${slow}
    for: 1m
    labels: {severity: warning}
    annotations: {summary: "{{ $labels.app }} is slow: more than ${slow} s"}
`, "N", fmt.Sprintf("_%02d", i)))
	}
	var list strings.Builder
	list.WriteString("apps:\n")
	for i := range apps {
		fmt.Fprintf(&list, "  - {name: service-%04d, cluster: c%d, phase: p%d, app-type: t%d, app-group: g%d}\n", i, i%8, i%3, i%12, i%150)
	}
	put("apps.yaml", list.String())
	put("rules.yaml", "source_url: https://git.example.org/rules/blob/main/{file}#L{line}\n")
	say := func(name string, n int) {
		var b strings.Builder
		b.WriteString("templates:\n")
		for k := range touched {
			at := (n*7 + k) % templates
			fmt.Fprintf(&b, "  t%02d:\n    params: {ratio: %d%%, slow: 0.%d}\n    rules:\n      - {alert: Failing_%02d, for: %dm, labels: {team: x%d}}\n", at, 1+n%9, 1+n%5, at, 1+n%3, n%4)
		}
		put("layers/"+name+".yaml", b.String())
	}
	say("global", 0)
	for layer, n := range map[string]int{"cluster/c": 8, "phase/p": 3, "app-type/t": 12, "app-group/g": 150} {
		for i := range n {
			say(fmt.Sprintf("%s%d", layer, i), i)
		}
	}
	for i := range apps {
		say(fmt.Sprintf("app/service-%04d", i), i)
	}
	return out
}

func build(t testing.TB, fsys fstest.MapFS) (rules int, bytes int) {
	t.Helper()
	tr, err := layers.Load(fsys, "rules", nil)
	require.NoError(t, err)
	groups, err := tr.Compile()
	require.NoError(t, err)
	require.NoError(t, tr.Prove(groups))
	files, err := tr.Files(groups)
	require.NoError(t, err)
	for _, f := range files {
		rules += f.Rules
		bytes += len(f.Data)
	}
	return rules, bytes
}

// What a tree of a tenth of the promised apps allocates in all bounds what it
// ever holds, and does not depend on the machine; BenchmarkBuild has the whole.
func TestALargeTreeStaysSmall(t *testing.T) {
	fsys := large(300, 10, 4)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rules, _ := build(t, fsys)
	runtime.ReadMemStats(&after)
	require.Greater(t, rules, 100)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(300<<20))
}

// BenchmarkBuild loads, compiles, proves and writes 6 layers, 3,000 apps and 40
// templates; each file changes 4 or all of the templates.
func BenchmarkBuild(b *testing.B) {
	for _, touched := range []int{4, 40} {
		fsys := large(3000, 40, touched)
		b.Run(fmt.Sprintf("touched=%d", touched), func(b *testing.B) {
			b.ReportAllocs()
			var rules, bytes int
			for b.Loop() {
				rules, bytes = build(b, fsys)
			}
			b.ReportMetric(float64(rules), "rules")
			b.ReportMetric(float64(bytes)/(1<<20), "MB_out")
		})
	}
}

// The rule for apps that nobody knows names all that are known: the authors'
// own commands must read that too.
func TestThousandsOfNamesAreReadBack(t *testing.T) {
	var apps strings.Builder
	apps.WriteString("apps:\n")
	for i := range 3000 {
		fmt.Fprintf(&apps, "  - {name: a-service-with-a-long-name-%04d, phase: live}\n", i)
	}
	tr, groups := compile(t, "-- templates/x.yaml --\nrules: [{alert: A, expr: 'rate(x[1m]) / rate(y[1m]) > 1'}]\n", "apps.yaml", apps.String(),
		"layers/phase/live.yaml", "labels: {severity: critical}\n")
	files, err := tr.Files(groups)
	require.NoError(t, err)
	read, err := rules.Parse("x.yaml", files[0].Data)
	require.NoError(t, err)
	require.Len(t, read.Groups[0].Rules, len(groups[0].Rules))
	require.Greater(t, len(read.Groups[0].Rules[0].Expr), 150_000)
}
