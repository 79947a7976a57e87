package packs_test

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/doctor"
	"github.com/tocsin/tocsin/rules/layers"
	"github.com/tocsin/tocsin/rules/packs"
)

// golden is where a pack stands as it is compiled.
func golden(pack string) string { return "compiled/" + pack + ".rules.yml" }

// TestPacks compiles the tree: what it says stands in compiled/, and each app is
// taken once.
func TestPacks(t *testing.T) {
	tree, err := layers.Load(packs.Tree, ".", nil)
	require.NoError(t, err)
	groups, err := tree.Compile()
	require.NoError(t, err)
	require.NoError(t, tree.Prove(groups))
	files, err := tree.Files(groups)
	require.NoError(t, err)
	templates, err := filepath.Glob("templates/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, len(templates))
	for _, f := range files {
		pack := strings.TrimSuffix(f.Name, ".yaml")
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(golden(pack), f.Data, 0o600))
		}
		want, err := os.ReadFile(golden(pack))
		require.NoError(t, err)
		require.Equal(t, string(want), string(f.Data), "UPDATE=1 rewrites it")
	}
	compiled, err := filepath.Glob("compiled/*")
	require.NoError(t, err)
	require.Len(t, compiled, len(files), "each is of a template")
}

// alert is one of the packs about services and machines, and how long its page takes under the shipped configs.
type alert struct {
	rules.Rule
	pack string
	took doctor.Prediction
}

// fast reports whether an alert tells of strong symptoms: its name says so.
func (a alert) fast() bool { return strings.HasSuffix(a.Alert, "Fast") }

// alerts are those of all packs, in their order.
func alerts(t *testing.T) []alert {
	t.Helper()
	names, err := filepath.Glob("compiled/*.rules.yml")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	var out []alert
	for _, name := range names {
		if slices.Contains(shipped(), strings.TrimSuffix(path.Base(name), ".rules.yml")) {
			continue // about Tocsin and its exporters, not about users: no page of theirs is counted in seconds
		}
		p := patient(t, name)
		predicted, err := p.Predict()
		require.NoError(t, err)
		byName := map[string]doctor.Prediction{}
		for _, one := range predicted {
			byName[one.Alert] = one
		}
		for _, g := range p.Files[0].Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					out = append(out, alert{r, strings.TrimSuffix(path.Base(name), ".rules.yml"), byName[r.Alert]})
				}
			}
		}
	}
	return out
}

// patient is a compiled pack under the configs that are shipped.
func patient(t *testing.T, pack string) doctor.Patient {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return data
	}
	f, err := rules.ReadFile(pack)
	require.NoError(t, err)
	p, err := doctor.ReadPrometheus("prometheus.yml", read("../../deploy/examples/prometheus.yml"))
	require.NoError(t, err)
	a, err := doctor.ReadAlertmanager("alertmanager.yml", read("../../deploy/examples/alertmanager.yml"))
	require.NoError(t, err)
	return doctor.Patient{Files: []rules.File{f}, Prometheus: p, Routes: a, Level: 1}
}

// TestWithinTheMinute holds the worst case of a fast alert, and the mean of the
// others that page, against a minute.
func TestWithinTheMinute(t *testing.T) {
	fast := 0
	for _, a := range alerts(t) {
		require.False(t, a.took.Never, a.Alert)
		if a.Labels["severity"] == "critical" {
			require.LessOrEqual(t, a.took.Mean, time.Minute, a.Alert)
		}
		if a.fast() {
			fast++
			require.LessOrEqual(t, a.took.Worst, time.Minute, a.Alert)
		}
		if pace, ok := a.Labels["pace"]; ok {
			require.Equal(t, a.fast(), pace == "fast", "%s: pace %s", a.Alert, pace)
		}
	}
	require.NotZero(t, fast)
}

// TestTimesInTheDocument holds the table of docs/packs.md against the doctor.
func TestTimesInTheDocument(t *testing.T) {
	const file, begin, end = "../../docs/packs.md", "<!-- times: begin -->\n", "<!-- times: end -->"
	var b strings.Builder
	b.WriteString("\n| pack | alert | severity | best | mean | worst |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, a := range alerts(t) {
		fmt.Fprintf(&b, "| [%s](#%s) | [%s](runbooks/%s.md) | %s | %s | %s | %s |\n", a.pack, a.pack, a.Alert, a.Alert,
			a.Labels["severity"], seconds(a.took.Best), seconds(a.took.Mean), seconds(a.took.Worst))
	}
	b.WriteString("\n")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	text := string(raw)
	head, rest, ok := strings.Cut(text, begin)
	require.True(t, ok)
	was, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(head+begin+b.String()+end+tail), 0o600))
		was = b.String()
	}
	require.Equal(t, b.String(), was, "UPDATE=1 rewrites it")
	for _, a := range alerts(t) {
		require.Contains(t, text, "\n### "+a.pack+"\n", "a heading for each pack")
	}
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }

// TestTraitsCanCompare takes each expression apart as enrich does: there are
// members to compare, and what compares shares of requests is read as such.
func TestTraitsCanCompare(t *testing.T) {
	for _, a := range alerts(t) {
		e, err := expr.Parse(a.Expr)
		require.NoError(t, err, a.Alert)
		require.NotEmpty(t, e.Ask(expr.Population{}).Member, a.Alert)
		if symptom := a.Labels["symptom"]; strings.HasSuffix(symptom, "-errors") || symptom == "http-slow" {
			require.Contains(t, []expr.Shape{expr.Ratio, expr.Histogram}, e.Shape, a.Alert)
		}
	}
}

// TestLabels looks that an alert is in one pack, and that what inhibits it can
// know what it is about.
func TestLabels(t *testing.T) {
	seen := map[string]string{}
	for _, a := range alerts(t) {
		require.Empty(t, seen[a.Alert], "%s is in two packs", a.Alert)
		seen[a.Alert] = a.pack
		if _, ok := a.Labels["pace"]; ok {
			require.NotEmpty(t, a.Labels["symptom"], a.Alert)
		}
		require.Contains(t, []string{"critical", "page", "warning", "info"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
	}
	require.Contains(t, slices.Collect(maps.Keys(seen)), "HTTPErrorsFast")
}
