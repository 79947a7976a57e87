package enrich_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

const expressions = "../testdata/expressions"

// expression is an entry of the catalogue; its README says what the keys mean.
type expression struct {
	Name   string            `yaml:"name"`
	Expr   string            `yaml:"expr"`
	Signal string            `yaml:"signal"`
	User   bool              `yaml:"user"`
	Model  enrich.Model      `yaml:"model"`
	Rules  []recording       `yaml:"rules"`
	Blind  map[string]string `yaml:"blind"`
}

type recording struct {
	Record string            `yaml:"record"`
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels"`
}

// catalogue reads every expression.
func catalogue(t testing.TB) []expression {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(expressions, "*.yaml"))
	require.NoError(t, err)
	var out []expression
	seen := map[string]bool{}
	for _, name := range files {
		f, err := os.Open(name)
		require.NoError(t, err)
		d := yaml.NewDecoder(f)
		d.KnownFields(true)
		var list []expression
		require.NoError(t, d.Decode(&list), name)
		require.NoError(t, f.Close())
		for _, e := range list {
			require.False(t, seen[e.Name], "two expressions are named %q", e.Name)
			seen[e.Name] = true
		}
		out = append(out, list...)
	}
	require.GreaterOrEqual(t, len(out), 40)
	return out
}

// place is where a fault strikes; of nil labels is everywhere.
type place struct {
	name string
	at   page.Labels
}

func places() []place {
	return []place{
		{"deploy", page.Labels{"deploy": "v42"}},
		{"host", page.Labels{"host": "h3"}},
		{"user", page.Labels{"user": "u5"}},
		{"dc", page.Labels{"dc": "dc1"}},
		{"instance", page.Labels{"instance": "h3:8080"}},
		{"everything", nil},
	}
}

func strike(signal string, p place) enrichtest.Fault {
	by := any
	for name, v := range p.at {
		by = has(name, v)
	}
	return map[string]enrichtest.Fault{
		"errors": {Errors: by}, "slow": {Slow: by}, "down": {Down: by}, "busy": {Busy: by}, "full": {Full: by}, "gone": {Gone: by},
	}[signal]
}

// world is a fleet with one fault, on a server.
type world struct {
	fake   *enrichtest.Fake
	source enrich.Source
	web    *prometheus.Client
	now    time.Time
	series []enrichtest.Series
}

func newWorld(t *testing.T, signal string, p place, seed uint64) *world {
	t.Helper()
	w := &world{now: time.Unix(1_700_000_000, 0)}
	fleet := enrichtest.Fleet{Now: w.now, Since: time.Duration(50+5*seed) * time.Second, Seed: seed, Fault: strike(signal, p)}
	calm := enrichtest.Fleet{Now: w.now.Add(-time.Hour), Seed: seed} // the same one, an hour before
	w.series = enrichtest.Joined(append(calm.Series(), calm.Signals()...), append(fleet.Series(), fleet.Signals()...))
	w.fake = enrichtest.New(t, w.series...)
	var known []enrichtest.Rule
	for _, e := range catalogue(t) {
		for _, r := range e.Rules {
			known = append(known, enrichtest.Rule{Record: r.Record, Expr: r.Expr, Labels: r.Labels})
		}
	}
	w.fake.Know(known...)
	w.source = open(t, func(c *thanos.Config) {
		c.HTTP, c.Baselines = w.fake.URL, []config.Duration{config.Duration(time.Hour)}
	})
	var err error
	w.web, err = prometheus.New(prometheus.Options{URL: w.fake.URL, Transport: http.DefaultTransport})
	require.NoError(t, err)
	return w
}

// ask evaluates a query and returns the labels of its samples.
func (w *world) ask(ctx context.Context, t *testing.T, text string) (list []page.Labels, values []float64) {
	t.Helper()
	_, err := w.web.Query(ctx, text, w.now, prometheus.Limits{Series: 1e6, Bytes: 1e9}, func(ls []page.Label, v float64) {
		one := page.Labels{}
		for _, l := range ls {
			one[l.Name] = l.Value
		}
		list, values = append(list, one), append(values, v)
	})
	require.NoError(t, err, text)
	return list, values
}

// record does what recording rules do.
func (w *world) record(t *testing.T, e expression) {
	t.Helper()
	w.fake.Set(w.series...)
	all := slices.Clone(w.series)
	for _, r := range e.Rules {
		list, values := w.ask(t.Context(), t, r.Expr)
		for i, ls := range list {
			maps.Copy(ls, r.Labels)
			all = append(all, enrichtest.Recorded(r.Record, w.now, ls, values[i]))
		}
		w.fake.Set(all...)
	}
}

