package enrichtest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// Limits with which the suite wants its sources: a source of Run stops at so
// many series and bytes of one answer, and waits so long for it.
const (
	MaxSeries = 500
	MaxBytes  = 256 << 10
	Timeout   = 20 * time.Second
)

// Run holds a source over PromQL to what every such source promises. newSource
// opens a source named "main" with the limits above, partial responses taken,
// the replica label "replica" and the denied label "noise", at f.URL or f.GRPC.
func Run(t *testing.T, newSource func(t *testing.T, f *Fake) enrich.Source) {
	t.Run("ratio", func(t *testing.T) { ratio(t, newSource) })
	t.Run("histogram", func(t *testing.T) { slowEvents(t, newSource) })
	t.Run("state", func(t *testing.T) { state(t, newSource) })
	t.Run("parts of a sum", func(t *testing.T) { parts(t, newSource) })
	t.Run("not a number", func(t *testing.T) { notNumbers(t, newSource) })
	t.Run("metrics with different labels", func(t *testing.T) { apart(t, newSource) })
	t.Run("label that narrows too much", func(t *testing.T) { narrowedTooMuch(t, newSource) })
	t.Run("hostile labels", func(t *testing.T) { hostile(t, newSource) })
	t.Run("trouble", func(t *testing.T) { trouble(t, newSource) })
	t.Run("limits", func(t *testing.T) { limits(t, newSource) })
	t.Run("deadline", func(t *testing.T) { deadline(t, newSource) })
	t.Run("ranges", func(t *testing.T) { ranges(t, newSource) })
	t.Run("asks little", func(t *testing.T) { asksLittle(t, newSource) })
}

// epoch is the time of the suite's questions.
func epoch() time.Time { return time.Unix(1_700_000_000, 0) }

// Counter makes a series that grows by perSecond for the five minutes before at.
func Counter(at time.Time, perSecond float64, ls ...string) Series {
	s := Series{Labels: labels.FromStrings(ls...)}
	for i := range 61 {
		s.Samples = append(s.Samples, Sample{At: at.Add(time.Duration(i-60) * Scrape), Value: perSecond * Scrape.Seconds() * float64(i)})
	}
	return s
}

// Gauge makes a series with one value in the minute before at.
func Gauge(at time.Time, value float64, ls ...string) Series {
	s := Series{Labels: labels.FromStrings(ls...)}
	for i := range 12 {
		s.Samples = append(s.Samples, Sample{At: at.Add(time.Duration(i-11) * Scrape), Value: value})
	}
	return s
}

func question(text string, ls page.Labels) enrich.Question {
	return enrich.Question{Alert: "A", Expr: text, Labels: ls, At: epoch()}
}

// row finds the one row with these labels.
func row(t *testing.T, table *enrich.Table, pairs ...string) int {
	t.Helper()
	found := -1
	for i := range table.Rows() {
		if matches(table, i, pairs) {
			require.Equal(t, -1, found, "two rows with %v", pairs)
			found = i
		}
	}
	require.NotEqual(t, -1, found, "no row with %v", pairs)
	return found
}

func matches(table *enrich.Table, i int, pairs []string) bool {
	for p := 0; p+1 < len(pairs); p += 2 {
		ok := slices.ContainsFunc(table.Cols, func(c enrich.Column) bool {
			return c.Name == pairs[p] && c.Dict[c.Codes[i]] == pairs[p+1]
		})
		if !ok {
			return false
		}
	}
	return true
}

func columns(table *enrich.Table) []string {
	var out []string
	for _, c := range table.Cols {
		out = append(out, c.Name)
	}
	return out
}

func requests(service, host, code string, perSecond float64, more ...string) Series {
	return Counter(epoch(), perSecond, append([]string{
		"__name__", "req_total", "service", service, "host", host, "code", code, "job", "api",
	}, more...)...)
}

const errorRatio = `sum by (service) (rate(req_total{code=~"5.."}[1m])) / sum by (service) (rate(req_total[1m])) > 0.05`

