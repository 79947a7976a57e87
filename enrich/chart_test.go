package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// queues is one gauge on n hosts over an hour; those that are long became so
// twenty minutes ago.
func queues(now time.Time, n int, long func(i int) bool, more ...string) []enrichtest.Series {
	var out []enrichtest.Series
	for i := range n {
		s := enrichtest.Series{Labels: labels.FromStrings(append([]string{
			"__name__", "queue_bytes", "service", "checkout", "host", fmt.Sprintf("h%d", i), "user", fmt.Sprintf("secret-%d", i),
		}, more...)...)}
		for at := now.Add(-time.Hour); !at.After(now); at = at.Add(time.Minute) {
			v := float64(i % 10)
			if long(i) && at.After(now.Add(-20*time.Minute)) {
				v = 1000 + float64(i)
			}
			s.Samples = append(s.Samples, enrichtest.Sample{At: at, Value: v})
		}
		out = append(out, s)
	}
	return out
}

func drawer(t *testing.T, f *enrichtest.Fake, now time.Time, redact ...string) *enrich.Enricher {
	t.Helper()
	source := open(t, func(c *thanos.Config) { c.HTTP, c.Baselines = f.URL, nil })
	return enrich.New(enrich.Options{
		Sources: []enrich.Named{{Name: "main", Source: source}}, Explainer: traits.New(roles()), Roles: roles(), Redact: redact,
		Now: func() time.Time { return now },
	})
}

func long(now time.Time, hosts ...int) page.Problem {
	var list []page.Alert
	for _, i := range hosts {
		list = append(list, alert("QueueLong", "critical", "queue_bytes > 100", "service", "checkout", "host", fmt.Sprintf("h%d", i), "user", fmt.Sprintf("secret-%d", i)))
	}
	p := problem(list...)
	p.Group.GroupLabels = page.Labels{"alertname": "QueueLong", "service": "checkout"}
	p.Clock.Started = now.Add(-19 * time.Minute)
	p.Context.Onset = &page.Onset{At: now.Add(-20 * time.Minute), After: &page.Change{ID: "1", Kind: "deploy", Title: "v7 of secret-3", At: now.Add(-21 * time.Minute)}}
	p.Context.Changes = []page.Change{*p.Context.Onset.After, {ID: "2", Kind: "config", Title: "dns", At: now.Add(-2 * time.Hour)}}
	return p
}

func TestChart(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, queues(now, 20, func(i int) bool { return i == 3 || i == 4 })...)
	c, ok := drawer(t, f, now).Chart(t.Context(), long(now, 3, 4))
	require.True(t, ok)
	require.Equal(t, "queue_bytes", c.Expr)
	require.Equal(t, "B", c.Unit)
	require.InDelta(t, 100, *c.Threshold, 0)
	require.False(t, c.Below)
	require.Equal(t, now.Add(-239*15*time.Second), c.From)
	require.Equal(t, 15*time.Second, c.Step)
	require.Len(t, c.Failing, 2)
	require.Equal(t, "host=h4", c.Failing[0].Name, "the worst first, by what tells it apart")
	require.InDelta(t, 4, float64(c.Failing[0].Values[0]), 0)
	require.InDelta(t, 1004, float64(c.Failing[0].Values[239]), 0)
	require.Equal(t, 18, c.Healthy.Members)
	require.InDelta(t, 4.5, float64(c.Healthy.Middle[239]), 1)
	require.Equal(t, []page.Mark{
		{At: now.Add(-21 * time.Minute), Text: "deploy v7 of secret-3", Kind: "change"},
		{At: now.Add(-20 * time.Minute), Text: "began 21:53", Kind: "onset"},
		{At: now.Add(-19 * time.Minute), Text: "fired 21:54", Kind: "fired"},
	}, c.Marks, "what was before the chart is not on it")
	require.Len(t, f.Asked(), 2)
}

func TestChartOfATrait(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var series []enrichtest.Series
	for i, v := range []string{"v41", "v42", "v42", "v41"} {
		series = append(series, queues(now, 5, func(int) bool { return v == "v42" }, "deploy", v, "pod", fmt.Sprint(i))...)
	}
	f := enrichtest.New(t, series...)
	p := long(now, 1, 2)
	tr := trait(9, "deploy", "v42")
	tr.Source, tr.Alert, tr.Query = "main", "QueueLong", `queue_bytes{deploy="v42"}`
	p.Context.Traits = []page.Trait{tr}
	c, ok := drawer(t, f, now).Chart(t.Context(), p)
	require.True(t, ok)
	require.Len(t, c.Failing, 1)
	require.Equal(t, "deploy=v42", c.Failing[0].Name)
	require.InDelta(t, 1004, float64(c.Failing[0].Values[239]), 0, "the worst of them speaks")
	require.Equal(t, 1, c.Healthy.Members)
}

