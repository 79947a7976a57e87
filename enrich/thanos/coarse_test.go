package thanos_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

func wideRoles() enrich.Roles {
	return enrich.Roles{"host": {"host"}, "deploy": {"deploy"}, "user": {"user"}}
}

// crowd is 30 hosts with two deploys and 40 users: 1,200 members of each metric.
func crowd(now time.Time, hit func(host, user int) bool) []enrichtest.Series {
	var out []enrichtest.Series
	for h := range 30 {
		for u := range 40 {
			ls := func(name string, more ...string) []string {
				return append([]string{
					"__name__", name, "service", "shop", "host", fmt.Sprintf("h%d", h), "deploy", fmt.Sprintf("v%d", 41+h%5/4), "user", fmt.Sprintf("u%d", u),
				}, more...)
			}
			bad, lag, up := .02, 1.0, 1.0
			if hit(h, u) {
				bad, lag, up = 2, 100, 0
			}
			out = append(out,
				enrichtest.Counter(now, 5-bad, ls("req_total", "code", "200")...), enrichtest.Counter(now, bad, ls("req_total", "code", "500")...),
				enrichtest.Counter(now, bad, ls("lat_bucket", "le", "+Inf")...), enrichtest.Counter(now, bad/2, ls("lat_bucket", "le", "1")...),
				enrichtest.Gauge(now, lag, ls("lag")...), enrichtest.Gauge(now, up, ls("ready")...),
			)
		}
	}
	return out
}

// More members than may be read: asked by roles, and the answer is the same.
func TestTooManyMembers(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	byUser := func(_, u int) bool { return u == 7 }
	byDeploy := func(h, _ int) bool { return h%5 == 4 }
	for _, c := range []struct {
		name, expr string
		hit        func(h, u int) bool
		want       page.Labels
	}{
		{"ratio by deploy", `sum by (service) (rate(req_total{code="500"}[1m])) / sum by (service) (rate(req_total[1m])) > 0.012`, byDeploy, page.Labels{"deploy": "v42"}},
		{"ratio by user", `sum by (service) (rate(req_total{code="500"}[1m])) / sum by (service) (rate(req_total[1m])) > 0.012`, byUser, page.Labels{"user": "u7"}},
		{"success by user", `sum(rate(req_total{code="200"}[1m])) / sum(rate(req_total[1m])) < 0.988`, byUser, page.Labels{"user": "u7"}},
		{"sum by user", `sum by (service) (lag) > 3000`, byUser, page.Labels{"user": "u7"}},
		{"state by deploy", `ready == 0`, byDeploy, page.Labels{"deploy": "v42"}},
		{"state by user", `ready == 0`, byUser, page.Labels{"user": "u7"}},
		{"value by host", `lag > 50`, func(h, _ int) bool { return h == 3 }, page.Labels{"host": "h3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := enrichtest.New(t, crowd(now, c.hit)...)
			kind := thanos.Kind()
			s, err := kind.New(&thanos.Config{
				HTTP: f.URL, Timeout: config.Duration(time.Minute), MaxSeries: 100, MaxBytes: 1 << 20,
			}, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Now: time.Now, Roles: wideRoles()})
			require.NoError(t, err)
			q := enrich.Question{Alert: "A", Expr: c.expr, At: now, Labels: page.Labels{"service": "shop"}, Group: page.Labels{"service": "shop"}}
			for range 2 { // the second time its size is known
				table, err := s.Table(t.Context(), q)
				require.NoError(t, err)
				require.False(t, table.Cut)
				require.Contains(t, strings.Join(table.Notes, "\n"), "too many members to read one by one: asked by")
				got := traits.New(wideRoles()).Explain(table)
				require.Len(t, got.Traits, 1, "%v %v", got, table.Notes)
				require.Equal(t, c.want, got.Traits[0].Labels)
				for _, asked := range table.Queries {
					require.LessOrEqual(t, asked.Series, 100, asked.Text)
				}
			}
			t.Log(len(f.Asked()), "queries in all")
		})
	}
}