func ratio(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t,
		requests("shop", "a", "200", 10), requests("shop", "a", "500", 10, "noise", "1"), requests("shop", "a", "503", 20, "noise", "2"),
		requests("shop", "b", "200", 10),
		requests("other", "c", "500", 10),
	)
	table, err := newSource(t, f).Table(t.Context(), question(errorRatio, page.Labels{"service": "shop", "alertname": "A"}))
	require.NoError(t, err)
	require.Equal(t, enrich.Ratio, table.Model)
	require.InDelta(t, .05, table.Share, 1e-9)
	require.Equal(t, 2, table.Rows(), "members of another service are not asked for")
	require.Equal(t, []string{"host", "job", "service"}, columns(table), "what tells bad from good, and what is denied, is no label of a member")
	a, b := row(t, table, "host", "a"), row(t, table, "host", "b")
	require.InDelta(t, 1800, table.Failing[a], 1)
	require.InDelta(t, 2400, table.Weight[a], 1)
	require.InDelta(t, .75, table.Value[a], 1e-6)
	require.True(t, table.Bad[a])
	require.Zero(t, table.Failing[b], "a member without errors has no series of errors")
	require.InDelta(t, 600, table.Weight[b], 1)
	require.False(t, table.Bad[b])
	require.Equal(t, "main", table.Source)
	require.Equal(t, "A", table.Alert)
	require.Len(t, table.Queries, 2)
	for _, q := range table.Queries {
		require.Equal(t, "main", q.Source)
		require.Positive(t, q.Series)
		require.Positive(t, q.Bytes)
		require.True(t, q.At.Equal(epoch()), "one time for both")
		require.Empty(t, q.Error)
	}
	shown, err := parser.NewParser(parser.Options{}).ParseExpr(table.Query(page.Labels{"host": "a"}))
	require.NoError(t, err)
	require.Contains(t, shown.String(), `host="a"`)
}

func slowEvents(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	bucket := func(host, le string, perSecond float64) Series {
		return Counter(epoch(), perSecond, "__name__", "lat_bucket", "host", host, "le", le)
	}
	f := New(t,
		bucket("a", "0.1", 1), bucket("a", "0.5", 2), bucket("a", "+Inf", 10),
		bucket("b", "0.1", 9), bucket("b", "0.5", 10), bucket("b", "+Inf", 10),
	)
	s := newSource(t, f)
	for _, c := range []struct {
		threshold string
		a, b      float64
	}{
		{"0.5", 8, 0},                             // at an edge
		{"0.2", 8.75, .75}, {"0.45", 8.125, .125}, // between two: as histogram_quantile, by straight lines
		{"0.05", 9.5, 5.5}, {"0.9", 8, 0}, // before the first, and behind the last
	} {
		table, err := s.Table(t.Context(), question(`histogram_quantile(0.9, sum by (le) (rate(lat_bucket[1m]))) > `+c.threshold, nil))
		require.NoError(t, err)
		require.Equal(t, enrich.Ratio, table.Model)
		require.InDelta(t, .1, table.Share, 1e-9)
		require.Equal(t, 2, table.Rows())
		require.Equal(t, []string{"host"}, columns(table))
		a, b := row(t, table, "host", "a"), row(t, table, "host", "b")
		require.InDelta(t, 60*c.a, table.Failing[a], 1, c.threshold)
		require.InDelta(t, 600, table.Weight[a], 1)
		require.InDelta(t, 60*c.b, table.Failing[b], 1, c.threshold)
	}
}

func state(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	up := func(host string, v float64, more ...string) Series {
		return Gauge(epoch(), v, append([]string{"__name__", "up", "job", "api", "host", host}, more...)...)
	}
	f := New(t, up("a", 0), up("b", 1, "replica", "1"), up("b", 1, "replica", "2"), up("c", 1))
	table, err := newSource(t, f).Table(t.Context(), question(`up{job="api"} == 0`, page.Labels{"job": "api", "host": "a", "alertname": "Down"}))
	require.NoError(t, err)
	require.Equal(t, enrich.State, table.Model)
	require.Equal(t, 3, table.Rows(), "the healthy are there too, each once")
	a := row(t, table, "host", "a")
	require.True(t, table.Bad[a])
	require.InDelta(t, 1, table.Failing[a], 0)
	require.False(t, table.Bad[row(t, table, "host", "b")])
	require.NotContains(t, columns(table), "replica")
	require.NotContains(t, columns(table), "__name__")
	for _, w := range table.Weight {
		require.InDelta(t, 1, w, 0)
	}
}

