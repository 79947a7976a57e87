package remediate_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/remediate"
)

func TestPose(t *testing.T) {
	for text, want := range map[string]string{
		`up{host=$target}`:                            `up{host="a\"b.c"}`,
		`up{host="$target"}`:                          `up{host="a\"b.c"}`,
		`up{host='$target:80'}`:                       `up{host="a\"b.c:80"}`,
		"up{host=~`$target(:80)?`}":                   `up{host=~"a\"b\\.c(:80)?"}`,
		`up{host!~$target}`:                           `up{host!~"a\"b\\.c"}`,
		`sum(up{pool=$pool}) / sum(up{host=$target})`: `sum(up{pool="p|q"}) / sum(up{host="a\"b.c"})`,
		`up{pool=~$pool}`:                             `up{pool=~"p\\|q"}`,
		"up{host=$target} # $nothing":                 `up{host="a\"b.c"}`,
		`up{host="\"$target\""}`:                      `up{host="\"a\"b.c\""}`, // checked by the parser below
		`up{host=$targets}`:                           "",
		`up{host=$other}`:                             "",
		`$target`:                                     "",
		`{__name__=$target}`:                          "",
		`label_replace(up, "x", "$target", "y", "")`:  "",
		`up{$target="x"}`:                             "",
		`up{host=$target`:                             "",
		`up[5m]`:                                      "",
		`"text"`:                                      "",
		`1`:                                           "",
		``:                                            "",
	} {
		got, err := remediate.Pose(text, remediate.Target{Name: `a"b.c`, Pool: "p|q"})
		if want == "" {
			require.Error(t, err, "%s gave %s", text, got)
			continue
		}
		require.NoError(t, err, text)
		if text == `up{host="\"$target\""}` {
			q, err := parser.NewParser(parser.Options{}).ParseExpr(got)
			require.NoError(t, err)
			require.Equal(t, `"a"b.c"`, q.(*parser.VectorSelector).LabelMatchers[0].Value)
			continue
		}
		require.Equal(t, want, got, text)
	}
}

// An empty value would match every series without the label.
func TestPoseWantsNames(t *testing.T) {
	_, err := remediate.Pose(`up{host=$target}`, remediate.Target{Pool: "web"})
	require.Error(t, err)
	_, err = remediate.Pose(`up{cluster=$pool}`, remediate.Target{Name: "web-1"})
	require.Error(t, err)
	_, err = remediate.Pose(`up{host=$target}`, remediate.Target{Name: "web-1"})
	require.NoError(t, err)
}

// Whatever a target is called, its name is one matcher's value.
func FuzzPose(f *testing.F) {
	f.Add(`web-1`, `web`)
	f.Add(`"} or vector(1) or up{x="`, `$target`)
	f.Add("a`b\\", "\n")
	f.Fuzz(func(t *testing.T, name, pool string) {
		got, err := remediate.Pose(`up{host=$target,pool="$pool",x=~"$target.*"}`, remediate.Target{Name: name, Pool: pool})
		if err != nil {
			return
		}
		q, err := parser.NewParser(parser.Options{}).ParseExpr(got)
		require.NoError(t, err, got)
		sel, ok := q.(*parser.VectorSelector)
		require.True(t, ok, got)
		require.Len(t, sel.LabelMatchers, 4)
		for _, m := range sel.LabelMatchers {
			switch m.Name {
			case "host":
				require.Equal(t, name, m.Value)
			case "pool":
				require.Equal(t, pool, m.Value)
			case "x":
				require.True(t, m.Matches(name+"!"))
			}
		}
	})
}

func TestRulesHold(t *testing.T) {
	thanos := enrichtest.New(t, fleetOf(3, 1)...)
	rules := remediate.NewRules(remediate.World{Sources: sourcesOf(t, "main", map[string]*enrichtest.Fake{"main": thanos})}, noon)
	target := remediate.Target{Name: "web-2", Pool: "web"}
	ok, saw, err := rules.Holds(t.Context(), `up{instance=~"$target:.*"}`, target)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "1", saw)
	ok, saw, err = rules.Holds(t.Context(), `up{cluster=$pool}`, target)
	require.NoError(t, err)
	require.False(t, ok, "one of them is down")
	require.Equal(t, "0 among 3 samples", saw)
	thanos.Set(append(fleetOf(3, 1), steady(1, 3*time.Minute, "__name__", "ready", "host", "web-2"))...)
	ok, _, err = rules.Holds(t.Context(), `absent(errors{host=$target})`, target)
	require.NoError(t, err, "that something is gone may be what is asked")
	require.True(t, ok)
	for _, blind := range []string{`up{instance="web-9"}`, `up{`, `up * NaN`, `ready{host=$target}`, `vector(1)`, `up @ 1`} {
		_, _, err = rules.Holds(t.Context(), blind, target)
		require.Error(t, err, blind)
	}
	thanos.Misbehave(enrichtest.Trouble{Warning: "store gateway is gone"})
	_, _, err = rules.Holds(t.Context(), `up`, target)
	require.ErrorContains(t, err, "partial")
	_, _, err = remediate.NewRules(remediate.World{}, noon).Holds(t.Context(), `up`, target)
	require.Error(t, err)
}

func TestUnmet(t *testing.T) {
	p := hostPolicy()
	require.Len(t, p.Unmet(remediate.Configured{}), 2, "nobody is asked")
	p.Mode = remediate.Approve
	require.Equal(t, []string{
		`step restart: no backend "awx/main" is configured`, "no source is configured: the size of a pool is asked of one",
		`nobody has the role "operator", so nobody of it could approve: name people with it`,
	}, p.Unmet(remediate.Configured{}))
	have := remediate.Configured{Backends: []string{"awx/main"}, Sources: []string{"main"}, Roles: []string{"operator"}}
	require.Empty(t, p.Unmet(have))
	p.Guards.Zabbix = "z"
	p.Guards.PreChecks = []remediate.PreCheck{{Name: "peers", Source: "main"}, {Name: "load", Source: "edge"}}
	p.Guards.Proof = &remediate.PreCheck{Name: "probe", Source: "outside"}
	require.Equal(t, []string{`load: no source "edge" is configured`, `probe: no source "outside" is configured`, `no Zabbix "z" is configured`}, p.Unmet(have))
}
