package enrich_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// All requests fail alike, and a rule counts errors by host. Its members are
// parts of a sum, judged by their size alone: a method with much more traffic
// than the others has as many more errors, and is named though it fails no more
// often. That is a known limit (docs/traits.md), pinned down here: what is said
// depends on how uneven the traffic is, and on the rule's threshold.
func TestSumsOfUnevenTraffic(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		uneven    float64 // errors by GET for each by POST
		threshold int     // of 500 errors a host
		want      page.Labels
	}{
		{1, 200, nil},
		{2.5, 200, nil},
		{4, 50, nil}, // no few parts would calm the rule
		{4, 200, page.Labels{"method": "GET"}},
		{4, 400, page.Labels{"method": "GET"}},
	} {
		t.Run(fmt.Sprintf("%v to 1, over %d", c.uneven, c.threshold), func(t *testing.T) {
			var list []enrichtest.Series
			for h := range 12 {
				for u := range 4 {
					post := 500. / 4 / (c.uneven + 1) / 60 * (1 + .02*float64(u)) // a second
					for method, rate := range map[string]float64{"GET": c.uneven * post, "POST": post} {
						list = append(list, enrichtest.Counter(now, rate, "__name__", "http_requests_total", "code", "500", "service", "shop",
							"host", fmt.Sprint("h", h), "instance", fmt.Sprint("h", h, ":80"), "user", fmt.Sprint("u", u), "method", method))
					}
				}
			}
			fake := enrichtest.New(t, list...)
			table, err := open(t, func(c *thanos.Config) { c.HTTP = fake.URL }).Table(t.Context(), enrich.Question{
				Alert: "ErrorsOfHost", At: now, Labels: page.Labels{"service": "shop"},
				Expr: fmt.Sprintf(`sum by (service, host) (increase(http_requests_total{code=~"5.."}[1m])) > %d`, c.threshold),
			})
			require.NoError(t, err)
			got := traits.New(roles()).Explain(table)
			if c.want == nil {
				require.True(t, got.None, said(got))
				require.Zero(t, got.Healthy, said(got))
				return
			}
			require.Len(t, got.Traits, 1, said(got))
			require.Equal(t, c.want, got.Traits[0].Labels)
		})
	}
}
