package enrich_test

import (
	"slices"
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

// Where nobody is left the page says so, and when somebody was last.
func TestGone(t *testing.T) {
	now := time.Unix(1_700_000_000, 0) // 22:13:20
	for _, c := range []struct {
		name, expr string
		gone       func(labels.Labels) bool
		since      time.Duration
		want       string
	}{
		{"all replicas", `absent(session_active{job="api"})`, any, 95 * time.Second, "all 24 series are gone, last seen 22:11"},
		{"for longer", `absent(session_active{job="api"})`, any, 14 * time.Minute, "all 24 series are gone, last seen 21:59"},
		{"the only one", `absent(session_active{instance="h3:8080"})`, any, 95 * time.Second, "the only series is gone, last seen 22:11"},
		{"too few are left", `count(session_active{job="api"}) < 20`, has("dc", "dc1"), 95 * time.Second, "8 of 8 failing share dc=dc1 (0 % of healthy do) · last seen 22:11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet := enrichtest.Fleet{Now: now, Since: c.since, Seed: 1, Fault: enrichtest.Fault{Gone: c.gone}}
			calm := enrichtest.Fleet{Now: now.Add(-time.Hour), Seed: 1}
			series := slices.DeleteFunc(enrichtest.Joined(calm.Signals(), fleet.Signals()), func(s enrichtest.Series) bool { return s.Labels.Get("__name__") != "session_active" })
			fake := enrichtest.New(t, series...)
			e := enrich.New(enrich.Options{
				Sources:   []enrich.Named{{Name: "main", Source: open(t, func(o *thanos.Config) { o.HTTP = fake.URL })}},
				Explainer: traits.New(roles()), Roles: roles(), Now: func() time.Time { return now },
			})
			got := e.Context(t.Context(), problem(alert("Gone", "critical", c.expr, "job", "api")))
			require.Equal(t, c.want, page.Headline(got), "%+v", got)
		})
	}
}
