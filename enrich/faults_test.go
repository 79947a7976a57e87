package enrich_test

import (
	"encoding/json"
	"fmt"
	"net/http"
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

const (
	errorRatio = `sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.03 and sum by (service) (rate(http_requests_total[1m])) > 1`
	slowTail   = `histogram_quantile(0.95, sum by (le, service) (rate(http_request_duration_seconds_bucket[1m]))) > 0.5`
	down       = `up{job="api"} == 0`
	busy       = `sum by (service) (rate(http_requests_total[1m])) > 1000`
)

func roles() enrich.Roles {
	return enrich.Roles{"host": {"host", "instance"}, "deploy": {"deploy"}, "user": {"user"}, "datacentre": {"dc"}}
}

func has(name, value string) func(labels.Labels) bool {
	return func(ls labels.Labels) bool { return ls.Get(name) == value }
}

func any(labels.Labels) bool { return true }

// TestFaults evaluates real alert expressions over a real fleet's series with
// PromQL's own engine, 20 to 60 seconds into each fault.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, expr string
		fault      enrichtest.Fault
		want       page.Labels // nil: none
	}{
		{"bad deploy", errorRatio, enrichtest.Fault{Errors: has("deploy", "v42")}, page.Labels{"deploy": "v42"}},
		{"bad host", errorRatio, enrichtest.Fault{Errors: has("host", "h3")}, page.Labels{"host": "h3"}},
		{"noisy user fails", errorRatio, enrichtest.Fault{Errors: has("user", "u5")}, page.Labels{"user": "u5"}},
		{"noisy user asks", busy, enrichtest.Fault{Busy: has("user", "u5")}, page.Labels{"user": "u5"}},
		{"slow datacentre", slowTail, enrichtest.Fault{Slow: has("dc", "dc1")}, page.Labels{"dc": "dc1"}},
		{"slow host", slowTail, enrichtest.Fault{Slow: has("host", "h7")}, page.Labels{"host": "h7"}},
		{"host down", down, enrichtest.Fault{Down: has("host", "h3")}, page.Labels{"host": "h3"}},
		{"target down", down, enrichtest.Fault{Down: has("instance", "h3:8080")}, page.Labels{"instance": "h3:8080"}},
		{"everything fails", errorRatio, enrichtest.Fault{Errors: any}, nil},
		{"everything is slow", slowTail, enrichtest.Fault{Slow: any}, nil},
		{"everything is down", down, enrichtest.Fault{Down: any}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			const runs = 12
			right := 0
			fake := enrichtest.New(t)
			source := open(t, func(c *thanos.Config) { c.HTTP = fake.URL })
			for seed := range uint64(runs) {
				now := time.Unix(1_700_000_000, 0)
				since := time.Duration(20+seed*40/runs) * time.Second
				fake.Set(enrichtest.Fleet{Now: now, Since: since, Seed: seed, Fault: c.fault}.Series()...)
				table, err := source.Table(t.Context(), enrich.Question{
					Alert: "A", Expr: c.expr, At: now.Add(3 * time.Second),
					Labels: page.Labels{"alertname": "A", "service": "checkout", "severity": "critical", "cluster": "dc1-prod"},
				})
				require.NoError(t, err)
				got := traits.New(roles()).Explain(table)
				ok := len(got.Traits) == 1 && c.want != nil && got.Traits[0].Labels.ID() == c.want.ID()
				if c.want == nil {
					ok = got.None && len(got.Traits) == 0 && got.Healthy == 0
				}
				if ok {
					right++
				} else {
					t.Logf("seed %d, %s in: %s", seed, since, said(got))
				}
			}
			require.GreaterOrEqual(t, right, runs-1)
		})
	}
}

// The whole walk: a problem with an alert as Prometheus sends it, a source, and
// what may be shown of the answer.
func TestWalk(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	fake := enrichtest.New(t, enrichtest.Fleet{
		Now: now, Since: 40 * time.Second, Seed: 5, Fault: enrichtest.Fault{Errors: has("user", "u5")},
	}.Series()...)
	for name, set := range map[string]func(*thanos.Config){
		"http": func(c *thanos.Config) { c.HTTP = fake.URL },
		"grpc": func(c *thanos.Config) { c.GRPC, c.ExternalURL = fake.GRPC, "https://thanos.example.org" },
	} {
		t.Run(name, func(t *testing.T) {
			e := enrich.New(enrich.Options{
				Sources: []enrich.Named{{Name: "main", Source: open(t, set)}}, Explainer: traits.New(roles()),
				Roles: roles(), Redact: []string{"user"}, Now: func() time.Time { return now },
			})
			p := problem(alert("Errors", "critical", errorRatio, "service", "checkout"))
			got := e.Context(t.Context(), p)
			require.Len(t, got.Traits, 1, "%v", got.Notes)
			tr := got.Traits[0]
			require.Equal(t, page.Labels{"user": "<redacted 1>"}, tr.Labels)
			require.Equal(t, "user", tr.Role)
			require.Greater(t, tr.Failing.Share(), .9)
			require.Less(t, tr.Healthy.Share(), .1)
			require.Greater(t, tr.Share, .7)
			require.Len(t, got.Queries, 2+1, "both sides, and what info metrics say")
			p.Context = got // as a page that has left asks again
			late := e.Context(t.Context(), p)
			require.False(t, late.Pending)
			require.Equal(t, now, late.At)
			require.Equal(t, got.Traits[0].Labels, late.Traits[0].Labels)
			exemplars := map[string]int{"http": 2}[name]
			require.Len(t, late.Queries, 2+1+3*2+exemplars, "an hour, a day and a week before, and single events")
			p.Context = page.Context{}
			require.Equal(t, "api", got.Scope["job"])
			raw, err := json.Marshal(got)
			require.NoError(t, err)
			require.NotContains(t, string(raw), "u5")

			e.Redact = nil
			tr = enrich.New(e.Options).Context(t.Context(), p).Traits[0]
			require.Equal(t, page.Labels{"user": "u5"}, tr.Labels)
			require.Contains(t, tr.Query, `user="u5"`)
			require.Contains(t, tr.Link, "graph?g0.expr=sum+without")
		})
	}
}

func said(f enrich.Finding) string {
	s := fmt.Sprintf("none=%v failing=%d healthy=%d %v", f.None, f.Failing, f.Healthy, f.Notes)
	for _, tr := range f.Traits {
		s += fmt.Sprintf("\n  %v %v of failing, %v of healthy, share %.2f score %.1f also %v", tr.Labels, tr.Failing, tr.Healthy, tr.Share, tr.Score, tr.Also)
	}
	return s
}

func open(t *testing.T, set func(*thanos.Config)) enrich.Source {
	t.Helper()
	kind := thanos.Kind()
	cfg := kind.Config().(*thanos.Config)
	set(cfg)
	s, err := kind.New(cfg, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Roles: roles(), Now: time.Now})
	require.NoError(t, err)
	return s
}