// The threshold of a sum bounds no part of it, unless one part alone passes it.
func TestChartOfASum(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, queues(now, 10, func(i int) bool { return i == 3 })...)
	for text, want := range map[string]struct {
		threshold bool
		lines     string
	}{
		"sum by (service) (queue_bytes) > 500":  {true, "host=h3"},
		"sum by (service) (queue_bytes) > 1010": {true, "service=checkout"},
		"sum by (service) (queue_bytes) < 5000": {false, "host=h3"},
	} {
		p := problem(alert("Sum", "critical", text, "service", "checkout"))
		tr := trait(9, "host", "h3")
		tr.Source, tr.Alert, tr.Query = "main", "Sum", `queue_bytes{host="h3"}`
		p.Context.Traits = []page.Trait{tr}
		c, ok := drawer(t, f, now).Chart(t.Context(), p)
		require.True(t, ok, text)
		require.Equal(t, want.threshold, c.Threshold != nil, text)
		require.Contains(t, want.lines+"Sum", c.Failing[0].Name, text)
		if strings.HasPrefix(want.lines, "host") {
			require.Equal(t, "host=h3", c.Failing[0].Name, text)
			require.Equal(t, 9, c.Healthy.Members, text)
		}
	}
}

// A label that only an info metric has is joined.
func TestChartOfAJoinedTrait(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	fleet := enrichtest.Fleet{
		Now: now, Since: 2 * time.Minute, Seed: 1,
		Rollout: &enrichtest.Rollout{Ago: 3 * time.Minute, To: func(ls labels.Labels) bool { return ls.Get("host") < "h3" }},
		Fault:   enrichtest.Fault{Errors: func(ls labels.Labels) bool { return ls.Get("host") < "h3" }},
	}
	f := enrichtest.New(t, fleet.Series()...)
	known := enrich.Roles{"deploy": {"version"}, "host": {"host"}}
	kind := thanos.Kind()
	cfg := kind.Config().(*thanos.Config)
	cfg.HTTP, cfg.Baselines = f.URL, nil
	source, err := kind.New(cfg, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Now: func() time.Time { return now }, Roles: known})
	require.NoError(t, err)
	e := enrich.New(enrich.Options{Sources: []enrich.Named{{Name: "main", Source: source}}, Explainer: traits.New(known), Roles: known, Now: func() time.Time { return now }})
	p := problem(alert("Errors", "critical", `sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.02`, "service", "checkout"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // info metrics are only asked while there is time
	defer cancel()
	p.Context = e.Context(ctx, p)
	require.NotEmpty(t, p.Context.Traits, "%+v", p.Context)
	require.Equal(t, page.Labels{"version": "v42"}, p.Context.Traits[0].Labels)
	c, ok := e.Chart(t.Context(), p)
	require.True(t, ok)
	require.Equal(t, "version=v42", c.Failing[0].Name)
	failing, healthy := ends(c)
	require.Greater(t, failing[0], 20.0)
	require.Less(t, healthy, 2.0)
	require.Equal(t, "%", c.Unit)
	require.InDelta(t, 2, *c.Threshold, 1e-9)
}

func TestChartOfACrowd(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, queues(now, 700, func(i int) bool { return i < 8 })...)
	c, ok := drawer(t, f, now).Chart(t.Context(), long(now, 0, 1, 2, 3, 4, 5, 6, 7))
	require.True(t, ok)
	require.Len(t, c.Failing, 5)
	require.Equal(t, "host=h7", c.Failing[0].Name)
	require.Equal(t, 692, c.Healthy.Members)
	require.Equal(t, 3, c.Others)
	require.InDelta(t, 8, float64(c.Healthy.High[239]), 1.1)
	require.Len(t, f.Asked(), 6)
}

func TestChartHidesWhatIsRedacted(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, queues(now, 4, func(i int) bool { return i == 3 })...)
	p := long(now, 3)
	p.Group.GroupLabels = page.Labels{"user": "secret-3"}
	p.Context.Traits = []page.Trait{{Labels: page.Labels{"user": "<redacted 1>"}, Source: "main", Alert: "QueueLong", Query: `queue_bytes{user="<redacted>"}`}}
	a := p.Firing()[0]
	a.GeneratorURL = alert("QueueLong", "critical", `queue_bytes{user=~"secret-.*"} > 100`).GeneratorURL
	p.Members[a.ID] = page.Member{Alert: a, Open: true}
	c, ok := drawer(t, f, now, "user", "host").Chart(t.Context(), p)
	require.True(t, ok)
	require.NotContains(t, fmt.Sprintf("%+v", c), "secret-")
	require.NotContains(t, c.Failing[0].Name, "h3")
}

