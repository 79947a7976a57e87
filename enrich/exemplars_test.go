package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

func traces() enrich.Traces {
	t := enrich.DefaultTraces()
	t.Links = []enrich.TraceLink{{Name: "Jaeger", URL: "https://jaeger.example.org/trace/{{trace_id}}"}}
	return t
}

// late is the context of a page that has left: all there is to know.
func late(t *testing.T, e *enrich.Enricher, p page.Problem) page.Context {
	t.Helper()
	p.Context = page.Context{Pending: true}
	return e.Context(t.Context(), p)
}

// A user that no series names is found by what the slow events carry.
func TestExemplarsNameARole(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	both := func(ls labels.Labels) bool { return ls.Get("deploy") == "v42" && ls.Get("user") == "u5" }
	for _, c := range []struct {
		name  string
		slow  func(labels.Labels) bool
		trait page.Labels
		user  bool
	}{
		{"user", has("user", "u5"), nil, true},
		{"user of a deploy", both, page.Labels{"deploy": "v42"}, true},
		{"host", has("host", "h3"), page.Labels{"host": "h3"}, false},
		{"everything", any, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := enrichtest.New(t, enrichtest.Fleet{
				Now: now, Since: 55 * time.Second, Seed: 3, Fault: enrichtest.Fault{Slow: c.slow}, Traced: true,
			}.Series()...)
			e := enrich.New(enrich.Options{
				Sources:   []enrich.Named{{Name: "main", Source: open(t, func(o *thanos.Config) { o.HTTP, o.Baselines = fake.URL, nil })}},
				Explainer: traits.New(roles()), Roles: roles(), Traces: traces(), Now: func() time.Time { return now },
			})
			text := strings.Replace(slowTail, "0.95", "0.99", 1)
			p := problem(alert("Slow", "critical", text, "service", "checkout"))
			got := late(t, e, p)
			if c.trait == nil {
				require.True(t, got.None, "%v %v", got.Traits, got.Notes)
			} else {
				require.Equal(t, c.trait, got.Traits[0].Labels)
			}
			require.NotNil(t, got.Exemplars)
			asked := slices.DeleteFunc(slices.Clone(got.Queries), func(q page.Query) bool { return !strings.HasPrefix(q.Text, "http_request_duration") })
			require.Len(t, asked, map[bool]int{true: 1, false: 2}[c.trait == nil], "one question is enough where both are of all members")
			require.Len(t, got.Exemplars.Traces, 3)
			for _, tr := range got.Exemplars.Traces {
				require.Greater(t, tr.Value, .5, "of those that are slow")
				require.Equal(t, "https://jaeger.example.org/trace/"+tr.ID, tr.Links[0].URL)
			}
			p.Context = got
			v := p.View()
			require.Equal(t, got.Exemplars, v.Exemplars)
			n := 0
			for _, l := range v.Links {
				if strings.HasPrefix(l.Text, "Jaeger ") {
					n++
				}
			}
			require.Equal(t, 3, n)
			if !c.user {
				require.Empty(t, got.Exemplars.Words())
				return
			}
			require.Len(t, got.Exemplars.Carried, 1)
			carried := got.Exemplars.Carried[0]
			require.Equal(t, page.Label{Name: "user", Value: "u5"}, carried.Label)
			require.Equal(t, "user", carried.Role)
			require.Greater(t, carried.Failing.Share(), .9)
			require.Less(t, carried.Healthy.Share(), .25)
			require.Regexp(t, `^exemplars: \d+ of \d+ failing carry user=u5 \(\d+ of \d+ healthy\)$`, got.Exemplars.Words())

			e.Redact = []string{"user"}
			hidden := late(t, enrich.New(e.Options), p)
			require.NotContains(t, fmt.Sprintf("%+v", hidden), "u5")
			require.Contains(t, hidden.Exemplars.Words(), "user=<redacted 1> (")
			require.NotContains(t, v.Redact("user").Exemplars.Words(), "u5")
		})
	}
}

// sampled is a source whose table has these events.
func sampled(x enrich.Exemplars, err error) *source {
	return &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
		t := at(q)
		t.Exemplars = func(context.Context, page.Labels) (enrich.Exemplars, error) { return x, err }
		return t, nil
	}}
}

func events(n int, ls ...string) []enrich.Exemplar {
	var out []enrich.Exemplar
	for i := range n {
		v := enrich.Exemplar{At: time.Unix(int64(1000+i), 0), Labels: []page.Label{{Name: "trace_id", Value: fmt.Sprintf("%v-%d", ls, i)}}}
		v.Labels[0].Value = strings.NewReplacer("[", "", "]", "", " ", "-").Replace(v.Labels[0].Value)
		for j := 0; j+1 < len(ls); j += 2 {
			v.Labels = append(v.Labels, page.Label{Name: ls[j], Value: ls[j+1]})
		}
		out = append(out, v)
	}
	return out
}

