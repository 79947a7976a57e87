package changes_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/changes"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// dated asks about a fleet whose fault began so long ago, from PromQL to date.
func dated(t *testing.T, expr string, f enrichtest.Fleet) page.Context {
	t.Helper()
	fake := enrichtest.New(t, f.Series()...)
	roles := enrich.Roles{"deploy": {"deploy", "version"}, "host": {"host"}, "datacentre": {"dc"}, "user": {"user"}}
	cfg := thanos.Kind().Config().(*thanos.Config)
	cfg.HTTP = fake.URL
	clock := func() time.Time { return f.Now }
	src, err := thanos.Kind().New(cfg, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Roles: roles, Now: clock})
	require.NoError(t, err)
	e := enrich.New(enrich.Options{
		Sources: []enrich.Named{{Name: "main", Source: src}}, Explainer: traits.New(roles), Dater: changes.New(), Roles: roles, Now: clock,
	})
	a := page.Alert{
		Status: page.Firing, Labels: page.Labels{"alertname": "A", "service": "checkout"},
		GeneratorURL: "http://p/graph?g0.expr=" + escape(expr),
	}
	a.ID = a.Labels.ID()
	p := page.Problem{ID: "p", Members: map[string]page.Member{a.ID: {Alert: a, Open: true}}}
	p.Context = e.Context(t.Context(), p)
	require.True(t, p.Context.Known(), "%+v", p.Context.Notes)
	require.Nil(t, p.Context.Onset)
	c, ok := e.Since(t.Context(), p, nil)
	require.True(t, ok, "no onset: %+v", c.Queries)
	return c
}

// The whole way, with PromQL's own engine: the trait's own query of each shape,
// asked over time, shows when the fault began.
func TestOnsetOfEveryShape(t *testing.T) {
	v42 := func(ls labels.Labels) bool { return ls.Get("deploy") == "v42" }
	for name, tc := range map[string]struct {
		expr  string
		fault enrichtest.Fault
	}{
		"ratio":     {`sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.03`, enrichtest.Fault{Errors: v42}},
		"success":   {`sum by (service) (rate(http_requests_total{code="200"}[1m])) / sum by (service) (rate(http_requests_total[1m])) < 0.97`, enrichtest.Fault{Errors: v42}},
		"histogram": {`histogram_quantile(0.9, sum by (le, service) (rate(http_request_duration_seconds_bucket[1m]))) > 0.25`, enrichtest.Fault{Slow: v42}},
		"state":     {`up == 0`, enrichtest.Fault{Down: v42}},
		"value":     {`sum by (service) (rate(http_requests_total[1m])) > 2000`, enrichtest.Fault{Busy: v42}},
		"everybody": {`sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.03`, enrichtest.Fault{Errors: func(labels.Labels) bool { return true }}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, since := range []time.Duration{45 * time.Second, 78 * time.Second, 2 * time.Minute} {
				f := enrichtest.Fleet{Now: now(), Since: since, Seed: uint64(i), Fault: tc.fault}
				c := dated(t, tc.expr, f)
				truth := f.Now.Add(-since)
				t.Logf("%v: %v off, interval %v; %s", since, c.Onset.At.Sub(truth), c.Onset.To.Sub(c.Onset.From), page.Headline(c))
				require.LessOrEqual(t, c.Onset.At.Sub(truth).Abs(), enrichtest.Scrape+time.Second)
				require.WithinRange(t, truth, c.Onset.From, c.Onset.To)
				require.NotNil(t, c.Impact)
				require.Equal(t, 3, c.Impact.InDC.Total)
				require.Contains(t, page.Headline(c), "began "+c.Onset.At.UTC().Format(time.TimeOnly))
			}
		})
	}
}

func escape(s string) string {
	out := ""
	for _, b := range []byte(s) {
		out += fmt.Sprintf("%%%02x", b)
	}
	return out
}