// fires evaluates the rule and returns what its alerts have in common.
func (w *world) fires(t *testing.T, e expression) (enrich.Question, bool) {
	t.Helper()
	alerts, _ := w.ask(t.Context(), t, e.Expr)
	if len(alerts) == 0 {
		return enrich.Question{}, false
	}
	shared := maps.Clone(alerts[0])
	for _, ls := range alerts {
		maps.DeleteFunc(shared, func(name, v string) bool { return ls[name] != v || name == "__name__" })
	}
	return question(e, shared, w.now), true
}

func question(e expression, shared page.Labels, now time.Time) enrich.Question {
	shared["alertname"], shared["severity"] = "A", "critical"
	return enrich.Question{
		Alert: "A", Expr: e.Expr, Labels: shared, At: now,
		Group: page.Labels{"alertname": "A", "cluster": "dc1-prod", "service": "checkout"},
	}
}

// seeds is how many fleets a cell of the matrix has: SEEDS=n, else one, for the
// race detector takes its time.
func seeds(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1)
	if text := os.Getenv("SEEDS"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 16)
		require.NoError(t, err, "SEEDS")
	}
	return n
}

// verdict is one cell of the matrix.
type verdict struct {
	word, why    string
	asked, right bool
	late         bool // right when held against the past
	table        *enrich.Table
	took         time.Duration
}

func (w *world) judge(t *testing.T, e expression, p place) verdict {
	t.Helper()
	w.record(t, e)
	q, fires := w.fires(t, e)
	if _, blind := e.Blind[p.name]; blind || !fires {
		require.Equal(t, blind, !fires && blind, "%s fires though it is said to be blind to %s", e.Name, p.name)
		return verdict{word: "silent"}
	}
	began := time.Now()
	table, err := w.source.Table(t.Context(), q)
	v := verdict{asked: true, table: table, took: time.Since(began)}
	require.NoError(t, err, e.Name)
	got := traits.New(roles()).Explain(table)
	v.right, v.late = p.said(got), true
	if table.Before != nil {
		past := table.Before(t.Context())
		require.Len(t, past.Past, 1, e.Name)
		second := traits.New(roles()).Explain(past)
		if v.late = p.said(second); !v.late {
			t.Logf("%s, %s, against the past: %s", e.Name, p.name, said(second))
		}
	}
	v.word, v.why = "WRONG", fmt.Sprintf("model %s, %d rows, %s", table.Model, table.Rows(), said(got))
	if table.Model != e.Model {
		v.right, v.why = false, fmt.Sprintf("model is %s", table.Model)
	}
	if v.right {
		v.word = "right"
	}
	return v
}

// said reports whether a finding says where the fault is.
func (p place) said(got enrich.Finding) bool {
	if p.at == nil {
		return got.None && len(got.Traits) == 0
	}
	return len(got.Traits) == 1 && names(got.Traits[0], p.at)
}

// names reports whether a trait says that the fault is at ls, be it by another
// name for the same rows.
func names(tr page.Trait, ls page.Labels) bool {
	for name, v := range ls {
		if tr.Labels[name] != v && !slices.Contains(tr.Also, page.Label{Name: name, Value: v}) {
			return false
		}
	}
	return true
}

func read(t *enrich.Table) int {
	n := 0
	for _, q := range t.Queries {
		n += q.Series
	}
	return n
}

// update asks for the catalogue's questions to be written anew.
func update() bool { return os.Getenv("UPDATE") != "" }

// TestMatrixAsks holds the questions that each expression comes down to.
func TestMatrixAsks(t *testing.T) {
	w := newWorld(t, "errors", places()[0], 1)
	var b strings.Builder
	for _, e := range catalogue(t) {
		w.record(t, e)
		before := len(w.fake.Asked())
		shared := page.Labels{"service": "checkout", "cluster": "dc1-prod"}
		_, err := w.source.Table(t.Context(), question(e, shared, w.now))
		require.NoError(t, err, e.Name)
		fmt.Fprintf(&b, "# %s\n", e.Name)
		asked := slices.DeleteFunc(w.fake.Asked()[before:], func(q string) bool { return strings.HasPrefix(q, "count(") || strings.HasPrefix(q, "{") }) // how many there are, and their info metrics
		slices.Sort(asked)
		for _, text := range slices.Compact(asked) {
			fmt.Fprintf(&b, "%s\n", text)
		}
		b.WriteString("\n")
	}
	golden := filepath.Join(expressions, "asked.txt")
	if update() {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}
