package changes_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/page"
)

// A version that only an info metric knows is a deploy, whether the failing
// share it, share something else or nothing at all.
func TestRolloutByInfoMetric(t *testing.T) {
	const ratio = `sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.03`
	has := func(name string, values ...string) func(labels.Labels) bool {
		return func(ls labels.Labels) bool {
			for _, v := range values {
				if ls.Get(name) == v {
					return true
				}
			}
			return false
		}
	}
	canary := has("instance", "h0:8080", "h2:8081", "h5:8080", "h7:8081", "h10:8080")
	everybody := func(labels.Labels) bool { return true }
	for _, tc := range []struct {
		name        string
		fails, to   func(labels.Labels) bool
		since, ago  time.Duration
		trait       page.Labels
		says, alone string
		innocent    bool
	}{
		{
			"the new version alone fails", canary, canary, 70 * time.Second, 75 * time.Second,
			page.Labels{"version": "v42"},
			"s after deploy v42 of checkout", `^only the new version: v42 \d\d %, v41 0\.\d %$`, false,
		},
		{"all have the new version", everybody, everybody, 70 * time.Second, 105 * time.Second, nil, "s after deploy v42 of checkout", "^$", false},
		{
			"a host got the new version", has("host", "h3"), has("host", "h3"), 70 * time.Second, 95 * time.Second,
			page.Labels{"host": "h3"},
			"deploy v42 of checkout", `^only the new version: v42 \d\d %, v41 0\.\d %$`, false,
		},
		{"another host got it", has("host", "h3"), has("host", "h4"), 70 * time.Second, 105 * time.Second, page.Labels{"host": "h3"}, "", "^$", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := enrichtest.Fleet{
				Now: now(), Since: tc.since, Seed: 3, Fault: enrichtest.Fault{Errors: tc.fails},
				Rollout: &enrichtest.Rollout{Ago: tc.ago, To: tc.to},
			}
			c := dated(t, ratio, f)
			t.Log(page.Headline(c), "|", c.Alone())
			if tc.trait == nil {
				require.True(t, c.None)
			} else {
				named := c.Traits[0].Labels.Clone()
				for _, l := range c.Traits[0].Also {
					named[l.Name] = l.Value
				}
				for name, v := range tc.trait {
					require.Equal(t, v, named[name], "%v", c.Traits[0])
				}
			}
			require.Regexp(t, tc.alone, c.Alone())
			if tc.innocent {
				require.Nil(t, c.Onset.After)
				return
			}
			require.Regexp(t, tc.says, page.Headline(c))
			require.Equal(t, "main", c.Onset.After.Source)
			require.WithinDuration(t, f.Now.Add(-tc.ago), c.Onset.After.At, 10*time.Second)
			require.WithinDuration(t, f.Now.Add(-tc.since), c.Onset.At, 10*time.Second)
		})
	}
}