func parts(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	user := func(name string, perSecond float64) Series {
		return Counter(epoch(), perSecond, "__name__", "req_total", "user", name)
	}
	f := New(t, user("a", 3), user("b", 4), user("c", 90), user("d", 5))
	s := newSource(t, f)
	table, err := s.Table(t.Context(), question(`sum(rate(req_total[1m])) > 50`, nil))
	require.NoError(t, err)
	require.Equal(t, enrich.Value, table.Model)
	require.True(t, table.Bad[row(t, table, "user", "c")], "without it the rule would be content")
	require.False(t, table.Bad[row(t, table, "user", "d")])
	f.Set(user("a", 23), user("b", 24), user("c", 22), user("d", 25))
	table, err = s.Table(t.Context(), question(`sum(rate(req_total[1m])) > 90`, nil))
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, true, true}, table.Bad, "nobody stands out: it is everybody's")
	table, err = s.Table(t.Context(), question(`sum(rate(req_total[1m])) > 99`, nil))
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, false, false}, table.Bad, "the rule is content")
}

func notNumbers(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	g := func(host string, v float64) Series { return Gauge(epoch(), v, "__name__", "load", "host", host) }
	f := New(t, g("nan", math.NaN()), g("inf", math.Inf(1)), g("minus", math.Inf(-1)), g("some", 3))
	table, err := newSource(t, f).Table(t.Context(), question(`load > 5`, nil))
	require.NoError(t, err)
	require.True(t, table.Bad[row(t, table, "host", "inf")])
	require.False(t, table.Bad[row(t, table, "host", "minus")])
	require.False(t, table.Bad[row(t, table, "host", "some")])
	nan := row(t, table, "host", "nan")
	require.False(t, table.Bad[nan])
	require.Zero(t, table.Weight[nan], "nothing is known about it")
	require.True(t, math.IsNaN(table.Value[nan]))
}

func apart(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t,
		Counter(epoch(), 5, "__name__", "err_total", "host", "a", "reason", "timeout"),
		Counter(epoch(), 1, "__name__", "err_total", "host", "a", "reason", "refused"),
		Counter(epoch(), 6, "__name__", "req_total", "host", "a", "path", "/x"),
		Counter(epoch(), 6, "__name__", "req_total", "host", "a", "path", "/y"),
		Counter(epoch(), 9, "__name__", "req_total", "host", "b", "path", "/x"),
	)
	table, err := newSource(t, f).Table(t.Context(), question(`sum(rate(err_total[1m])) / sum(rate(req_total[1m])) > 0.05`, nil))
	require.NoError(t, err)
	require.Equal(t, []string{"host"}, columns(table))
	require.Equal(t, 2, table.Rows())
	a := row(t, table, "host", "a")
	require.InDelta(t, 360, table.Failing[a], 1)
	require.InDelta(t, 720, table.Weight[a], 1)
	require.Zero(t, table.Failing[row(t, table, "host", "b")])
}

// The rule's own label team=core is not the members' team=shop.
func narrowedTooMuch(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t, requests("shop", "a", "500", 10, "team", "shop"), requests("shop", "b", "200", 10, "team", "shop"))
	table, err := newSource(t, f).Table(t.Context(), question(errorRatio, page.Labels{"service": "shop", "team": "core"}))
	require.NoError(t, err)
	require.Equal(t, 2, table.Rows())
}