func told(t *testing.T, x enrich.Exemplars, err error) *page.Exemplars {
	t.Helper()
	e := enrich.New(enrich.Options{
		Sources:   []enrich.Named{{Name: "main", Source: sampled(x, err)}},
		Explainer: explainer{"A": {Traits: []page.Trait{trait(9, "dc", "dc1")}}}, Roles: roles(), Traces: traces(),
	})
	return late(t, e, problem(alert("A", "critical", "a > 5"))).Exemplars
}

func TestExemplarsAreGuarded(t *testing.T) {
	both := func(a, b []enrich.Exemplar) []enrich.Exemplar { return slices.Concat(a, b) }
	u5, other, third := events(9, "user", "u5"), events(11, "user", "u1"), events(1, "user", "u7")
	for _, c := range []struct {
		name string
		x    enrich.Exemplars
		want string
	}{
		{"clear", enrich.Exemplars{Failing: both(u5, third), Healthy: both(other, events(1, "user", "u5", "x", "y"))}, "exemplars: 9 of 10 failing carry user=u5 (1 of 12 healthy)"},
		{"few failing", enrich.Exemplars{Failing: u5[:4], Healthy: other}, ""},
		{"few healthy", enrich.Exemplars{Failing: u5, Healthy: other[:4]}, ""},
		{"the healthy do too", enrich.Exemplars{Failing: u5, Healthy: both(events(6, "user", "u5", "x", "y"), other[:3])}, ""},
		{"less than half", enrich.Exemplars{Failing: both(u5[:4], events(6)), Healthy: other}, ""},
		{"no role", enrich.Exemplars{Failing: events(9, "shard", "s5"), Healthy: events(9, "shard", "s1")}, ""},
		{"each its own", enrich.Exemplars{Failing: both(both(events(1, "user", "a"), events(1, "user", "b")), events(4, "user", "c")), Healthy: events(6)}, ""},
		{"cut short", enrich.Exemplars{Failing: u5, Healthy: other, Cut: true}, ""},
		{"one trace, many series", enrich.Exemplars{Failing: both(both(u5[:1], u5[:1]), both(u5[:3], u5[:4])), Healthy: other}, ""},
		{"a long value", enrich.Exemplars{Failing: events(9, "user", strings.Repeat("u", 5000)), Healthy: other}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, told(t, c.x, nil).Words()) })
	}
	require.Nil(t, told(t, enrich.Exemplars{Healthy: other}, nil))
	require.Nil(t, told(t, enrich.Exemplars{}, errors.New("down")))
}

func TestTraceLinks(t *testing.T) {
	grafana := `https://grafana.example.org/explore?left=%7B%22datasource%22:%22tempo%22,%22queries%22:%5B%7B%22query%22:%22{{trace_id}}%22%7D%5D%7D`
	links := func(templates []string, ls ...string) []string {
		o := enrich.DefaultTraces()
		for _, u := range templates {
			o.Links = append(o.Links, enrich.TraceLink{Name: "t", URL: u})
		}
		require.NoError(t, o.Validate())
		v := enrich.Exemplar{At: time.UnixMilli(1_700_000_000_123)}
		for i := 0; i+1 < len(ls); i += 2 {
			v.Labels = append(v.Labels, page.Label{Name: ls[i], Value: ls[i+1]})
		}
		e := enrich.New(enrich.Options{
			Sources:   []enrich.Named{{Name: "main", Source: sampled(enrich.Exemplars{Failing: []enrich.Exemplar{v}}, nil)}},
			Explainer: explainer{"A": {None: true}}, Roles: roles(), Redact: []string{"user"}, Traces: o,
		})
		var out []string
		for _, tr := range late(t, e, problem(alert("A", "critical", "a > 5"))).Exemplars.Traces {
			for _, l := range tr.Links {
				out = append(out, l.URL)
			}
		}
		return out
	}
	jaeger := "https://jaeger.example.org/trace/{{trace_id}}"
	require.Equal(t, []string{"https://jaeger.example.org/trace/4bf92f"}, links([]string{jaeger}, "traceID", "4bf92f"))
	require.Equal(t, []string{strings.Replace(grafana, "{{trace_id}}", "4bf92f", 1)}, links([]string{grafana}, "trace_id", "4bf92f"))
	require.Equal(t, []string{"https://pinpoint.example.org/transactionDetail/app%5E1700%5E3/1700000000123/s%2F1"},
		links([]string{"https://pinpoint.example.org/transactionDetail/{{trace_id}}/{{time_ms}}/{{ span_id }}"}, "trace_id", "app^1700^3", "span_id", "s/1"))
	require.Len(t, links([]string{jaeger, jaeger + "?a", jaeger + "?b", jaeger + "?c"}, "trace_id", "x"), 3, "no more than three on a page")
	require.Empty(t, links([]string{jaeger + "?u={{user}}"}, "trace_id", "x", "user", "u5"), "a link tells no hidden value")
	require.Empty(t, links([]string{jaeger + "?u={{nobody}}"}, "trace_id", "x"))
	for _, hostile := range []string{`"><script>`, "a/../../admin", "a b", "x?y=z", "x#y", "\u202ex", strings.Repeat("a", 129), "javascript", ""} {
		for _, u := range links([]string{jaeger}, "trace_id", hostile) {
			require.Equal(t, "https://jaeger.example.org/trace/javascript", u, "%q", hostile)
		}
	}
	for _, bad := range []string{
		"", "jaeger/{{trace_id}}", "javascript:alert({{trace_id}})", "https://jaeger.example.org/", "https://{{trace_id}}.example.org/",
		"https://jaeger.example.org/{{trace_id}}/{{", "file:///{{trace_id}}", "https://a:b@c.example/{{trace_id}}", "{{trace_id}}://x/{{trace_id}}",
	} {
		require.Error(t, enrich.Traces{Links: []enrich.TraceLink{{Name: "t", URL: bad}}}.Validate(), bad)
	}
	require.Error(t, enrich.Traces{Links: []enrich.TraceLink{{URL: jaeger}}}.Validate(), "without a name")
}