func TestChartThatCannotBe(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, queues(now, 4, func(i int) bool { return i == 3 })...)
	e := drawer(t, f, now)
	for name, text := range map[string]string{"no expression": "", "nonsense": "queue_bytes{", "nothing compared": "vector(1)", "no such series": "nothing > 1"} {
		_, ok := e.Chart(t.Context(), problem(alert("A", "critical", text)))
		require.False(t, ok, name)
	}
	_, ok := e.Chart(t.Context(), page.Problem{})
	require.False(t, ok, "nothing fires")

	f.Misbehave(enrichtest.Trouble{Warning: "store 10.0.0.7:10901 is down"})
	c, ok := e.Chart(t.Context(), long(now, 3))
	require.True(t, ok)
	require.Contains(t, c.Title, "part of the data is missing")
	f.Misbehave(enrichtest.Trouble{Status: 500})
	_, ok = e.Chart(t.Context(), long(now, 3))
	require.False(t, ok)
	f.Misbehave(enrichtest.Trouble{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, ok = e.Chart(ctx, long(now, 3))
	require.False(t, ok)
}

// Whatever a source sends, a chart's values are finite or NaN and its lines as long as each other.
func TestChartOfAnOddSource(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	n := 0
	r := &ranger{answer: func(string) ([]enrich.Series, error) {
		n++
		if n == 1 {
			return []enrich.Series{{Points: []enrich.Point{{At: now, Value: 2}}}}, nil
		}
		return []enrich.Series{
			{Labels: []page.Label{{Name: "host", Value: "a"}}, Points: []enrich.Point{{At: now, Value: math.Inf(1)}, {At: now.Add(time.Hour), Value: 1}, {At: now.Add(-100 * time.Hour), Value: 1}}},
			{Labels: []page.Label{{Name: "host", Value: "b"}}},
		}, nil
	}}
	e := enrich.New(enrich.Options{Sources: []enrich.Named{{Name: "main", Source: anySpan{r}}}, Now: func() time.Time { return now }})
	c, ok := e.Chart(t.Context(), problem(alert("A", "critical", "queue > 1", "host", "a")))
	require.True(t, ok)
	require.Len(t, c.Failing[0].Values, 20)
	for _, v := range c.Failing[0].Values {
		require.True(t, math.IsNaN(float64(v)))
	}
	r.answer = func(string) ([]enrich.Series, error) { return nil, errors.New("down") }
	_, ok = e.Chart(t.Context(), problem(alert("A", "critical", "queue > 1", "host", "a")))
	require.False(t, ok)
}

// A server that is younger than an hour has a chart of what it knows.
func TestChartOfAYoungServer(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for age, want := range map[time.Duration]int{2 * time.Hour: 240, 30 * time.Minute: 121, time.Minute: 20} {
		var points []enrich.Point
		for at := now.Add(-age); !at.After(now); at = at.Add(15 * time.Second) {
			points = append(points, enrich.Point{At: at, Value: 3})
		}
		r := &ranger{answer: func(string) ([]enrich.Series, error) {
			return []enrich.Series{{Labels: []page.Label{{Name: "host", Value: "a"}}, Points: points}}, nil
		}}
		e := enrich.New(enrich.Options{Sources: []enrich.Named{{Name: "main", Source: anySpan{r}}}, Now: func() time.Time { return now }})
		p := problem(alert("A", "critical", "queue > 1", "host", "a"))
		p.Context.Changes = []page.Change{{ID: "old", Kind: "deploy", Title: "v1", At: now.Add(-50 * time.Minute)}, {ID: "new", Kind: "deploy", Title: "v2", At: now.Add(-time.Minute)}}
		c, ok := e.Chart(t.Context(), p)
		require.True(t, ok)
		require.Len(t, c.Failing[0].Values, want, age)
		require.InDelta(t, 3, float64(c.Failing[0].Values[want-1]), 0)
		require.Equal(t, now.Add(-time.Duration(want-1)*15*time.Second).Unix(), c.From.Unix(), age)
		for _, m := range c.Marks {
			require.False(t, m.At.Before(c.From), "a mark beside the chart")
		}
		require.NotEmpty(t, c.Marks)
	}
}

// anySpan lets a ranger be asked about any span.
type anySpan struct{ *ranger }

func (a anySpan) Range(_ context.Context, query string, _, _ time.Time, _ time.Duration) ([]enrich.Series, page.Query, error) {
	s, err := a.answer(query)
	return s, page.Query{Text: query}, err
}