func hostile(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	s := newSource(t, New(t))
	for _, v := range []string{`"} or vector(1) or up{a="`, "a\nb\x00c", "\u202egnp.exe", "\xff\xfe", "\\", "`", ".*", strings.Repeat("x", 4000)} {
		f := New(t, Counter(epoch(), 10, "__name__", "req_total", "service", "other", "host", "x", "code", "500"))
		s = newSource(t, f)
		q := question(errorRatio, page.Labels{"service": v, "cluster": v, `we"ird }`: v, "__name__": v, "": v})
		q.Group = page.Labels{"cluster": v, "dc": v}
		table, err := s.Table(t.Context(), q)
		require.NoError(t, err, "%q", v)
		require.Zero(t, table.Rows(), "%q matches nobody", v)
		for _, text := range append(f.Asked(), table.Query(page.Labels{"host": v, "user": v})) {
			e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
			require.NoError(t, err, "%q", text)
			parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
				if sel, ok := n.(*parser.VectorSelector); ok {
					require.Equal(t, "req_total", sel.Name)
				}
				if call, ok := n.(*parser.Call); ok {
					require.Equal(t, "rate", call.Func.Name)
				}
				return nil
			})
		}
	}
	_, err := s.Table(t.Context(), question(`vector(1)`, nil))
	require.ErrorIs(t, err, expr.ErrNoPopulation)
}

func trouble(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t, requests("shop", "a", "500", 10), requests("shop", "b", "200", 10))
	s := newSource(t, f)
	q := question(errorRatio, page.Labels{"service": "shop"})

	f.Misbehave(Trouble{Status: 500})
	table, err := s.Table(t.Context(), q)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "u7", "an error quotes no label value")
	require.NotContains(t, err.Error(), "req_total", "nor the query")
	require.NotNil(t, table, "what was asked is told")
	require.Len(t, table.Queries, 2)
	require.NotEmpty(t, table.Queries[0].Error)

	f.Misbehave(Trouble{Warning: "store 10.0.0.7:10901 is down"})
	table, err = s.Table(t.Context(), q)
	require.NoError(t, err)
	require.True(t, table.Partial)
	require.True(t, table.Queries[0].Partial)
	require.Equal(t, 2, table.Rows(), "what is there is used")

	f.Misbehave(Trouble{Warning: `PromQL info: metric might not be a counter, name does not end in _total`})
	table, err = s.Table(t.Context(), q)
	require.NoError(t, err)
	require.False(t, table.Partial, "advice about the expression is no missing data")

	f.Misbehave(Trouble{})
	_, err = s.Table(t.Context(), question(`sum(rate(a[1m])) > `, nil))
	require.ErrorContains(t, err, "parse expression")
}

func limits(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t)
	f.Misbehave(Trouble{Endless: true})
	table, err := newSource(t, f).Table(t.Context(), question(`up == 0`, nil))
	require.NoError(t, err)
	require.True(t, table.Cut)
	require.LessOrEqual(t, table.Rows(), MaxSeries)
	require.LessOrEqual(t, table.Queries[0].Bytes, int64(2*MaxBytes))
}

func deadline(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t)
	f.Misbehave(Trouble{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := newSource(t, f).Table(ctx, question(`up == 0`, nil))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = newSource(t, f).Table(ctx, question(`up == 0`, nil))
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
}

func asksLittle(t *testing.T, newSource func(*testing.T, *Fake) enrich.Source) {
	f := New(t, requests("shop", "a", "500", 10))
	q := question(errorRatio, page.Labels{"service": "shop"})
	q.Group = page.Labels{"service": "shop"}
	source := newSource(t, f)
	table, err := source.Table(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, table.Queries, 2)
	members := func() int { // beside them it is asked how many there are, once
		return len(slices.DeleteFunc(f.Asked(), func(q string) bool { return strings.HasPrefix(q, "count(") }))
	}
	require.Equal(t, 2, members())
	_, err = source.Table(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, 4, members())
	require.LessOrEqual(t, len(f.Asked()), 5)
	for _, p := range f.Params() {
		require.Equal(t, []string{"true"}, p["dedup"])
		require.Equal(t, []string{"true"}, p["partial_response"])
		require.Equal(t, []string{"replica"}, p["replicaLabels[]"])
	}
}