func FuzzTraceLink(f *testing.F) {
	f.Add("https://jaeger.example.org/trace/{{trace_id}}", "4bf92f", "u5")
	f.Add("https://g/?left={\"q\":\"{{trace_id}}\"}&u={{user_agent}}", "a^1^2", "\u202e\"><")
	f.Fuzz(func(t *testing.T, template, id, other string) {
		o := enrich.DefaultTraces()
		o.Links = []enrich.TraceLink{{Name: "t", URL: template}}
		if o.Validate() != nil {
			return
		}
		want, err := url.Parse(strings.ReplaceAll(template, "{{trace_id}}", "a"))
		e := enrich.New(enrich.Options{
			Sources: []enrich.Named{{Name: "main", Source: sampled(enrich.Exemplars{Failing: []enrich.Exemplar{{Labels: []page.Label{
				{Name: "trace_id", Value: id}, {Name: "user_agent", Value: other},
			}}}}, nil)}},
			Explainer: explainer{"A": {None: true}}, Traces: o,
		})
		for _, tr := range late(t, e, problem(alert("A", "critical", "a > 5"))).Exemplars.Traces {
			for _, l := range tr.Links {
				got, ok := page.WebURL(l.URL)
				require.True(t, ok)
				u, errGot := url.Parse(got)
				require.NoError(t, errGot)
				if err == nil {
					require.Equal(t, strings.TrimSpace(want.Host), u.Host)
				}
			}
		}
	})
}

// The page leaves with its trait whatever the server does about exemplars, and
// a server without them is left alone for a while.
func TestExemplarsDelayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
			t := at(q)
			t.Exemplars = func(ctx context.Context, _ page.Labels) (enrich.Exemplars, error) {
				<-ctx.Done()
				return enrich.Exemplars{Queries: []page.Query{{Text: "x", Error: "timeout"}}}, ctx.Err()
			}
			return t, nil
		}}
		e := enrich.New(enrich.Options{
			Sources:   []enrich.Named{{Name: "main", Source: slow}},
			Explainer: explainer{"A": {Traits: []page.Trait{trait(9, "dc", "dc1")}}}, Roles: roles(),
		})
		p := problem(alert("A", "critical", "a > 5"))
		began := time.Now()
		got := e.Context(t.Context(), p)
		require.Zero(t, time.Since(began))
		require.Len(t, got.Traits, 1)
		require.True(t, got.Pending)
		p.Context = got
		got = e.Context(t.Context(), p)
		require.False(t, got.Pending)
		require.Len(t, got.Traits, 1, "the trait stands without them")
		require.Nil(t, got.Exemplars)
		require.Equal(t, "timeout", got.Queries[1].Error)
	})
}

func TestServerWithoutExemplars(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	fake := enrichtest.New(t, enrichtest.Fleet{Now: now, Since: 50 * time.Second, Seed: 3, Fault: enrichtest.Fault{Slow: has("host", "h3")}}.Series()...)
	source := open(t, func(c *thanos.Config) { c.HTTP, c.Baselines = fake.URL, nil })
	table, err := source.Table(t.Context(), enrich.Question{Alert: "A", Expr: slowTail, Labels: page.Labels{"service": "checkout"}, At: now})
	require.NoError(t, err)
	got, err := table.Exemplars(t.Context(), page.Labels{"host": "h3"})
	require.NoError(t, err)
	require.Empty(t, got.Failing, "it keeps none")
	require.Len(t, got.Queries, 2)
	require.Contains(t, got.Queries[0].Text, `host="h3"`)

	before := len(fake.Asked())
	fake.Misbehave(enrichtest.Trouble{Status: 404})
	_, err = table.Exemplars(t.Context(), page.Labels{"host": "h3"})
	require.Error(t, err)
	require.Len(t, fake.Asked(), before+2)
	got, err = table.Exemplars(t.Context(), page.Labels{"host": "h3"})
	require.NoError(t, err)
	require.Empty(t, got.Queries)
	require.Len(t, fake.Asked(), before+2, "it is left alone")
}
